"""The filters templates may use. Each takes a typed value and gives a text or a value, no larger than needed.

Nothing here reads the clock, and no argument decides how much is computed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import NamedTuple
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_datetime, format_time
from babel.numbers import format_currency, format_decimal

from domain.fields import is_empty

_STYLES = ("short", "medium", "long", "full")
_LONGEST = 500
_LONGEST_PATTERN = 60
_DIRECTIVE = re.compile(r"%-?(.)", re.DOTALL)
# strftime itself takes a width (`%999999999d`) and knows no locale but the server's
_PATTERNS = {"d": "dd", "m": "MM", "Y": "yyyy", "y": "yy", "B": "MMMM", "b": "MMM", "A": "EEEE", "a": "EEE",
             "H": "HH", "I": "hh", "M": "mm", "S": "ss", "p": "a", "e": "d", "%": "%"}


class FilterRefused(ValueError):
    """The filter is not for such a value or argument."""


class Manner(NamedTuple):
    """How values look: the zone of instants, the locale, and the currency of amounts that name none."""

    zone: ZoneInfo
    locale: Locale
    currency: str


def shown(value: object, manner: Manner) -> str:
    """A value without a filter, as `domain.fields.parse` would read it back.

    `12.50`, `true`, `2024-02-29`, an instant with the offset of the zone; several values with commas.
    """
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case Decimal():
            return format(value, "f")
        case datetime():
            return value.astimezone(manner.zone).isoformat()
        case date():
            return value.isoformat()
        case list() | tuple():
            return ", ".join(shown(item, manner) for item in value)
        case Mapping():
            return ""
    return str(value)


def _date(value: object, manner: Manner, form: object = "medium") -> str:
    """`date`, `date: "long"`, `date: "%d.%m.%Y %H:%M"`: in the zone and the language of the reader."""
    if is_empty(value):
        return ""
    if not isinstance(value, date):
        raise FilterRefused("'date' needs a date")
    style = _text_argument(form)
    if isinstance(value, datetime):
        value = value.astimezone(manner.zone)
    if style in _STYLES:
        return format_date(value, style, manner.locale)
    if len(style) > _LONGEST_PATTERN:
        raise FilterRefused("'date': the pattern is too long")
    pieces: list[str] = []
    end = 0
    for found in _DIRECTIVE.finditer(style):
        if found[1] not in _PATTERNS:
            raise FilterRefused(f"'date' does not know {found[0]!r}")
        pieces += [style[end:found.start()], _part(value, found, manner)]
        end = found.end()
    return "".join([*pieces, style[end:]])


def _part(value: date, found: re.Match[str], manner: Manner) -> str:
    if found[1] == "%":
        return "%"
    moment = value if isinstance(value, datetime) else datetime.combine(value, time.min, manner.zone)
    text = format_datetime(moment, _PATTERNS[found[1]], tzinfo=manner.zone, locale=manner.locale)
    return text.lstrip("0") if found[0].startswith("%-") else text


def _time(value: object, manner: Manner, form: object = "short") -> str:
    """`time`, `time: "medium"`: the clock time of an instant in the zone."""
    if is_empty(value):
        return ""
    if not isinstance(value, datetime):
        raise FilterRefused("'time' needs an instant")
    style = _text_argument(form)
    if style not in _STYLES:
        raise FilterRefused(f"'time' knows {', '.join(_STYLES)}")
    return format_time(value, style, tzinfo=manner.zone, locale=manner.locale)


def _money(value: object, manner: Manner, currency: object = "") -> str:
    """`money`, `money: "EUR"`: an amount, in the record's currency if none is given."""
    if is_empty(value):
        return ""
    code = _text_argument(currency).strip().upper() or manner.currency.strip().upper()
    amount = _decimal(value, "money")
    if not code:
        return format_decimal(amount, "#,##0.00", manner.locale)
    return format_currency(amount, code, locale=manner.locale)


def _number(value: object, manner: Manner) -> str:
    """`number`: digits grouped as the reader is used to."""
    return "" if is_empty(value) else format_decimal(_decimal(value, "number"), locale=manner.locale)


def _default(value: object, manner: Manner, other: object = "") -> object:
    """`default: "client"`: something else in place of an empty value; `false` is not empty."""
    del manner
    return other if is_empty(value) else value


def _truncate(value: object, manner: Manner, length: object = 50, ending: object = "…") -> str:
    """`truncate: 20`: at most so many characters, the ending included."""
    text, end = shown(value, manner), _text_argument(ending)
    if isinstance(length, bool) or not isinstance(length, int | Decimal) or length < 0:
        raise FilterRefused("'truncate' needs a length")
    return text if len(text) <= length else text[:max(0, int(length) - len(end))] + end


def _join(value: object, manner: Manner, between: object = ", ") -> str:
    """`join: "; "`: the values of a field that has several."""
    return _text_argument(between).join(shown(item, manner) for item in _several(value))


def _decimal(value: object, name: str) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise FilterRefused(f"{name!r} needs a number")
    number = Decimal(str(value))
    if not number.is_finite() or abs(number.adjusted()) > 40:
        raise FilterRefused(f"{name!r}: the number is out of range")
    return number


def _text_argument(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > _LONGEST:
        raise FilterRefused("the argument must be a short text")
    return value


def _several(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else [] if is_empty(value) else [value]


FILTERS: Mapping[str, Callable[..., object]] = {
    "date": _date, "time": _time, "money": _money, "number": _number, "default": _default,
    "truncate": _truncate, "join": _join,
    "upcase": lambda value, manner: shown(value, manner).upper(),
    "downcase": lambda value, manner: shown(value, manner).lower(),
    "capitalize": lambda value, manner: shown(value, manner)[:1].upper() + shown(value, manner)[1:],
    "strip": lambda value, manner: shown(value, manner).strip(),
    "first": lambda value, manner: next(iter(_several(value)), None),
    "last": lambda value, manner: next(reversed(_several(value)), None),
    "size": lambda value, manner: len(value if isinstance(value, str) else _several(value)),
}
