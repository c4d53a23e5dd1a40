"""A condition in words, for people who ask for what something waits."""

from __future__ import annotations

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
from domain.relative_time import Shift

_WORDS: dict[Operator, str] = {
    "equal": "is", "not_equal": "is not", "greater": "is above", "greater_or_equal": "is at least",
    "less": "is below", "less_or_equal": "is at most", "in": "is one of", "not_in": "is none of",
    "contains": "contains", "not_contains": "does not contain", "starts_with": "starts with",
    "is_empty": "is empty", "is_not_empty": "is not empty", "between": "is between",
}  # fmt: skip


def in_words(condition: Condition) -> str:
    """As `record.amount is above 5000 and record.signed is true`."""
    match condition:
        case All():
            return " and ".join(map(_part, condition.all)) or "nothing more is asked for"
        case Any_():
            return " or ".join(map(_part, condition.any))
        case Not():
            return f"not {_part(condition.part)}"
        case Comparison():
            return _comparison(condition)


def _part(condition: Condition) -> str:
    said = in_words(condition)
    return said if isinstance(condition, Comparison) else f"({said})"


def _comparison(leaf: Comparison) -> str:
    right = [_single(item) for item in leaf.operands]
    joined = " and ".join(right) if leaf.op == "between" else ", ".join(right)
    return f"{leaf.field} {_WORDS[leaf.op]} {joined}".strip()


def _single(item: Single) -> str:
    match item:
        case OtherField():
            return item.field
        case Now():
            return f"now{_shift(item.now)}"
        case Today():
            return f"today{_shift(item.today)}"
        case bool():
            return str(item).lower()
        case str():
            return repr(item)
    return f"{item:g}" if isinstance(item, float) else str(item)


def _shift(shift: Shift) -> str:
    units = ("days", "hours", "minutes")
    parts = [f"{amount:+d} {unit}" for unit in units if (amount := getattr(shift, unit))]
    return "".join(f" {part[0]} {part[1:]}" for part in parts)
