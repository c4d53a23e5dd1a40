"""Fields and the values they are to have, as the rules write them that edit a record or its client."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal

from pydantic import JsonValue

from activities.act import Act
from activities.effect import Setting, Template
from db.clients import normalised
from domain import addresses
from domain.errors import Refused
from domain.fields import Field, Problem, UnknownField, WrongType, misfit, parse
from domain.rule import Written
from domain.templates import quoted_whole

Edited = Literal["record", "contact", "company"]
How = Literal["set", "append", "remove", "clear"]
ERRORS: dict[str, str] = {
    "required_field_empty": "a required field would be emptied",
    "wrong_type": "a value does not fit its field once it is filled in",
    "unknown_field": "a field was taken away, or made read-only, since",
    "wrong_responsible": "the responsible would be no active employee",
}
"""Reasons for which values are refused when the rule runs, and what each means."""


class Assignment(Written):
    """One field and its new value.

    A text is a template; what it becomes is read as the field's type. A field of several values that is all a
    text quotes, as in `{{ contact.email }}`, is copied value by value into another of several. Other values,
    and the items of a list, are taken as they are. `how`: `append` adds to what a field with several values
    holds, `remove` takes from it, `clear` empties any field and has no value.
    """

    field: str
    value: Annotated[JsonValue, Template("plain")] = None
    how: How | None = None

    def name(self, section: Edited) -> str:
        """The field's name; the section before it, as in `record.amount`, may be left out."""
        return self.field.removeprefix(f"{section}.")

    def meant(self, *, append: bool) -> How:
        """What is done with the value; `append` where the assignment does not say."""
        return self.how or ("append" if append else "set")

    @property
    def constant(self) -> bool:
        return not (isinstance(self.value, str) and _quotes(self.value))


def assigned(
    act: Act, section: Edited, items: Sequence[Assignment], present: Mapping[str, object], *, append: bool
) -> dict[str, object]:
    """The values by the field's name, filled in; `append` is what is done to fields of several by default.

    `present` are the typed values of the section by reference. Raises `Refused` (`wrong_type`).
    """
    known = act.locked.registry.section(section)
    found: dict[str, object] = {}
    for item in items:
        name = item.name(section)
        field = known.get(name)
        value = _filled(act, item, field)
        if field and field.multiple and item.meant(append=append) in ("append", "remove"):
            held, given = _list(present[f"{section}.{name}"]), _read(field, value)
            if section != "record" and name in ("email", "phone"):  # as they are kept
                given = [*normalised(name, [str(one) for one in given], act.mail.region)]
            both = list(dict.fromkeys([*held, *given]))
            value = both if item.meant(append=append) == "append" else [v for v in held if v not in given]
        found[name] = value
    return found


def _filled(act: Act, item: Assignment, field: Field | None) -> object:
    """The value with its quotes filled in; a field of several that is quoted whole stays several."""
    if not isinstance(item.value, str):
        return item.value
    whole = quoted_whole(item.value)
    quoted = act.values.get(whole) if whole and field and field.multiple else None
    return quoted if isinstance(quoted, list) else act.text(item.value)


def _read(field: Field, value: object) -> list[object]:
    try:
        return _list(parse(field, value))
    except WrongType as wrong:
        raise Refused("wrong_type", str(wrong)) from wrong


def problems(items: Sequence[Assignment], setting: Setting, section: Edited) -> Iterator[Problem]:
    """What is wrong with assignments as written."""
    seen: list[str] = []
    for number, item in enumerate(items):
        name = item.name(section)
        if wrong := _wrong_field(name, setting, section):
            yield Problem(place=f"/set/{number}/field", message=wrong)
        elif wrong := _wrong_how(item, setting, section):
            yield Problem(place=f"/set/{number}/how", message=wrong)
        elif wrong := _wrong_constant(item, setting, section):
            yield Problem(place=f"/set/{number}/value", message=wrong)
        if name in seen:
            yield Problem(place=f"/set/{number}/field", message=f"{section}.{name} is set twice")
        seen.append(name)


def _quotes(text: str) -> bool:
    return "{{" in text or "{%" in text


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _wrong_field(name: str, setting: Setting, section: Edited) -> str:
    if (section, name) == ("record", "pipeline"):
        return "the pipeline is not edited: there is the rule change_pipeline"
    try:
        field = setting.registry.find(f"{section}.{name}")
    except UnknownField as unknown:
        return str(unknown)
    return "" if field.writable else f"{section}.{name} is read-only"


def _wrong_how(item: Assignment, setting: Setting, section: Edited) -> str:
    name = item.name(section)
    field = setting.registry.section(section)[name]
    if item.how in ("append", "remove") and not field.multiple:
        return f"{section}.{name} holds one value: nothing is added to it or taken from it"
    if item.how == "clear" and item.value is not None:
        return "a field that is cleared has no value"
    if item.how == "clear" and (field.required or name == "stage"):
        return f"{section}.{name} is required"
    if "value" not in item.model_fields_set and item.how != "clear":
        return "say the value, or `how: clear`"
    return ""


def _wrong_constant(item: Assignment, setting: Setting, section: Edited) -> str:
    if not item.constant:
        return ""
    if any(isinstance(part, str) and _quotes(part) for part in _list(item.value)):
        return "the items of a list are taken as they are: a template stands alone"
    name = item.name(section)
    field = setting.registry.section(section)[name]
    try:
        value = parse(field, item.value)
    except WrongType as wrong:
        return str(wrong)
    stages = setting.stages[setting.pipeline]
    if (section, name) == ("record", "stage") and value not in stages:
        return f"there is no stage {value!r}; there is {', '.join(stages)}"
    if why := misfit(field, value):
        return why
    if field.type == "employee":
        unknown = [who for who in (_list(value) or [value]) if who and who not in setting.employees]
        return f"there is no employee {unknown[0]!r}" if unknown else ""
    if section != "record" and name in ("email", "phone"):
        return _wrong_address(name, [str(part) for part in _list(value)])
    return ""


def _wrong_address(name: str, written: Sequence[str]) -> str:
    """Of a phone number only the form can be judged here: the country of one that names none is a setting."""
    for one in written:
        if name == "email" and not _is_email(one):
            return f"{one!r} is no e-mail address"
        if name == "phone" and not any(letter.isdigit() for letter in one):
            return f"{one!r} is no phone number"
    return ""


def _is_email(text: str) -> bool:
    try:
        return bool(addresses.email(text))
    except ValueError:
        return False
