"""Things that can be booked."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field
from sqlalchemy import select, text
from sqlmodel import col

from api.input import Name, Sendable
from api.service import Served
from api.writing import Answer, Write
from db.engine import Transaction
from db.records import By
from db.tables import Calendar
from domain.errors import Refused
from domain.rule import Slug

router = APIRouter(tags=["bookings"])
Title = Annotated[str, Field(min_length=1, max_length=200)]


class ResourceIn(Sendable):
    """A thing that can be booked as `resource:<id>`. Without a calendar it can be used at all times."""

    id: Slug
    title: Title
    calendar: Name | None = None


class ResourceChange(Sendable):
    """What is to change; what is not named stays. What is not active cannot be booked any more."""

    title: Title | None = None
    calendar: Name | None = None
    active: bool | None = None


class ResourceOut(BaseModel):
    """A thing that can be booked."""

    id: str
    title: str
    calendar: str | None
    active: bool


class Resources(BaseModel):
    """All things there are, by their titles."""

    items: list[ResourceOut]


@router.get("/resources")
async def list_resources(service: Served) -> Resources:
    """Everything that can be, or could once be, booked beside the employees."""
    async with service.database.transaction() as tx:
        rows = (await tx.execute(_ALL)).mappings()
        return Resources(items=[ResourceOut.model_validate(dict(row)) for row in rows])


@router.post("/resources", status_code=201, response_model=ResourceOut)
async def create_resource(body: ResourceIn, service: Served, write: Write) -> Response:
    """Have a thing that can be booked."""

    async def work(tx: Transaction, by: By) -> Answer:
        del by
        await _check_calendar(tx, body.calendar)
        if (await tx.execute(_NEW, body.model_dump())).one_or_none() is None:
            raise Refused("already_there", f"there is a resource {body.id!r} already", 409)
        return Answer(201, await _resource(tx, body.id))

    return await write(work)


@router.patch("/resources/{resource}", response_model=ResourceOut)
async def change_resource(resource: Slug, body: ResourceChange, service: Served, write: Write) -> Response:
    """Change a thing; bookings that were made stay."""

    async def work(tx: Transaction, by: By) -> Answer:
        del by
        found = await _resource(tx, resource)
        if found is None:
            raise Refused("gone", f"there is no resource {resource!r}", 404)
        await _check_calendar(tx, body.calendar)
        named = {name: getattr(body, name) for name in body.model_fields_set}
        changed = found.model_copy(
            update={n: v for n, v in named.items() if n == "calendar" or v is not None}
        )
        await tx.execute(_CHANGE, changed.model_dump())
        return Answer(body=changed)

    return await write(work)


async def _resource(tx: Transaction, resource: str) -> ResourceOut | None:
    row = (await tx.execute(_ONE, {"id": resource})).mappings().one_or_none()
    return None if row is None else ResourceOut.model_validate(dict(row))


async def _check_calendar(tx: Transaction, calendar: str | None) -> None:
    known = select(col(Calendar.id)).where(col(Calendar.id) == calendar)
    if calendar is not None and (await tx.execute(known)).one_or_none() is None:
        raise Refused("unknown_calendar", f"there is no calendar {calendar!r}")


_EVERY = "select id, title, calendar_id as calendar, active from resource"
_ALL = text(f"{_EVERY} order by title, id")
_ONE = text(f"{_EVERY} where id = :id")
_NEW = text("""
insert into resource (id, title, calendar_id) values (:id, :title, :calendar)
on conflict do nothing returning id
""")
_CHANGE = text("update resource set title = :title, calendar_id = :calendar, active = :active where id = :id")
