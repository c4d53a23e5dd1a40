"""What is booked: read for those who book, cancel and look."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict
from sqlalchemy import ARRAY, BigInteger, DateTime, String, bindparam, text

from db.engine import Transaction
from db.locked import Locked
from domain.calendar import Calendar


class _Row(BaseModel):
    model_config = ConfigDict(extra="ignore")


class Bookable(_Row):
    """An active employee or thing. Calendar and absences are known where they were asked for."""

    title: str
    calendar: Calendar | None = None
    absences: list[tuple[datetime, datetime]] = []


class Own(_Row):
    """A booking of the field that has not ended."""

    id: int
    visit_no: int
    rule: str
    starts_at: datetime
    ends_at: datetime
    resources: list[str]


class Around(_Row):
    """What a booking needs to know: the resources there are, by their names, and the field's bookings."""

    resources: dict[str, Bookable]
    own: list[Own]


class Taken(NamedTuple):
    """When a resource is taken."""

    resource: str
    starts_at: datetime
    ends_at: datetime


async def around(
    locked: Locked, field: str, at: datetime, resources: Sequence[str] = (), *, working: bool = False
) -> Around:
    """The bookings of the field that have not ended by `at`, oldest first, and resources that are active.

    `working`: with their working time, an employee's calendar being that of the pipeline or the company where
    there is no own one.
    """
    near = locked.around
    asked = {"id": locked.record.id, "field": field, "at": at, "resources": list(resources)}
    asked |= {"working": working, "calendar": near.pipeline.calendar_id or near.company_calendar}
    return Around.model_validate_json((await locked.tx.execute(_AROUND, asked)).scalar_one())


async def taken(
    tx: Transaction, resources: Sequence[str], low: datetime, high: datetime, without: Sequence[int] = ()
) -> list[Taken]:
    """When the resources are taken between two instants, in order; `without` those bookings."""
    asked = {"resources": list(resources), "low": low, "high": high, "without": list(without)}
    return [Taken(*row) for row in await tx.execute(_TAKEN, asked)]


_AROUND = text("""
select jsonb_build_object(
  'resources', (
    select coalesce(jsonb_object_agg(r.name, jsonb_build_object(
      'title', r.title, 'absences', r.absences,
      'calendar', (select c.definition from calendar c where :working and c.id = r.calendar_id))), '{}')
    from (
      select 'employee:' || e.id as name, e.name as title,
        coalesce(e.calendar_id, :calendar) as calendar_id, (
        select coalesce(jsonb_agg(jsonb_build_array(a.starts_at, a.ends_at)), '[]') from absence a
        where :working and a.employee_id = e.id and a.ends_at > :at) as absences
      from employee e where e.active
      union all
      select 'resource:' || t.id, t.title, t.calendar_id, '[]' from resource t where t.active) r
    where r.name = any(:resources)),
  'own', (
    select coalesce(jsonb_agg(jsonb_build_object(
      'id', b.id, 'visit_no', b.visit_no, 'rule', b.rule, 'starts_at', b.starts_at, 'ends_at', b.ends_at,
      'resources', (select jsonb_agg(r.resource) from booking_resource r where r.booking_id = b.id))
      order by b.id), '[]')
    from booking b where b.record_id = :id and b.field = :field and b.state = 'active' and b.ends_at > :at)
)::text
""").bindparams(
    bindparam("id", type_=BigInteger),
    bindparam("at", type_=DateTime(timezone=True)),
    bindparam("resources", type_=ARRAY(String)),
    bindparam("calendar", type_=String),
)
_TAKEN = text("""
select r.resource, lower(r.during), upper(r.during)
from unnest(:resources) asked join booking_resource r on r.resource = asked
where r.active and r.during && tstzrange(:low, :high) and not r.booking_id = any(:without)
order by lower(r.during), r.resource
""").bindparams(
    bindparam("resources", type_=ARRAY(String)),
    bindparam("low", type_=DateTime(timezone=True)),
    bindparam("high", type_=DateTime(timezone=True)),
    bindparam("without", type_=ARRAY(BigInteger)),
)
