"""Bookings: people make and cancel them, and see when resources are taken."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field, field_validator
from sqlalchemy import BigInteger, DateTime, String, bindparam, text

from activities.announcing import announce
from activities.bookings import FARTHEST, MONTH, OnConflict, Wanted, book, cancel
from api.input import Instant, Limit, Name, PathId, Sendable
from api.service import Served
from api.taking import take
from api.writing import Answer, Write
from db.engine import Transaction
from db.records import By
from domain.errors import Refused
from domain.fields import FieldName
from domain.period import Period

router = APIRouter(tags=["bookings"])


class BookingIn(Sendable):
    """A booking for a booking field of the record: all resources, or none.

    `resources` are `responsible`, `employee:<id>`, `resource:<id>`. `next_free` looks for the first start
    from `start` on at which all are free, up to the `horizon`. `replace` releases what is booked for the
    field.
    """

    field: FieldName
    start: Instant
    duration: Period
    resources: Annotated[list[Name], Field(min_length=1, max_length=100)] = ["responsible"]
    service: Annotated[str, Field(max_length=1000)] = ""
    on_conflict: OnConflict = "fail"
    replace: bool = True
    horizon: Period = MONTH
    by: Name | None = None

    @field_validator("horizon")
    @classmethod
    def _not_too_far(cls, horizon: Period) -> Period:
        if horizon.span > FARTHEST.span:
            raise ValueError("a horizon is at most 366 days away")
        return horizon


class CancelIn(Sendable):
    """Who cancelled it."""

    by: Name | None = None


class BookingOut(BaseModel):
    """A booking from `starts_at` to before `ends_at`, UTC. What ended early was `booked_until` later."""

    id: int
    record_id: int
    rule: str
    field: str
    service: str
    resources: list[str]
    starts_at: datetime
    ends_at: datetime
    booked_until: datetime
    state: Literal["active", "cancelled"]
    created_at: datetime
    created_by: str
    cancelled_at: datetime | None
    cancelled_by: str | None


class Bookings(BaseModel):
    """In the order of their starts. `next`, if there is more, is the `after` of the next page."""

    items: list[BookingOut]
    next: int | None = None


@router.get("/bookings")
async def list_bookings(
    service: Served,
    low: Annotated[Instant, Query(alias="from")],
    high: Annotated[Instant, Query(alias="to")],
    resource: Name | None = None,
    after: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    limit: Limit = 100,
) -> Bookings:
    """What is booked between two instants, of one resource or of all."""
    if high <= low:
        raise Refused("invalid_request", "`to` lies after `from`")
    asked = {"resource": resource, "low": low, "high": high, "after": after, "limit": limit + 1}
    async with service.database.transaction() as tx:
        rows = (await tx.execute(_BETWEEN, asked)).mappings().all()
    items = [BookingOut.model_validate(dict(row)) for row in rows[:limit]]
    return Bookings(items=items, next=after + limit if len(rows) > limit else None)


@router.post("/records/{record_id}/bookings", status_code=201, response_model=BookingOut)
async def create_booking(record_id: PathId, body: BookingIn, service: Served, write: Write) -> Response:
    """Book employees and things. What is taken then answers 409, with the resource and the interval."""
    wanted = Wanted(**{name: getattr(body, name) for name in Wanted._fields})

    async def work(tx: Transaction, by: By) -> Answer:
        locked = await take(tx, service, record_id)
        booked = await book(locked, service.ids, wanted, by, locked.record.visit_no)
        bells = await announce(service.runner(locked, by.at), booked.changed)
        return Answer(201, await _booking(tx, booked.id), bells)

    return await write(work, body.by)


@router.post("/bookings/{booking_id}/cancel", response_model=BookingOut)
async def cancel_booking(
    booking_id: PathId, service: Served, write: Write, body: CancelIn | None = None
) -> Response:
    """Release a booking, of one under way what is left; one that is cancelled or over stays as it is."""

    async def work(tx: Transaction, by: By) -> Answer:
        found = await _booking(tx, booking_id)
        locked = await take(tx, service, found.record_id, from_bin=True)
        cancelled = await cancel(locked, found.field, by, booking_id)
        bells = await announce(service.runner(locked, by.at), cancelled.changed)
        return Answer(body=await _booking(tx, booking_id), bells=bells)

    return await write(work, body.by if body else None)


async def _booking(tx: Transaction, booking_id: int) -> BookingOut:
    row = (await tx.execute(_BOOKING, {"id": booking_id})).mappings().one_or_none()
    if row is None:
        raise Refused("gone", f"there is no booking {booking_id}", 404)
    return BookingOut.model_validate(dict(row))


_OUT = """
select b.*, array(select r.resource from booking_resource r where r.booking_id = b.id order by 1) as resources
from booking b
"""
_BOOKING = text(f"{_OUT} where b.id = :id").bindparams(bindparam("id", type_=BigInteger))
_BETWEEN = text(f"""
{_OUT}
where b.id in (
  select t.booking_id from booking_resource t
  where t.active and t.during && tstzrange(:low, :high) and (:resource is null or t.resource = :resource))
order by b.starts_at, b.id offset :after limit :limit
""").bindparams(  # noqa: S608  # own text
    bindparam("low", type_=DateTime(timezone=True)),
    bindparam("high", type_=DateTime(timezone=True)),
    bindparam("resource", type_=String),
)
