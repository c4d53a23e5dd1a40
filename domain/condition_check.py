"""What is checked of a condition when its rule is saved, so that judging it cannot fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from pydantic import BaseModel

from domain.condition_tree import (
    All,
    Any_,
    Comparison,
    Condition,
    Not,
    Now,
    Operator,
    OtherField,
    Single,
    Today,
)
from domain.fields import Field, FieldType, Problem, Registry, Steps, UnknownField, WrongType, is_empty, parse
from domain.references import resolve

_EMPTINESS: frozenset[Operator] = frozenset({"is_empty", "is_not_empty"})
_LISTS: frozenset[Operator] = frozenset({"in", "not_in"})
_SAME: frozenset[Operator] = _EMPTINESS | {"equal", "not_equal"}
_ORDER: frozenset[Operator] = frozenset({"greater", "greater_or_equal", "less", "less_or_equal", "between"})
_PARTS: frozenset[Operator] = frozenset({"contains", "not_contains", "starts_with"})
_FIT: dict[FieldType, frozenset[Operator]] = {
    "text": _SAME | _LISTS | _ORDER | _PARTS,
    "email": _SAME | _LISTS | _ORDER | _PARTS,
    "number": _SAME | _LISTS | _ORDER,
    "money": _SAME | _LISTS | _ORDER,
    "date": _SAME | _LISTS | _ORDER,
    "datetime": _SAME | _LISTS | _ORDER,
    "booking": _SAME | _LISTS | _ORDER,
    "boolean": _SAME,
    "choice": _SAME | _LISTS,
    "employee": _SAME | _LISTS,
}
_FIT_MANY: frozenset[Operator] = _EMPTINESS | _LISTS | {"contains", "not_contains"}
_GROUPS: dict[FieldType, str] = {
    "text": "a text", "email": "a text", "choice": "a text", "employee": "a text",
    "number": "a number", "money": "a number",
    "date": "a time", "datetime": "a time", "booking": "a time",
    "boolean": "true or false",
}
_Find = Callable[[str], Field]


def check(condition: Condition, registry: Registry, steps: Steps) -> list[Problem]:
    """Everything that is wrong with the condition, not only the first; empty when it may be saved.

    `steps` are the results of earlier rules of the stage. Places are JSON pointers into the condition.
    """
    return list(_tree(condition, "", partial(resolve, registry=registry, steps=steps)))


def _tree(condition: Condition, place: str, find: _Find) -> Iterator[Problem]:
    match condition:
        case All():
            for number, part in enumerate(condition.all):
                yield from _tree(part, f"{place}/all/{number}", find)
        case Any_():
            if not condition.any:
                yield Problem(place=f"{place}/any", message="any of nothing is never true")
            for number, part in enumerate(condition.any):
                yield from _tree(part, f"{place}/any/{number}", find)
        case Not():
            yield from _tree(condition.part, f"{place}/not", find)
        case Comparison():
            yield from _comparison(condition, place, find)


def _comparison(leaf: Comparison, place: str, find: _Find) -> Iterator[Problem]:
    left: Field | None = None
    try:
        left = find(leaf.field)
    except UnknownField as unknown:
        yield Problem(place=f"{place}/field", message=_reason(unknown))
    if left is not None and leaf.op not in _operators(left):
        yield Problem(place=f"{place}/op", message=_unfit(leaf, left))
    shape = _shape(leaf)
    if shape:
        yield Problem(place=f"{place}/value", message=shape)
    elif left is not None and leaf.op == "between" and _reversed(leaf, left):
        yield Problem(place=f"{place}/value", message="'between' has the lower value first")
    for number, item in enumerate(leaf.operands if leaf.op not in _EMPTINESS else []):
        where = f"{place}/value/{number}" if isinstance(leaf.value, list) else f"{place}/value"
        yield from _operand(item, where, left, leaf, find)


def _operators(field: Field) -> frozenset[Operator]:
    if field.multiple:
        return _FIT_MANY | ({"starts_with"} if field.type in ("text", "email") else frozenset())
    return _FIT[field.type]


def _unfit(leaf: Comparison, left: Field) -> str:
    if left.multiple:
        return f"{leaf.op!r} does not fit {leaf.field}, which has several values; use 'contains' or 'in'"
    return f"{leaf.op!r} does not fit {leaf.field}, which is of type {left.type}"


def _shape(leaf: Comparison) -> str:
    several = leaf.value if isinstance(leaf.value, list) else None
    if leaf.op in _EMPTINESS:
        return f"{leaf.op!r} takes no value" if leaf.value is not None else ""
    if leaf.op in _LISTS:
        if several is None and not isinstance(leaf.value, OtherField):
            return f"{leaf.op!r} needs a list"
        return f"{leaf.op!r} needs at least one value" if several == [] else ""
    if leaf.op == "between":
        return "" if several is not None and len(several) == 2 else "'between' needs a list of two values"
    if leaf.value is None:
        return f"{leaf.op!r} needs a value"
    return f"{leaf.op!r} takes one value, not a list" if several is not None else ""


def _reversed(leaf: Comparison, left: Field) -> bool:
    """Whether two constants, or two of the same moment, are the wrong way round."""
    match leaf.operands:
        case [Now(now=low), Now(now=high)] | [Today(today=low), Today(today=high)]:
            return low.span > high.span
        case [low, high] if not isinstance(low, BaseModel) and not isinstance(high, BaseModel):
            one = left.model_copy(update={"multiple": False})
            try:
                first, last = parse(one, low), parse(one, high)
            except WrongType:
                return False  # which is said of the value
            if isinstance(first, str) and isinstance(last, str):
                return first.casefold() > last.casefold()
            return type(first) is type(last) and first > last  # type: ignore[operator]  # of one type
    return False


def _operand(
    item: Single, place: str, left: Field | None, leaf: Comparison, find: _Find,
) -> Iterator[Problem]:
    message = ""
    if isinstance(item, OtherField):
        try:
            message = _other(find(item.field), item.field, left, leaf)
        except UnknownField as unknown:
            place, message = f"{place}/field", _reason(unknown)
    elif left is not None:
        message = _relative(leaf, left) if isinstance(item, Now | Today) else _constant(item, leaf, left)
    if message:
        yield Problem(place=place, message=message)


def _other(right: Field, reference: str, left: Field | None, leaf: Comparison) -> str:
    listed = leaf.op in _LISTS and not isinstance(leaf.value, list)
    if listed and not right.multiple:
        return f"{leaf.op!r} needs a list or a field with several values; {reference} has one"
    if right.multiple and not listed:
        return f"{reference} has several values; ask whether it contains the other one"
    if left is not None and _GROUPS[left.type] != _GROUPS[right.type]:
        return f"{leaf.field} is {_GROUPS[left.type]}, {reference} is {_GROUPS[right.type]}"
    return ""


def _relative(leaf: Comparison, left: Field) -> str:
    return "" if _GROUPS[left.type] == "a time" else f"{leaf.field} is {_GROUPS[left.type]}, not a time"


def _constant(raw: str | bool | float, leaf: Comparison, left: Field) -> str:
    if is_empty(raw):
        return "a comparison with an empty value is never true; use 'is_empty'"
    if _GROUPS[left.type] == "a number" and isinstance(raw, str):
        return f"{leaf.field} is a number, {raw[:80]!r} is a text"
    if left.type == "boolean" and isinstance(raw, str):
        return f"{leaf.field} is true or false, {raw[:80]!r} is a text"
    one = left.model_copy(update={"multiple": False})
    if left.type == "email":  # also a part of one, as `@firm.example`
        one = one.model_copy(update={"type": "text"})
    bare_date = isinstance(raw, str) and len(raw.strip()) == len("2024-02-29")
    if left.type in ("datetime", "booking") and bare_date:
        one = one.model_copy(update={"type": "date"})      # a bare date is its 00:00
    try:
        parse(one, raw)
    except WrongType as wrong:
        return str(wrong)
    return ""


def _reason(unknown: UnknownField) -> str:
    if unknown.reference.startswith("steps."):
        return f"{unknown}; results of earlier rules of the stage may be read as steps.<rule id>.<result>"
    return str(unknown)
