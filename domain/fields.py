"""The fields of a record and its people: their names, their types, and how a value is read and written.

A *reference* names a field in conditions and templates: `record.amount`, `contact.email`,
`steps.coupon.code`. Typed values are `str`, `Decimal`, `bool`, `date`, aware `datetime` in UTC, a list of
these for a field with several values, and None for an empty one.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, JsonValue, StringConstraints, model_validator
from pydantic import Field as Described

from domain import addresses

FieldType = Literal[
    "text", "email", "number", "money", "boolean", "date", "datetime", "choice", "employee", "booking"
]
Section = Literal["record", "contact", "company", "responsible"]
RecordType = Literal["lead", "deal"]
FieldName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Steps = Mapping[str, Mapping[str, FieldType]]
"""Results that may be quoted: rule id of an earlier rule -> result name -> type."""

SECTIONS: tuple[Section, ...] = ("record", "contact", "company", "responsible")
LONGEST_NAME, LONGEST_TITLE, LONGEST_ADDRESS, LONGEST_TEXT = 200, 1000, 1000, 100_000
"""Characters: of names of people and companies and of a source; a title; an address; any other text."""
MOST_VALUES = 100
"""Of a field that holds several."""
CURRENCY = r"^[A-Z]{3}$"
"""ISO 4217."""
_DIGITS = 28
_UNKEEPABLE = re.compile("[\x00\ud800-\udfff]")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)


class Field(BaseModel):
    """One field: `multiple` ones hold several values; `writable` ones may be set by a rule.

    A `booking` holds when the booking made for it starts. It is booked and cancelled, never written. An
    `email` is one address, in the one form of `domain.addresses`. `longest` is in characters, of each value;
    `pattern` is a regular expression that each text fits.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: FieldName
    type: FieldType
    multiple: bool = False
    required: bool = False
    writable: bool = True
    choices: Annotated[list[str], Described(
        description="allowed values of a `choice`, resources of a `booking`; none: any")] = []
    longest: Annotated[int, Described(ge=1, le=LONGEST_TEXT)] = LONGEST_TEXT
    pattern: str = ""

    @model_validator(mode="before")
    @classmethod
    def _booked(cls, raw: object) -> object:
        if isinstance(raw, dict) and raw.get("type") == "booking":
            if raw.get("multiple"):
                raise ValueError("a booking field does not hold several values")
            return raw | {"writable": False}
        return raw


class Problem(BaseModel):
    """What is wrong with something an author wrote: where (a JSON pointer or a line) and why."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    place: str
    message: str


class UnknownField(LookupError):
    """There is no field of that name."""

    def __init__(self, reference: str, known: Iterable[str] = ()) -> None:
        near = difflib.get_close_matches(reference, list(known), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        super().__init__(f"there is no field {reference!r}{hint}")
        self.reference = reference


class WrongType(ValueError):
    """The value does not fit the type of the field."""

    def __init__(self, field: Field, raw: object) -> None:
        shown = repr(raw)
        super().__init__(f"{field.name}: {shown[:80]} is not {_NAMES[field.type]}{_allowed(field)}")
        self.field = field


class Registry(BaseModel):
    """All fields a rule of one record type may name, by section."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    record: dict[str, Field] = {}
    contact: dict[str, Field] = {}
    company: dict[str, Field] = {}
    responsible: dict[str, Field] = {}

    def section(self, name: Section) -> dict[str, Field]:
        found: dict[str, Field] = getattr(self, name)
        return found

    def references(self) -> Iterator[str]:
        """Every reference there is, as `record.amount`."""
        return (f"{section}.{name}" for section in SECTIONS for name in self.section(section))

    def find(self, reference: str) -> Field:
        """The field of a reference. Raises `UnknownField`, which names the nearest one there is."""
        section, _, name = reference.partition(".")
        for known in SECTIONS:
            if section == known and name in self.section(known):
                return self.section(known)[name]
        raise UnknownField(reference, self.references())

    def with_custom(self, fields: Iterable[Field], section: Section = "record") -> Self:
        """A copy with custom fields added. Raises `ValueError` when a name is taken."""
        merged = dict(self.section(section))
        for field in fields:
            if field.name in merged:
                raise ValueError(f"{section}.{field.name} is already there")
            merged[field.name] = field
        return self.model_copy(update={section: merged})


def parse(field: Field, raw: object) -> object:
    """The typed value of a JSON value, or of a text somebody wrote or a template rendered.

    Empty is None, also a text of spaces; a field with several values gives a list, of a single value too.
    A date is `2024-02-29`. An instant needs its offset and comes back in UTC: one without is refused, its
    zone would be a guess. Raises `WrongType`.
    """
    if not field.multiple:
        return None if _blank(raw) else _single(field, raw)
    if _blank(raw):
        return []
    items = raw if isinstance(raw, list | tuple) else [raw]
    return [_single(field, item) for item in items if not _blank(item)]


def misfit(field: Field, value: object) -> str:
    """Why a typed value cannot be written into its field, in plain words; empty if it can.

    The one check for whoever writes: people over the API, rules, imports.
    """
    if field.required and is_empty(value):
        return f"{field.name} is required and would be empty"
    values = value if isinstance(value, list) else [value]
    if len(values) > MOST_VALUES:
        return f"{field.name} holds at most {MOST_VALUES} values"
    for text in (item for item in values if isinstance(item, str)):
        if len(text) > field.longest:
            return f"{field.name} holds at most {field.longest} characters"
        if _UNKEEPABLE.search(text):
            return f"{field.name}: a text holds a character that cannot be kept (NUL, or half a pair)"
        if field.pattern and not re.fullmatch(field.pattern, text):
            return f"{field.name}: {text[:80]!r} is not of the form {field.pattern}"
    return ""


def dump(value: object) -> JsonValue:
    """The JSON form of a typed value; `parse` reads it back to the same value.

    A number is a JSON number wherever that is exact, else a text. Instants are in UTC.
    """
    match value:
        case None | bool() | str() | int() | float():
            return value
        case Decimal():
            return _json_number(value)
        case datetime():
            return value.astimezone(UTC).isoformat()
        case date():
            return value.isoformat()
        case list() | tuple():
            return [dump(item) for item in value]
    raise TypeError(f"not a field value: {type(value).__name__}")


def is_empty(value: object) -> bool:
    """None, a text of nothing but spaces, a list of nothing but such values."""
    if isinstance(value, list | tuple):
        return all(is_empty(item) for item in value)
    return _blank(value)


_NAMES: dict[FieldType, str] = {
    "text": "a text", "email": "an e-mail address, and one alone",
    "number": "a number", "money": "an amount", "boolean": "true or false",
    "date": "a date like 2024-02-29", "datetime": "a time with its offset, like 2024-02-29T09:00:00+01:00",
    "choice": "a choice", "employee": "an employee's id", "booking": "the start of a booking",
}


def _allowed(field: Field) -> str:
    return f" of {', '.join(field.choices)}" if field.type == "choice" and field.choices else ""


def _blank(raw: object) -> bool:
    bare = raw.strip() if isinstance(raw, str) else raw
    return bare is None or (isinstance(bare, str | list | tuple) and not bare)


def _single(field: Field, raw: object) -> object:
    text = raw.strip() if isinstance(raw, str) else None
    value: object = None
    match field.type:
        case "text" | "employee":
            value = text
        case "email":
            value = _email(text)
        case "choice":
            value = text if not field.choices else next(
                (c for c in field.choices if text is not None and c.casefold() == text.casefold()), None)
        case "number" | "money":
            value = _decimal(raw if text is None else text)
        case "boolean":
            value = raw if isinstance(raw, bool) else {"true": True, "false": False}.get((text or "").lower())
        case "date":
            value = _date(raw if text is None else text)
        case "datetime" | "booking":
            value = _instant(raw if text is None else text)
    if value is None:
        raise WrongType(field, raw)
    return value


def _email(text: str | None) -> str | None:
    try:
        return addresses.email(text or "")
    except ValueError:
        return None


def _decimal(raw: object) -> Decimal | None:
    if isinstance(raw, bool) or not isinstance(raw, int | float | Decimal | str):
        return None
    if isinstance(raw, str) and (len(raw) > 2 * _DIGITS or not _NUMBER.fullmatch(raw)):
        return None
    if isinstance(raw, int) and abs(raw) >= 10**_DIGITS:
        return None
    try:
        value = Decimal(str(raw))
    except InvalidOperation:
        return None
    # A number of a billion digits is as quickly written as 1e999999999; nothing below must meet one.
    return value if value.is_finite() and abs(value.adjusted()) < _DIGITS else None


def _date(raw: object) -> date | None:
    if isinstance(raw, date) and not isinstance(raw, datetime):
        return raw
    try:
        return date.fromisoformat(raw) if isinstance(raw, str) and _DATE.fullmatch(raw) else None
    except ValueError:
        return None


def _instant(raw: object) -> datetime | None:
    try:
        if isinstance(raw, str):
            raw = datetime.fromisoformat(raw)
        if isinstance(raw, datetime) and raw.tzinfo is not None:
            return raw.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    return None


def _json_number(value: Decimal) -> JsonValue:
    if value == value.to_integral_value() and abs(value) < 2**53:
        return int(value)
    return float(value) if Decimal(repr(float(value))) == value else format(value, "f")
