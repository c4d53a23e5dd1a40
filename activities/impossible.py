"""What is well formed and can all the same never be right, whatever the record: refused when it is saved."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel

from activities.effect import Effect, Setting, Template
from activities.unknown import unknown
from domain import templates
from domain.condition_tree import Comparison, Condition, leaves
from domain.fields import Problem, UnknownField
from domain.holds.control import Repeat
from domain.rule import Rule
from domain.schedule import Schedule, ScheduleFacts, instant

_SOME_MONDAY = datetime(2024, 1, 1, 9, tzinfo=UTC)
_WEEK = [_SOME_MONDAY + timedelta(hours=7 * hours) for hours in range(24)]


def in_rule(rule: Rule) -> Iterator[Problem]:
    """Of what all rules have."""
    if rule.after_previous and rule.on_exit != "cancel":
        what = "is said on the first rule of a chain, for all of it; here it would be ignored"
        yield Problem(place="/on_exit", message=f"`on_exit` {what}")


def in_params(params: BaseModel) -> Iterator[Problem]:
    """Of the parameters of a kind: constant texts that are empty and may not be."""
    if not isinstance(params, Effect):
        return
    for name, field in type(params).model_fields.items():
        filled = any(isinstance(mark, Template) for mark in field.metadata)
        value = getattr(params, name)
        # a text that has to be given, or is given where nothing is said, is one that the kind needs
        if filled and field.default != "" and isinstance(value, str) and is_blank(value):
            shown = field.alias or name
            yield Problem(place=f"/{shown}", message=f"the {shown.replace('_', ' ')} would be empty")


def in_schedule(schedule: Schedule) -> Iterator[Problem]:
    """A time before the present one is past."""
    if schedule.basis == "now" and schedule.before and schedule.before.span:
        yield Problem(place="/before", message="a time before now is always past; count from a date field")


def in_repeat(repeat: Repeat) -> Iterator[Problem]:
    """All repetitions at one instant."""
    if not repeat.every.span:
        yield Problem(place="/every", message="repeated every 0 it would be told all at once")


def in_condition(condition: Condition, setting: Setting) -> Iterator[Problem]:
    """Stages, pipelines and employees there are not, in the order in which they are written."""
    for leaf in leaves(condition):
        known = _names(leaf, setting)
        for item in leaf.operands if known is not None else ():
            named = isinstance(item, str) and leaf.op in ("equal", "not_equal", "in", "not_in", "contains")
            if known and named and str(item).casefold() not in {name.casefold() for name in known[1]}:
                said = unknown(known[0], str(item), known[1], setting.former)
                yield Problem(place="", message=f"{leaf.field}: {said}")


def order(start: Schedule | None, end: Schedule | None) -> bool:
    """Whether a start counted like its end lies after it on every day of the week."""
    if start is None or end is None or (start.basis, start.working_time) != (end.basis, end.working_time):
        return False
    pairs = [(_at(start, turn), _at(end, turn)) for turn in _WEEK]
    return all(first and last and first > last for first, last in pairs)


def _names(leaf: Comparison, setting: Setting) -> tuple[str, frozenset[str]] | None:
    """What a field holds the name of, and all such names."""
    if leaf.field == "record.stage":
        return "stage", frozenset(setting.stages.get(setting.pipeline, {}))
    if leaf.field == "record.pipeline":
        return "pipeline", frozenset(setting.stages)
    try:
        field = setting.registry.find(leaf.field)
    except UnknownField:
        return None
    return ("employee", setting.employees) if field.type == "employee" else None


def is_blank(text: str) -> bool:
    """Whether a template is empty whatever the values are."""
    try:
        return not templates.references(text) and not templates.render(
            text, {}, escape="plain", zone="UTC", locale="en"
        ).strip()
    except templates.TemplateError:
        return False  # which is said elsewhere


def _at(schedule: Schedule, turn: datetime) -> datetime | None:
    return instant(schedule, turn, ScheduleFacts(zone="UTC", value=turn))
