"""When an employee is free: in working time, not absent, in no other meeting, not booked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from pydantic import BaseModel
from sqlalchemy import DateTime, String, bindparam, text

from db.facts import EmployeeRow
from db.locked import Locked
from domain.calendar import Calendar, Span
from domain.period import LATEST, localise

HORIZON: Final = timedelta(days=60)
"""So far ahead a free time is looked for."""
_HOUR: Final = timedelta(hours=1)


async def free_hour(
    locked: Locked, person: EmployeeRow, start: datetime, length: timedelta
) -> datetime | None:
    """The first time from `start` on at which the employee can be met for so long; None within 60 days.

    It begins with working time, or with a full hour of it, and all of it is working time: that of the
    employee's calendar, else the pipeline's, else the company's. Without any, all time is. Who asks for the
    time of an employee waits for others who do, until their transaction has ended: no two get the same.
    """
    if start > LATEST - 2 * HORIZON:
        return None
    await locked.tx.execute(_IN_TURN, {"who": person.id})
    near = locked.around
    asked = {
        "who": person.id, "resource": f"employee:{person.id}",
        "start": start, "until": start + HORIZON + length,
        "calendar": person.calendar_id or near.pipeline.calendar_id or near.company_calendar,
    }  # fmt: skip
    found = _Found.model_validate_json((await locked.tx.execute(_FIND, asked)).scalar_one())
    zone = person.zone or near.pipeline.zone or near.company_zone
    return gap(found.calendar, ZoneInfo(zone), found.busy, start, length)


def gap(
    calendar: Calendar | None, zone: ZoneInfo, busy: Sequence[Span], start: datetime, length: timedelta
) -> datetime | None:
    """The first time from `start` on that is working time throughout and meets nothing of `busy`.

    An end of what is busy is free again. `zone` is where full hours are counted without a calendar.
    """
    zone = ZoneInfo(calendar.zone) if calendar else zone
    for opens, closes in _working(calendar, zone, start):
        at = opens if opens >= start else _full_hour(start, zone)
        while at + length <= closes:
            ends = [end for begin, end in busy if begin < at + length and at < end]
            if not ends:
                return at
            at = _full_hour(max(ends), zone)
    return None


def _working(calendar: Calendar | None, zone: ZoneInfo, start: datetime) -> Iterator[Span]:
    if calendar is None:
        yield start.replace(minute=0, second=0, microsecond=0), start + HORIZON
        return
    first = start.astimezone(zone).date()
    for day in range(HORIZON.days + 1):
        yield from calendar.spans(first + timedelta(days=day))


def _full_hour(at: datetime, zone: ZoneInfo) -> datetime:
    """The first full hour of the zone's clocks that is not before."""
    wall = at.astimezone(zone)
    past = timedelta(minutes=wall.minute, seconds=wall.second, microseconds=wall.microsecond)
    return at + _HOUR - past if past else at


def day_start(at: datetime, zone: ZoneInfo) -> datetime:
    """The instant (UTC) at which the day of `at` begins in the zone."""
    return localise(datetime.combine(at.astimezone(zone).date(), time.min), zone)


class _Found(BaseModel):
    calendar: Calendar | None = None
    busy: list[Span] = []


_IN_TURN = text("select pg_advisory_xact_lock(hashtextextended('free time of ' || :who, 0))")
_FIND = text("""
with wanted as (select tstzrange(:start, :until) as during), busy as (
  select m.starts_at, m.ends_at from meeting m, wanted w
  where m.state = 'planned' and (m.responsible_id = :who or m.participants @> to_jsonb(cast(:who as text)))
    and tstzrange(m.starts_at, m.ends_at) && w.during
  union all
  select lower(b.during), upper(b.during) from booking_resource b, wanted w
  where b.active and b.resource = :resource and b.during && w.during
  union all
  select a.starts_at, least(a.ends_at, :until) from absence a
  where a.employee_id = :who and a.starts_at < :until and a.ends_at > :start
)
select jsonb_build_object(
  'calendar', (select definition from calendar where id = :calendar),
  'busy', (select coalesce(jsonb_agg(jsonb_build_array(starts_at, ends_at)), '[]') from busy)
)::text
""").bindparams(
    bindparam("start", type_=DateTime(timezone=True)),
    bindparam("until", type_=DateTime(timezone=True)),
    bindparam("calendar", type_=String),
    bindparam("who", type_=String),
)
