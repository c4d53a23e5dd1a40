"""`now` and `today`, plus or minus a period: what they are at an instant, and when the clock turns them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict
from pydantic import Field as Described

TICK = timedelta(microseconds=1)
_YEARS = 100
_REACH = timedelta(days=2)
_STRIDE = timedelta(hours=4)


def _up_to(days_or_parts: int) -> object:
    return Described(ge=-_YEARS * 366 * days_or_parts, le=_YEARS * 366 * days_or_parts, strict=True)


class Shift(BaseModel):
    """A period forward or back. Days are calendar days in the zone, hours and minutes elapsed time."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    days: Annotated[int, _up_to(1)] = 0
    hours: Annotated[int, _up_to(24)] = 0
    minutes: Annotated[int, _up_to(24 * 60)] = 0

    @property
    def span(self) -> timedelta:
        """The whole of it, a day being 24 hours: to compare two of them."""
        return timedelta(days=self.days) + self.elapsed

    @property
    def elapsed(self) -> timedelta:
        return timedelta(hours=self.hours, minutes=self.minutes)


def start_of(day: date, zone: ZoneInfo) -> datetime:
    """The instant (UTC) of 00:00 of the day; where the clock has none, the first instant after the gap."""
    return at_wall(datetime.combine(day, time.min), zone)


def at_wall(wall: datetime, zone: ZoneInfo, fold: Literal[0, 1] = 0) -> datetime:
    """The instant (UTC) of a clock time. One that does not exist moves forward by the gap (PEP 495)."""
    try:
        return wall.replace(tzinfo=zone, fold=fold).astimezone(UTC)
    except OverflowError:                    # the very ends of the calendar, written for "never"
        return wall.replace(tzinfo=UTC)


def local_date(instant: datetime, zone: ZoneInfo) -> date:
    """The date of an instant in the zone."""
    try:
        return instant.astimezone(zone).date()
    except OverflowError:
        return instant.date()


def now_shifted(shift: Shift, now: datetime, zone: ZoneInfo) -> datetime:
    """`now` plus or minus the period, in UTC: 09:00 plus days stays 09:00 across DST."""
    if not shift.days:
        return now.astimezone(UTC) + shift.elapsed
    wall = now.astimezone(zone).replace(tzinfo=None)
    return at_wall(wall + timedelta(days=shift.days), zone) + shift.elapsed


def today_shifted(shift: Shift, now: datetime, zone: ZoneInfo) -> datetime:
    """00:00 of the present day in the zone, plus or minus the period, in UTC."""
    return start_of(now.astimezone(zone).date() + timedelta(days=shift.days), zone) + shift.elapsed


def now_turns(shift: Shift, target: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """Every instant at which `now` plus the period may reach, leave or jump over the target, unordered."""
    target = target - shift.elapsed
    if not shift.days:
        yield from (target, target + TICK)
        return
    days = timedelta(days=shift.days)
    wall = target.astimezone(zone).replace(tzinfo=None)
    walls = {wall}
    for before, after in _jumps(target, zone):
        walls |= {before, after, wall - (after - before)}      # the last moves forward to it, out of a gap
    for before, after in _jumps(target - days, zone):
        walls |= {before + days, after + days}
    for met in walls:
        for instant in (at_wall(met - days, zone, fold=0), at_wall(met - days, zone, fold=1)):
            yield from (instant, instant + TICK)


def today_turns(shift: Shift, target: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """Every instant at which `today` plus the period may reach or pass the target: starts of days."""
    day = (target - shift.elapsed).astimezone(zone).date() - timedelta(days=shift.days)
    for near in range(-1, 3):
        yield start_of(day + timedelta(days=near), zone)


def _jumps(around: datetime, zone: ZoneInfo) -> Iterator[tuple[datetime, datetime]]:
    """The clock times just before and just after each change of the zone's offset within two days."""
    low = around.astimezone(UTC) - _REACH
    end = low + 2 * _REACH
    while low < end:
        high = low + _STRIDE
        if _offset(low, zone) != _offset(high, zone):
            change = _change(low, high, zone)
            utc = change.replace(tzinfo=None)
            yield utc + _offset(change - TICK, zone), utc + _offset(change, zone)
        low = high


def _change(low: datetime, high: datetime, zone: ZoneInfo) -> datetime:
    """The first instant of the new offset: transitions fall on whole seconds."""
    low, high = low.replace(microsecond=0), high.replace(microsecond=0)
    before = _offset(low, zone)
    while high - low > timedelta(seconds=1):
        middle = (low + (high - low) / 2).replace(microsecond=0)
        low, high = (middle, high) if _offset(middle, zone) == before else (low, middle)
    return high


def _offset(instant: datetime, zone: ZoneInfo) -> timedelta:
    return instant.astimezone(zone).utcoffset() or timedelta()
