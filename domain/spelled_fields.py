"""Fields as a reader is used to see them, for templates that have no filters of ours."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from domain.fields import Registry
from domain.filters import FILTERS, FilterRefused, shown
from domain.sandbox import namespace
from domain.templates import manner

_FILTERS = {"money": ("money",), "date": ("date",), "datetime": ("date", "time"), "booking": ("date", "time")}


def spelled(
    values: Mapping[str, object], registry: Registry, today: date, *, zone: str, locale: str
) -> dict[str, object]:
    """Amounts, dates and instants as the filters `money`, `date` and `time` write them, by section and name.

    `date` is today. An empty one is None. Fields with several values are left out. Raises `TemplateError` for
    a zone or a language that is none.
    """
    reader = manner(values, zone, locale)
    found: dict[str, object] = {}
    for reference in registry.references():
        field = registry.find(reference)
        if field.type in _FILTERS and not field.multiple:
            value = values.get(reference)
            try:
                written = " ".join(str(FILTERS[name](value, reader)) for name in _FILTERS[field.type])
            except FilterRefused:  # larger than any amount: as it is kept
                written = shown(value, reader)
            found[reference] = written.strip()
    return namespace(found) | {"date": FILTERS["date"](today, reader)}
