"""Whom a control tells that it is late, and when: at the deadline, then level by level."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from domain.calendar import Calendar
from domain.holds.control import Control
from domain.period import Period, localise, zone_named


class Notice(NamedTuple):
    """One notice, in working time where there is a calendar. Numbers count from 1."""

    number: int
    at: datetime
    recipients: list[str]


def notices(params: Control, deadline: datetime, calendar: Calendar | None, zone: str) -> list[Notice]:
    """All notices of a control that is late, in order.

    Each `after` counts from the deadline, in working time if the deadline does; a notice that falls outside
    working time is given at the next working instant.
    """
    planned = [(deadline, params.recipients)]
    counted = calendar if params.deadline.working_time else None
    for level in params.escalate:
        at = _later(deadline, level.after, counted, zone)
        planned.append((at, level.recipients))
        if level.repeat:
            for _ in range(level.repeat.at_most):
                at = _later(at, level.repeat.every, counted, zone)
                planned.append((at, level.recipients))
    return [
        Notice(number, calendar.next_working(at) if calendar else at, recipients)
        for number, (at, recipients) in enumerate(sorted(planned, key=lambda p: p[0]), 1)
    ]


def next_notice(planned: Sequence[Notice], number: int) -> Notice | None:
    """The notice of that number; None when the escalation is exhausted."""
    return planned[number - 1] if number <= len(planned) else None


def _later(start: datetime, period: Period, calendar: Calendar | None, zone: str) -> datetime:
    if calendar is None:
        return period.add(start, zone_named(zone))
    if period.days is None:
        return calendar.add_working(start, period.span // timedelta(minutes=1))
    local = zone_named(calendar.zone)
    wall = start.astimezone(local).replace(tzinfo=None)
    day = calendar.shift_working_days(wall.date(), period.days)
    return localise(datetime.combine(day, wall.time()), local)
