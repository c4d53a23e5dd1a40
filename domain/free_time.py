"""When everybody who is needed is free at once: working time, less what is taken."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from domain.calendar import Calendar, Span
from domain.period import LATEST

_DAY = timedelta(days=1)


def first_free(
    wanted: datetime, until: datetime, end_of: Callable[[datetime], datetime], calendars: Sequence[Calendar],
    taken: Iterable[Span],
) -> datetime | None:  # fmt: skip
    """The first start (UTC) from `wanted` to `until`, both in, at which all is free up to its end.

    `end_of` tells the end of a start. Start and end lie in one stretch of the working time of every calendar;
    without calendars all time is working time. What is taken lasts up to, and without, its end. None if there
    is no such start.
    """
    last = end_of(until)
    open_ = [(wanted, last)]
    for calendar in calendars:
        open_ = list(_common(open_, _worked(calendar, wanted, last)))
    for low, high in _without(open_, sorted(taken)):
        if low <= until and end_of(low) <= high:
            return low
    return None


def _worked(calendar: Calendar, low: datetime, high: datetime) -> Iterator[Span]:
    """The working time between two instants in order; what touches, as over midnight, is one stretch."""
    zone = ZoneInfo(calendar.zone)
    day, final = low.astimezone(zone).date() - _DAY, min(high, LATEST).astimezone(zone).date() + _DAY
    stretch: Span | None = None
    while day <= final:
        for start, end in calendar.spans(day):
            if stretch and start <= stretch[1]:
                stretch = stretch[0], max(end, stretch[1])
                continue
            if stretch:
                yield stretch
            stretch = start, end
        day += _DAY
    if stretch:
        yield stretch


def _common(mine: Sequence[Span], other: Iterable[Span]) -> Iterator[Span]:
    """What lies in both; each is in order and does not touch itself."""
    theirs = list(other)
    i = j = 0
    while i < len(mine) and j < len(theirs):
        low, high = max(mine[i][0], theirs[j][0]), min(mine[i][1], theirs[j][1])
        if low < high:
            yield low, high
        if mine[i][1] < theirs[j][1]:
            i += 1
        else:
            j += 1


def _without(free: Iterable[Span], taken: Sequence[Span]) -> Iterator[Span]:
    """What is left of stretches in order; `taken` is ordered by its starts and may overlap."""
    place = 0
    for low, high in free:
        reached = low
        while place < len(taken) and taken[place][0] < high:
            start, end = taken[place]
            if reached < start:
                yield reached, start
            reached = max(reached, end)
            if end > high:  # it may reach into the next stretch
                break
            place += 1
        if reached < high:
            yield reached, high
