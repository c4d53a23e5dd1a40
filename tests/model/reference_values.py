"""What the reference model computes with: calendars, moments, comparisons, and when the clock turns them.

A part of its own because it knows nothing of records, visits and rules, and because the model would not fit
into its 700 lines with it. As there: the standard library alone, and nothing comes from the product.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from functools import cache
from hashlib import sha256
from typing import Any
from zoneinfo import ZoneInfo

Json = dict[str, Any]
Spans = list[list[str]]  # from and until, both instants

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
TICK = timedelta(microseconds=1)


# ---------------------------------------------------------------- clocks and calendars


def parse_instant(text: str) -> datetime:
    """An instant with an offset, as UTC."""
    return datetime.fromisoformat(text).astimezone(UTC)


def at_wall(day: date, clock: time, zone: ZoneInfo) -> datetime:
    """The instant of a wall-clock time: one that does not exist moves forward by the gap, of two the first.

    `fold=0` is both: in a gap it takes the offset from before it, of two equal times the first.
    """
    return datetime.combine(day, clock.replace(fold=0), zone).astimezone(UTC)


class Calendar:
    """Working time: `week` by day name, `holidays`, and `exceptions` (a date's own intervals)."""

    def __init__(self, data: Json, zone: str) -> None:
        self.zone = ZoneInfo(data.get("zone") or zone)
        self.week = [data.get("week", {}).get(name, []) for name in WEEKDAYS]
        self.special: dict[str, list[list[str]]] = {day: [] for day in data.get("holidays", [])}
        self.special.update(data.get("exceptions", {}))
        self.known: dict[date, list[tuple[datetime, datetime]]] = {}

    def intervals(self, day: date) -> list[tuple[datetime, datetime]]:
        """The working intervals of a local day, in order, in UTC."""
        if day not in self.known:
            spans = self.special.get(day.isoformat(), self.week[day.weekday()])
            self.known[day] = sorted((self._instant(day, a), self._instant(day, b)) for a, b in spans)
        return self.known[day]

    def _instant(self, day: date, clock: str) -> datetime:
        if clock == "24:00":
            return at_wall(day + DAY, time(0), self.zone)
        return at_wall(day, time.fromisoformat(clock), self.zone)

    def _around(self, at: datetime, sign: int) -> Iterator[tuple[datetime, datetime]]:
        """All intervals that may touch what comes after (sign 1) or before (sign -1) an instant."""
        day = at.astimezone(self.zone).date() - sign * DAY
        for n in range(5 * 366):
            spans = self.intervals(day + sign * n * DAY)
            yield from spans if sign > 0 else reversed(spans)
        raise ValueError("no working time")

    def forward(self, at: datetime) -> datetime:
        """The first working instant from `at` on; both ends of an interval belong to it."""
        return next(max(start, at) for start, end in self._around(at, 1) if at <= end)

    def count_time(self, at: datetime, left: timedelta, sign: int) -> datetime:
        """`left` of working time after (sign 1) or before (sign -1) `at`."""
        for start, end in self._around(at, sign):
            first, last = (max(start, at), end) if sign > 0 else (start, min(end, at))
            if last <= first:
                continue
            if last - first >= left:
                return first + left if sign > 0 else last - left
            left -= last - first
        raise ValueError("no working time")

    def count_days(self, day: date, left: int, sign: int) -> date:
        """The `left`-th working day after (before) a day."""
        while left:
            day += sign * DAY
            left -= bool(self.intervals(day))
        return day


@cache
def calendar_of(text: str, zone: str) -> Calendar:
    return Calendar(json.loads(text), zone)


def read_moment(value: object, zone: ZoneInfo) -> datetime | None:
    """A date field's instant: a bare date is its 00:00 in the zone; None if empty or unreadable."""
    if not isinstance(value, str):
        return None
    try:
        if len(value) == 10:
            return at_wall(date.fromisoformat(value), time(0), zone)
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return at_wall(moment.date(), moment.time(), zone)
    return moment.astimezone(UTC)


def length_of(period: Json) -> timedelta:
    """A period as elapsed time, a day being 24 hours."""
    return timedelta(**period)


def due_of(
    schedule: Json, turn: datetime, written: object, zone: ZoneInfo, calendar: Calendar | None, away: Spans
) -> datetime | None:
    """Basis, offset, clock time, working time, on duty; None when the basis is empty or unreadable.

    `written` is the value of the date field that is the basis, `away` when the responsible is absent.
    """
    calendar = calendar if schedule.get("working_time") else None
    zone = calendar.zone if calendar else zone
    now = (schedule.get("basis") or "now") == "now"
    at = turn if now else read_moment(written, zone)
    if at is None:
        return None
    sign = -1 if schedule.get("before") else 1
    period = schedule.get("before") or schedule.get("after") or {}
    unit, amount = next(((u, n) for u, n in period.items() if n), ("", 0))
    clock = schedule.get("at")
    local = at.astimezone(zone)
    day = local.date()
    if unit == "days":
        day = calendar.count_days(day, amount, sign) if calendar else day + sign * amount * DAY
        at = at_wall(day, time.fromisoformat(clock) if clock else local.time(), zone)
    elif unit and calendar:
        at = calendar.count_time(at, timedelta(**{unit: amount}), sign)
    elif unit:
        at += sign * timedelta(**{unit: amount})
    elif clock:
        at = at_wall(day, time.fromisoformat(clock), zone)
        if now and at < turn:
            at = at_wall(day + DAY, time.fromisoformat(clock), zone)
    at = calendar.forward(at) if calendar else at
    cap, local = schedule.get("on_duty_cap") or {"days": 5}, at.astimezone(zone)
    day = local.date() + cap.get("days", 0) * DAY  # of the calendar, as those of an offset
    last = at_wall(day, local.time(), zone) if "days" in cap else at + length_of(cap)
    while schedule.get("on_duty") and at < last:
        ends = [parse_instant(b) for a, b in away if parse_instant(a) <= at < parse_instant(b)]
        if not ends:
            break
        at = min(max(ends), last)
        at = calendar.forward(at) if calendar else at
    return at


def share_of(name: str) -> float:
    """The part of a period over which steps are spread, from 0 to 1: SHA-256, its first four bytes."""
    return int.from_bytes(sha256(name.encode()).digest()[:4], "big") / 2**32


# ---------------------------------------------------------------- conditions


def is_empty(value: object) -> bool:
    return value is None or value in ("", [])


def number(value: object) -> Decimal | None:
    if isinstance(value, bool):
        return None
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def order(left: object, right: object, zone: ZoneInfo) -> int:
    """-1, 0 or 1: as numbers, else as instants, else as texts without regard to case."""
    moment = read_moment(left, zone)
    if moment and len(str(left)) == 10:  # a bare date is compared as a date
        left, other = (
            moment.astimezone(zone).date().isoformat(),
            read_moment(right, zone) if isinstance(right, str) else right,
        )
        right = other.astimezone(zone).date().isoformat() if isinstance(other, datetime) else right
        return (left > str(right)) - (left < str(right))
    for read in (number, lambda value: value if isinstance(value, datetime) else read_moment(value, zone)):
        a, b = read(left), read(right)
        if a is not None and b is not None:
            return (a > b) - (a < b)  # type: ignore[operator]  # both were read by the same reader
    text, than = str(left).casefold(), str(right).casefold()
    return (text > than) - (text < than)


def comparisons(tree: Json | None) -> Iterator[Json]:
    """The comparisons of a condition."""
    if not tree:
        return
    for part in (*tree.get("all", ()), *tree.get("any", ()), *([tree["not"]] if "not" in tree else ())):
        yield from comparisons(part)
    if "op" in tree:
        yield tree


def by_policy(schedule: Json, due: datetime | None, since: datetime) -> tuple[str, datetime | None]:
    """`if_past` or `if_empty`, if that ends what is scheduled so; else its due time."""
    word = "if_empty" if due is None else "if_past" if due < since else ""
    policy = schedule.get(word) or ("wait_for_value" if word == "if_empty" else "run_now")
    if word and policy in ("skip", "fail"):
        return word, None
    return "", since if word and policy == "run_now" else due


def reads(tree: Json | None) -> set[str]:
    """What a condition is judged again for: its fields, and who is responsible, which decides the zone."""
    listed = list(comparisons(tree))
    right = [one["value"] for one in listed if isinstance(one.get("value"), dict)]
    fields = {side["field"] for side in (*listed, *right) if "field" in side}
    return fields | {"responsible"} if listed else fields


def compare(op: str, left: object, right: object, zone: ZoneInfo) -> bool:
    """Judge one comparison; with an empty value it is false, `is_empty` aside."""
    if op in ("is_empty", "is_not_empty"):
        return is_empty(left) == (op == "is_empty")
    if is_empty(left) or is_empty(right):
        return False
    listed: list[Any] = right if isinstance(right, list) else [right]
    if op in ("in", "not_in"):
        return any(order(left, one, zone) == 0 for one in listed) == (op == "in")
    if op in ("contains", "not_contains"):
        if isinstance(left, list):
            found = any(order(one, right, zone) == 0 for one in left)
        else:
            found = str(right).casefold() in str(left).casefold()
        return found == (op == "contains")
    if op == "starts_with":
        return str(left).casefold().startswith(str(right).casefold())
    if op == "between":
        return order(left, listed[0], zone) >= 0 and order(left, listed[1], zone) <= 0
    sense = order(left, right, zone)
    return {
        "equal": sense == 0, "not_equal": sense != 0, "greater": sense > 0,
        "greater_or_equal": sense >= 0, "less": sense < 0, "less_or_equal": sense <= 0,
    }[op]  # fmt: skip


# ---------------------------------------------------------------- the clock as an operand


def by_the_clock(value: object) -> bool:
    """Is this operand `now` or `today`, plus or minus a period?"""
    return isinstance(value, dict) and bool(value.keys() & {"now", "today"})


def parts_of(period: Json | None) -> tuple[int, timedelta]:
    """A period as calendar days and the rest."""
    days = int((period or {}).get("days", 0))
    return days, length_of({unit: n for unit, n in (period or {}).items() if unit != "days"})


def clock_operand(value: Json, now: datetime, zone: ZoneInfo) -> datetime:
    """`now` or `today` with its period, at an instant."""
    word, period = next(iter(value.items()))
    days, rest = parts_of(period)
    if not days and word == "now":
        return now + rest
    local = now.astimezone(zone)
    return at_wall(local.date() + days * DAY, time(0) if word == "today" else local.time(), zone) + rest


def turns(left: object, value: Json, zone: ZoneInfo) -> set[datetime]:
    """All instants at which a comparison of `left` with a clock operand may turn, and some more.

    The operand reaches `left` (a bare date: its midnight or the next) after the period, give or take an hour
    that the clocks may be changed by between the two; a comparison turns there or a tick later. Else it
    turns where the operand jumps: at midnight (`today`), and at full hours at which clocks are changed.
    """
    reached = read_moment(left, zone)
    if reached is None:
        return set()
    days, rest = parts_of(next(iter(value.values())))
    goals = [reached, at_wall(reached.astimezone(zone).date() + DAY, time(0), zone)]
    found: set[datetime] = set()
    for goal in goals if len(str(left)) == 10 else goals[:1]:
        for shift in (-HOUR, 0 * HOUR, HOUR):
            at = goal - rest - days * DAY + shift
            full = at.replace(minute=0, second=0, microsecond=0)
            midnights = [at_wall(at.astimezone(zone).date() + n * DAY, time(0), zone) for n in (-1, 0, 1, 2)]
            found |= {at, *(full + n * HOUR for n in (-2, -1, 0, 1, 2)), *midnights}
    return found | {at + TICK for at in found}
