"""The exception list, and what was kept aside because of it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field, JsonValue
from sqlalchemy import select
from sqlmodel import col

from activities import exceptions
from api.input import KEEPABLE, Before, Limit, Sendable
from api.service import Served
from api.writing import Answer, Write
from db.engine import Transaction
from db.records import By
from db.tables import ExceptionEntry, Quarantined
from domain.errors import Refused

router = APIRouter(tags=["exceptions"])
Value = Annotated[str, Path(min_length=1, max_length=320, pattern=KEEPABLE)]


class NewEntries(Sendable):
    """E-mail addresses, whole domains (`@firm.example`) or phone numbers to be put on the list."""

    entries: Annotated[list[Annotated[str, Field(max_length=320)]], Field(min_length=1, max_length=500)]
    comment: Annotated[str, Field(max_length=2000)] = ""


class Added(BaseModel):
    """The entries that were not there before, normalised, and how many were."""

    added: list[str]
    already_there: int


class EntryOut(BaseModel):
    """One entry. `record` is the one whose rule added it."""

    value: str
    kind: exceptions.Kind
    author: str
    record: int | None
    comment: str
    at: datetime


class Entries(BaseModel):
    """In alphabetical order. `next`, if there is more, is the `after` of the next page."""

    items: list[EntryOut]
    next: str | None = None


class KeptAside(BaseModel):
    """Something that was attached to nothing. `entry` is what it was caught by, `channel` its type."""

    id: int
    at: datetime
    channel: str
    external_id: str
    sender: str
    entry: str
    detail: dict[str, JsonValue]


class Quarantine(BaseModel):
    """The newest first. `next`, if there is more, is the `before` of the next page."""

    items: list[KeptAside]
    next: int | None = None


@router.get("/exceptions")
async def list_entries(
    service: Served, after: Annotated[str, Query(max_length=320, pattern=KEEPABLE)] = "", limit: Limit = 100
) -> Entries:
    """Who is on the exception list."""
    value = col(ExceptionEntry.value)
    asked = select(*ExceptionEntry.__table__.c).where(value > after).order_by(value).limit(limit + 1)  # type: ignore[attr-defined]  # a table has it
    async with service.database.transaction() as tx:
        rows = (await tx.execute(asked)).all()
    items = [
        EntryOut(
            value=row.value, kind=row.kind, author=row.author, record=row.record_id, comment=row.comment,
            at=row.at,
        )
        for row in rows[:limit]
    ]  # fmt: skip
    return Entries(items=items, next=items[-1].value if len(rows) > limit else None)


@router.post("/exceptions", response_model=Added)
async def add_entries(body: NewEntries, service: Served, write: Write) -> Response:
    """Put addresses, domains or numbers on the list: all, or none if one is no such thing."""
    region = service.settings.phone_region
    try:
        entries = [exceptions.entry(written, region) for written in body.entries]
    except ValueError as wrong:
        raise Refused("wrong_entry", str(wrong)) from wrong

    async def work(tx: Transaction, by: By) -> Answer:
        added = await exceptions.add(tx, entries, by.who, by.at, comment=body.comment)
        return Answer(body=Added(added=sorted(added), already_there=len(set(entries)) - len(added)))

    return await write(work)


@router.delete("/exceptions/{value}", status_code=204)
async def remove_entry(value: Value, service: Served, write: Write) -> Response:
    """Take an entry off the list; what was kept aside stays so."""
    region = service.settings.phone_region
    try:
        entry = exceptions.entry(value, region)
    except ValueError as wrong:
        raise Refused("gone", str(wrong), 404) from wrong

    async def work(tx: Transaction, by: By) -> Answer:
        del by
        if not await exceptions.remove(tx, entry.value):
            raise Refused("gone", f"{entry.value} is not on the list", 404)
        return Answer(204)

    return await write(work)


@router.get("/quarantine")
async def list_quarantined(
    service: Served, before: Before = None, limit: Limit = 100
) -> Quarantine:
    """What people on the list sent."""
    number = col(Quarantined.id)
    asked = select(*Quarantined.__table__.c).order_by(number.desc()).limit(limit + 1)  # type: ignore[attr-defined]  # a table has it
    if before is not None:
        asked = asked.where(number < before)
    async with service.database.transaction() as tx:
        rows = (await tx.execute(asked)).mappings().all()
    items = [KeptAside.model_validate(dict(row)) for row in rows[:limit]]
    return Quarantine(items=items, next=items[-1].id if len(rows) > limit else None)
