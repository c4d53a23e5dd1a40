"""Conditions: the verdict of a tree of `all`, `any` and `not` over typed comparisons.

The field on the left decides how is compared: texts without regard to case, dates as calendar dates (an
instant is its date in the zone), instants as instants (a bare date is its 00:00 in the zone). A comparison
with an empty value is false, `is_empty` aside; `not` around it is then true. Of a field with several values
one that fits is enough; for `not_contains` and `not_in` none may fit. What no longer fits together at run
time, because a field changed its type, is false as well.
"""

from __future__ import annotations

import operator
import unicodedata
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, JsonValue

from domain.condition_check import check
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
    follows,
    leaves,
    reads,
)
from domain.fields import Problem, dump, is_empty
from domain.relative_time import (
    TICK,
    local_date,
    now_shifted,
    now_turns,
    start_of,
    today_shifted,
    today_turns,
)

__all__ = [
    "All", "Any_", "Comparison", "Condition", "Not", "Now", "Operand", "Operator", "OtherField", "Problem",
    "Today", "Values", "Verdict", "check", "follows", "judge", "leaves", "reads", "turns_at",
]

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)

Values = Mapping[str, object]
"""Typed values by full reference (`record.amount`); a missing one is empty."""


class Operand(BaseModel):
    """One comparison as it was judged: both sides in JSON form, for the journal."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    field: str
    op: Operator
    left: JsonValue
    right: JsonValue
    holds: bool


class Verdict(BaseModel):
    """Whether the condition holds, and every comparison of it, also those that could not change this."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    holds: bool
    operands: list[Operand]


def judge(condition: Condition, values: Values, now: datetime, zone: str) -> Verdict:
    """Judge the condition on the values of this moment.

    `now` is an instant in UTC; `zone` (an IANA name) says where days begin. Never raises on a condition
    that `check` let pass.
    """
    moment = _Moment(values, now, ZoneInfo(zone))
    operands: list[Operand] = []
    return Verdict(holds=_holds(condition, moment, operands), operands=operands)


def turns_at(condition: Condition, values: Values, now: datetime, zone: str) -> datetime | None:
    """The next instant (UTC) after `now` at which the clock turns a comparison with `now` or `today`.

    None when the clock will turn none while the values stay as they are.
    """
    found = (_turn(leaf, _Moment(values, now, ZoneInfo(zone))) for leaf in leaves(condition))
    return min((instant for instant in found if instant is not None), default=None)


class _Moment:
    """The values, the instant and the zone a condition is judged in."""

    def __init__(self, values: Values, now: datetime, zone: ZoneInfo) -> None:
        self.values, self.now, self.zone = values, now, zone

    def at(self, instant: datetime) -> _Moment:
        return _Moment(self.values, instant, self.zone)

    def read(self, reference: str) -> list[object]:
        """The values of a field that are not empty."""
        value = self.values.get(reference)
        several = value if isinstance(value, list | tuple) else [value]
        return [item for item in several if not is_empty(item)]

    def resolve(self, item: Single) -> list[object]:
        match item:
            case OtherField():
                return self.read(item.field)
            case Now():
                return [now_shifted(item.now, self.now, self.zone)]
            case Today():
                return [today_shifted(item.today, self.now, self.zone)]
        return [] if is_empty(item) else [item]

    def fitting(self, item: Single, like: object) -> list[object]:
        """What the item stands for, in the type of the value, if any, it is compared with."""
        resolved = self.resolve(item)
        found = resolved if like is None else [_fit(value, like, self.zone) for value in resolved]
        return [value for value in found if value is not None]


def _holds(condition: Condition, moment: _Moment, operands: list[Operand]) -> bool:
    match condition:
        case All():
            return all([_holds(part, moment, operands) for part in condition.all])  # noqa: C419  # judge every part
        case Any_():
            return any([_holds(part, moment, operands) for part in condition.any])  # noqa: C419
        case Not():
            return not _holds(condition.part, moment, operands)
        case Comparison():
            operand = _compare(condition, moment)
            operands.append(operand)
            return operand.holds


def _compare(leaf: Comparison, moment: _Moment) -> Operand:
    raw = moment.values.get(leaf.field)
    left = moment.read(leaf.field)
    sides = [moment.fitting(item, left[0] if left else None) for item in leaf.operands]
    shown = [_shown(item) for side in sides for item in side or [None]]
    right = [_key(item) for side in sides for item in side]
    mine = [key for key in map(_key, left) if right and key.kind == right[0].kind]
    if leaf.op in ("is_empty", "is_not_empty"):
        holds = (not left) == (leaf.op == "is_empty")
    elif not mine or (leaf.op not in ("in", "not_in") and not all(sides)):
        holds = False
    else:
        holds = _decide(leaf.op, mine, right, several=isinstance(raw, list | tuple))
    listed = isinstance(leaf.value, list) or leaf.op in ("in", "not_in")
    return Operand(field=leaf.field, op=leaf.op, left=_shown(raw), holds=holds,
                   right=shown if listed else next(iter(shown), None))


class _Key(NamedTuple):
    """A value in a form that compares: a folded text, or a size (a number, microseconds, days)."""

    kind: str
    text: str = ""
    size: Decimal | int = 0


_ORDER: dict[str, Callable[[_Key, _Key], bool]] = {
    "greater": operator.gt, "greater_or_equal": operator.ge,
    "less": operator.lt, "less_or_equal": operator.le,
}


def _decide(op: Operator, left: list[_Key], right: list[_Key], *, several: bool) -> bool:
    """Neither side is empty; all are of one kind."""
    first = right[0]
    match op:
        case "equal":
            return first in left
        case "not_equal":
            return first not in left
        case "in":
            return any(item in right for item in left)
        case "not_in":
            return not any(item in right for item in left)
        case "contains" | "not_contains":
            found = first in left if several or first.kind != "text" else first.text in left[0].text
            return found == (op == "contains")
        case "starts_with":
            return first.kind == "text" and any(item.text.startswith(first.text) for item in left)
    if len(left) > 1:
        return False        # several values have no order
    return first <= left[0] <= right[-1] if op == "between" else _ORDER[op](left[0], first)


def _fit(item: object, like: object, zone: ZoneInfo) -> object:
    """The item in the type of the field it is compared with; None when it does not fit."""
    match like:
        case bool():
            return item if isinstance(item, bool) else None
        case int() | float() | Decimal():
            number = isinstance(item, int | float | Decimal) and not isinstance(item, bool)
            return Decimal(str(item)) if number else None
        case str():
            return item if isinstance(item, str) else None
        case datetime():
            return _instant(item, zone)
        case date():
            return item if _is_date(item) else _date_of(_instant(item, zone), zone)
    return None


def _instant(item: object, zone: ZoneInfo) -> datetime | None:
    if isinstance(item, str):
        try:
            item = datetime.fromisoformat(item.strip()) if len(item.strip()) > len("2024-02-29") \
                else date.fromisoformat(item.strip())
        except ValueError:
            return None
    if isinstance(item, datetime):
        return item if item.tzinfo is not None else None
    return start_of(item, zone) if isinstance(item, date) else None


def _is_date(item: object) -> bool:
    return isinstance(item, date) and not isinstance(item, datetime)


def _date_of(instant: datetime | None, zone: ZoneInfo) -> date | None:
    return None if instant is None else local_date(instant, zone)


def _key(item: object) -> _Key:
    match item:
        case bool():
            return _Key("boolean", size=int(item))
        case int() | float() | Decimal() if Decimal(str(item)).is_finite():
            return _Key("number", size=Decimal(str(item)))
        case str():
            return _Key("text", text=unicodedata.normalize("NFC", item.casefold()))
        case datetime() if item.tzinfo is not None:
            return _Key("instant", size=(item - _EPOCH) // TICK)
        case date():
            return _Key("date", size=item.toordinal())
    return _Key(type(item).__name__)


def _shown(value: object) -> JsonValue:
    try:
        return dump(value)
    except TypeError:
        return str(value)


def _turn(leaf: Comparison, moment: _Moment) -> datetime | None:
    relative = [item for item in leaf.operands if isinstance(item, Now | Today)]
    if not relative:
        return None
    present = _compare(leaf, moment).holds
    times = [item for item in moment.read(leaf.field) if isinstance(item, date)]
    found = {turn for item in times for clock in relative for turn in _candidates(item, clock, moment.zone)}
    later = sorted(turn for turn in found if turn > moment.now)
    return next((instant for instant in later if _compare(leaf, moment.at(instant)).holds != present), None)


def _candidates(value: date, clock: Now | Today, zone: ZoneInfo) -> list[datetime]:
    try:
        if isinstance(value, datetime):
            targets = [value]
        else:
            targets = [start_of(value, zone), start_of(value + _DAY, zone)]
        if isinstance(clock, Now):
            return [instant for target in targets for instant in now_turns(clock.now, target, zone)]
        return [instant for target in targets for instant in today_turns(clock.today, target, zone)]
    except OverflowError:
        return []       # beyond the years the calendar has: the clock will not get there
