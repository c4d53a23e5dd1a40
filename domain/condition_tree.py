"""How a condition is written: the nodes of its tree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, FiniteFloat, Strict, Tag
from pydantic import Field as Described

from domain.relative_time import Shift

Operator = Literal[
    "equal", "not_equal", "greater", "greater_or_equal", "less", "less_or_equal", "in", "not_in",
    "contains", "not_contains", "starts_with", "is_empty", "is_not_empty", "between",
]


class _Node(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)


class OtherField(_Node):
    """The value of another field."""

    field: str


class Now(_Node):
    """The present instant plus or minus a period: `{"now": {"days": 2}}`."""

    now: Shift


class Today(_Node):
    """00:00 of the present day in the zone plus or minus a period: `{"today": {"days": -1}}`."""

    today: Shift


Constant = Annotated[str, Strict()] | Annotated[bool, Strict()] | Annotated[int, Strict()] | FiniteFloat
Single = Constant | OtherField | Now | Today


class Comparison(_Node):
    """A field, an operator, and a value: none for `is_empty`, a list for `in` and `between`."""

    field: str
    op: Operator
    value: Single | list[Single] | None = None

    @property
    def operands(self) -> list[Single]:
        """What stands on the right, as a list in any case."""
        if self.value is None:
            return []
        return self.value if isinstance(self.value, list) else [self.value]


class All(_Node):
    """True when every part is; also when there is none."""

    all: list[Condition]


class Any_(_Node):  # noqa: N801  # `Any` is a word of typing's
    """True when at least one part is."""

    any: list[Condition]


class Not(_Node):
    """True when its part is not: `{"not": {...}}`."""

    part: Annotated[Condition, Described(alias="not")]


def _shape(raw: object) -> str | None:
    for shape, node in (("all", All), ("any", Any_), ("not", Not), ("field", Comparison)):
        if isinstance(raw, node) or (isinstance(raw, dict) and shape in raw):
            return shape
    return None


Condition = Annotated[
    Annotated[All, Tag("all")] | Annotated[Any_, Tag("any")] | Annotated[Not, Tag("not")]
    | Annotated[Comparison, Tag("field")],
    Discriminator(_shape, custom_error_type="condition", custom_error_message=(
        "a condition is one of {\"all\": [...]}, {\"any\": [...]}, {\"not\": {...}} "
        "or {\"field\": ..., \"op\": ..., \"value\": ...}")),
]

for _node in (All, Any_, Not):
    _node.model_rebuild()


def leaves(condition: Condition) -> Iterator[Comparison]:
    """Every comparison of the tree, in the order they are written."""
    match condition:
        case All():
            for part in condition.all:
                yield from leaves(part)
        case Any_():
            for part in condition.any:
                yield from leaves(part)
        case Not():
            yield from leaves(condition.part)
        case Comparison():
            yield condition


def reads(condition: Condition) -> frozenset[str]:
    """References of all fields the condition reads, on either side."""
    found: set[str] = set()
    for leaf in leaves(condition):
        found.add(leaf.field)
        found.update(item.field for item in leaf.operands if isinstance(item, OtherField))
    return frozenset(found)


def follows(condition: Condition) -> frozenset[str]:
    """What a condition that is waited for is judged again for: its fields, and what decides the zone."""
    return reads(condition) | {"zone", "responsible"}
