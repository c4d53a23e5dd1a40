"""Working time: which instants belong to it, and how to count in it.

Instants are aware datetimes; those returned are in UTC, to the microsecond. The ends of an interval are
clock times: one that does not exist moves forward by the gap, of two equal ones the first counts. What is
then left of the interval within its day is its working time, in elapsed minutes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from functools import cached_property
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    StringConstraints,
    model_validator,
)

from domain.period import EARLIEST, LATEST, ZoneName, bounded, localise, zone_named

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Span = tuple[datetime, datetime]
"""Two instants; both belong to it."""

_DAY, _WEEK = timedelta(days=1), timedelta(days=7)
_FIRST, _LAST = EARLIEST.date() + 4 * _WEEK, LATEST.date() - 4 * _WEEK      # there is no work beyond
_YEAR = 365
_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9]"


def _joined(written: object) -> object:
    """A pair of clock times is an interval too."""
    match written:
        case [str(start), str(end)]:
            return f"{start}-{end}"
    return written


Interval = Annotated[
    str, BeforeValidator(_joined), StringConstraints(pattern=rf"^{_CLOCK}-({_CLOCK}|24:00)$")]


def _in_order(intervals: list[str]) -> list[str]:
    reached = ""                                 # clock times of two digits compare as texts
    for interval in intervals:
        start, end = interval.split("-")
        if start >= end:
            raise ValueError(f"{interval} does not end after it starts; one over midnight is written as two")
        if start < reached:
            raise ValueError(f"{interval} starts before the interval above it ends")
        reached = end
    return intervals


Intervals = Annotated[list[Interval], AfterValidator(_in_order)]


class Calendar(BaseModel):
    """The working hours of an employee, a pipeline or the company.

    `week` names the intervals of each weekday, `"09:00-12:00"`, in order; a day not named is free, an
    interval may end at 24:00. `holidays` are free. `exceptions` say what holds on a date instead, whatever
    its weekday and holiday or not; an empty list closes it. A calendar that goes a year without working
    time is refused.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    zone: ZoneName
    week: dict[Weekday, Intervals]
    holidays: list[date] = []
    exceptions: dict[date, Intervals] = {}

    @model_validator(mode="after")
    def _has_working_time(self) -> Self:
        if not any(self.week.values()):
            raise ValueError("a calendar needs working time: every day of the week is free")
        reached = date.min
        for closed in self._special_days:
            if closed < reached or self.is_working_day(closed):
                continue
            reached = self.shift_working_days(closed, 1)
            last = self.shift_working_days(closed, -1)
            if (reached - last).days > _YEAR:
                raise ValueError(f"a calendar needs working time in every year: there is none after {last}")
        return self

    @cached_property
    def _tz(self) -> ZoneInfo:
        return zone_named(self.zone)

    @cached_property
    def _special(self) -> dict[date, list[str]]:
        return {day: [] for day in self.holidays} | self.exceptions

    @cached_property
    def _special_days(self) -> list[date]:
        return sorted(self._special)

    @cached_property
    def _usual_week(self) -> timedelta:
        """Working time of a week without special days and changes of the clock."""
        clocks = [interval.split("-") for intervals in self.week.values() for interval in intervals]
        return sum((_of_day(end) - _of_day(start) for start, end in clocks), timedelta())

    def _intervals(self, day: date) -> list[str]:
        special = self._special.get(day)
        return self.week.get(WEEKDAYS[day.weekday()], []) if special is None else special

    def is_working_day(self, day: date) -> bool:
        """Whether the day has working time."""
        return bool(self._intervals(day))

    def shift_working_days(self, day: date, number: int) -> date:
        """The working day so many after `day`, or before it if negative; for 0 `day`, working or not."""
        step = 1 if number > 0 else -1
        if not number:
            return day
        for near in _days(day, step):
            number -= step * (near != day and self.is_working_day(near))
            if not number:
                return near
        return _LAST if step > 0 else _FIRST

    def spans(self, day: date) -> list[Span]:
        """The working time of a day of the calendar's zone: in order, not touching, none empty."""
        if not (intervals := self._intervals(day)):
            return []
        dawn, dusk = (localise(datetime.combine(d, time.min), self._tz) for d in (day, day + _DAY))
        found: list[Span] = []
        for interval in intervals:
            start, end = (self._at(day, clock) for clock in interval.split("-"))
            if (start := max(start, dawn)) < (end := min(end, dusk)):
                found.append((start, end))
        return _merged(found)

    def next_working(self, instant: datetime) -> datetime:
        """The first working instant from this one on; both ends of an interval belong to it."""
        instant = bounded(instant)
        for day in _days(self._day_of(instant) - _DAY, 1):
            for start, end in self.spans(day):
                if instant <= end:
                    return max(start, instant)
        return LATEST

    def add_working(self, instant: datetime, minutes: int) -> datetime:
        """The working instant after which so many working minutes have passed since `instant`.

        Of two such instants (an end, and the next start) it is the one nearer to `instant`. Negative minutes
        count back. For 0 it is the first working instant from `instant` on.
        """
        instant = bounded(instant)
        if not minutes:
            return self.next_working(instant)
        left, step = timedelta(minutes=abs(minutes)), 1 if minutes > 0 else -1
        day = first = _within(self._day_of(instant) - step * _DAY)
        while _FIRST <= day <= _LAST:
            if left > self._usual_week and abs(day - first) > 2 * _DAY and self._is_usual_week(day, step):
                left -= self._usual_week
                day += step * _WEEK
                continue
            for start, end in self.spans(day)[::step]:
                low, high = (max(start, instant), end) if step > 0 else (start, min(end, instant))
                if high - low >= left:
                    return low + left if step > 0 else high - left
                left -= max(high - low, timedelta())
            day += step * _DAY
        return LATEST if step > 0 else EARLIEST

    def _is_usual_week(self, day: date, step: int) -> bool:
        """Whether neither a special day nor a change of the clock falls on the seven days from this one."""
        low = day if step > 0 else day + _DAY - _WEEK
        at = bisect_left(self._special_days, low)
        if at < len(self._special_days) and self._special_days[at] < low + _WEEK:
            return False
        midnight = datetime.combine(low, time.min, self._tz)
        usual = midnight.utcoffset()             # no zone has ever changed its clock and back within six days
        return all((midnight + n * _DAY).utcoffset() == usual for n in (-1, 2, 5, 8))

    def _at(self, day: date, clock: str) -> datetime:
        return localise(datetime.combine(day, time.min) + _of_day(clock), self._tz)

    def _day_of(self, instant: datetime) -> date:
        return instant.astimezone(self._tz).date()


def _of_day(clock: str) -> timedelta:
    hours, minutes = clock.split(":")
    return timedelta(hours=int(hours), minutes=int(minutes))


def _within(day: date) -> date:
    return min(max(day, _FIRST), _LAST)


def _days(day: date, step: int) -> Iterator[date]:
    """This day and those after (before) it."""
    day = _within(day)
    while _FIRST <= day <= _LAST:
        yield day
        day += step * _DAY


def _merged(spans: list[Span]) -> list[Span]:
    """What the spans cover, in order. A change of the clock may have laid one over another."""
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged
