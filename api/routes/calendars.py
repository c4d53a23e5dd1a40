"""What an employee has before them: as a list, and as a calendar to subscribe to."""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from secrets import token_urlsafe
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Path, Response
from pydantic import BaseModel
from sqlalchemy import DateTime, String, bindparam, exists, select, text
from sqlmodel import col

from activities.calendar_entries import entries
from activities.providers.itip import feed
from api.input import KEEPABLE, Instant, Limit, Name, PathName, Sendable
from api.service import Served
from api.writing import Answer, Write
from db.engine import Transaction
from db.records import By
from db.tables import CalendarFeed, Employee
from domain.errors import Refused

router = APIRouter(tags=["calendars"])


class AgendaItem(BaseModel):
    """Something an employee has to do, or to be at. `at` is a deadline or a start (UTC).

    `role`: whose it is, or who takes part in it.
    """

    type: Literal["todo", "meeting", "call", "booking"]
    id: int
    record_id: int
    subject: str
    at: datetime | None
    ends_at: datetime | None
    important: bool
    role: Literal["responsible", "participant"]


class Agenda(BaseModel):
    """In the order of time; what has no deadline comes last."""

    items: list[AgendaItem]


class FeedIn(Sendable):
    """Who asks for it."""

    by: Name | None = None


class FeedOut(BaseModel):
    """The address to subscribe to. Whoever knows it can read the calendar; it is not shown again."""

    url: str


@router.get("/employees/{employee_id}/agenda")
async def read_agenda(
    employee_id: PathName,
    service: Served,
    until: Instant | None = None,
    limit: Limit = 100,
) -> Agenda:
    """Open to-dos, planned meetings and calls, and bookings that are not over."""
    asked = {"who": employee_id, "resource": f"employee:{employee_id}", "until": until, "limit": limit}
    async with service.database.transaction() as tx:
        rows = (await tx.execute(_AGENDA, asked | {"now": service.clock()})).mappings().all()
        if not rows:
            await _known(tx, employee_id)
    return Agenda(items=[AgendaItem.model_validate(dict(row)) for row in rows])


@router.post("/employees/{employee_id}/calendar-feed", status_code=201, response_model=FeedOut)
async def make_feed(
    employee_id: PathName, service: Served, write: Write, body: FeedIn | None = None
) -> Response:
    """Make the address of the employee's calendar; one that was made before no longer works."""

    async def work(tx: Transaction, by: By) -> Answer:
        await _known(tx, employee_id)
        token = token_urlsafe(32)
        await tx.execute(_NEW_TOKEN, {"who": employee_id, "hash": _hash(token), "at": by.at})
        url = f"{service.settings.base_url}/api/v1/calendars/{token}.ics"
        return Answer(201, FeedOut(url=url), secret=True)

    return await write(work, body.by if body else None)


@router.get(
    "/calendars/{token}.ics",
    response_class=Response,
    responses={200: {"content": {"text/calendar": {}}}, 304: {"description": "Not Modified"}},
)
async def read_feed(
    token: Annotated[str, Path(max_length=100, pattern=KEEPABLE)],
    service: Served,
    if_none_match: Annotated[str | None, Header(max_length=1000, pattern=KEEPABLE)] = None,
) -> Response:
    """The calendar of an employee (RFC 5545): meetings, calls and bookings. Needs no key but its address."""
    async with service.database.transaction() as tx:
        asked = select(col(Employee.id), col(Employee.name)).join(
            CalendarFeed, col(CalendarFeed.employee_id) == col(Employee.id)
        )
        mine = asked.where(col(CalendarFeed.token_hash) == _hash(token), col(Employee.active))
        owner = (await tx.execute(mine)).one_or_none()
        if owner is None:
            raise Refused("gone", "there is no such calendar", 404)
        found = await entries(tx, owner.id, service.settings.mail_domain, service.clock())
    content = feed(owner.name, found)
    tag = f'"{sha256(content).hexdigest()}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if tag in [one.strip().removeprefix("W/") for one in (if_none_match or "").split(",")]:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type="text/calendar; charset=utf-8")


def _hash(token: str) -> str:
    return sha256(token.encode()).hexdigest()


async def _known(tx: Transaction, employee: str) -> None:
    active = exists().where(col(Employee.id) == employee, col(Employee.active))
    if not (await tx.execute(select(active))).scalar_one():
        raise Refused("gone", f"there is no active employee {employee!r}", 404)


_NEW_TOKEN = text("""
insert into calendar_feed (employee_id, token_hash, created_at) values (:who, :hash, :at)
on conflict (employee_id) do update set token_hash = excluded.token_hash, created_at = excluded.created_at
""").bindparams(bindparam("at", type_=DateTime(timezone=True)))
_AGENDA = text("""
with item as (
  select 'todo' as type, t.id, t.record_id, t.subject, t.deadline as at, null::timestamptz as ends_at,
    t.important, 'responsible' as role
  from todo t join record r on r.id = t.record_id
  where t.employee_id = :who and t.completed_at is null and r.deleted_at is null
  union all
  select m.type, m.id, m.record_id, m.subject, m.starts_at, m.ends_at, m.important,
    case when m.responsible_id = :who then 'responsible' else 'participant' end
  from meeting m
  where m.state = 'planned' and (m.responsible_id = :who or m.participants @> to_jsonb(cast(:who as text)))
  union all
  select 'booking', b.id, b.record_id, coalesce(nullif(b.service, ''), r.title), b.starts_at, b.ends_at,
    false, 'participant'
  from booking_resource t join booking b on b.id = t.booking_id join record r on r.id = b.record_id
  where t.resource = :resource and t.active and b.state = 'active' and b.ends_at > :now
)
select * from item where cast(:until as timestamptz) is null or at <= :until
order by at nulls last, type, id limit :limit
""").bindparams(
    bindparam("who", type_=String),
    bindparam("now", type_=DateTime(timezone=True)),
    bindparam("until", type_=DateTime(timezone=True)),
)
