"""Records: made, read, edited."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import Field, JsonValue

from activities.announcing import announce
from api.answers import RecordDetail, RecordOut
from api.excepted import Excepted, check_not_excepted, keep_excepted
from api.input import Name, PathId, Sendable, Version
from api.service import Served
from api.taking import take
from api.view import detail
from api.writing import Answer, Write
from db.creation import NewRecord, RecordId, create
from db.edits import Link, edit
from db.engine import Transaction
from db.records import By, check_version
from domain.errors import Refused
from domain.fields import CURRENCY, LONGEST_NAME, LONGEST_TITLE

router = APIRouter(tags=["records"])


class RecordIn(NewRecord, Sendable):
    """A record to be created; it enters its stage at once. `by`: the employee who did it."""

    by: Name | None = None


class EditIn(Sendable):
    """Fields to be set; what is not named stays. `fields` are the custom ones, null empties a field."""

    version: Version | None = None
    by: Name | None = None
    title: Annotated[str, Field(min_length=1, max_length=LONGEST_TITLE)] | None = None
    amount: Annotated[Decimal, Field(max_digits=18, decimal_places=4)] | None = None
    currency: Annotated[str, Field(pattern=CURRENCY)] | None = None
    source: Annotated[str, Field(max_length=LONGEST_NAME)] | None = None
    responsible: Name | None = None
    contact: RecordId | None = None
    company: RecordId | None = None
    fields: dict[str, JsonValue] = {}

    def changes(self) -> dict[str, object]:
        """Standard and custom fields by name. Raises `Refused` where the two are mixed up."""
        if mixed := _STANDARD & self.fields.keys():
            raise Refused("unknown_field", f"{', '.join(sorted(mixed))}: not among the custom `fields`")
        own = {name: getattr(self, name) for name in _STANDARD & self.model_fields_set}
        return own | dict(self.fields)

    def links(self) -> dict[Link, int | None]:
        """The clients that are to be set."""
        both: dict[Link, int | None] = {"contact": self.contact, "company": self.company}
        return {to: client for to, client in both.items() if to in self.model_fields_set}


_STANDARD = {"title", "amount", "currency", "source", "responsible"}


@router.post("/records", status_code=201, response_model=RecordOut)
async def create_record(body: RecordIn, service: Served, write: Write) -> Response:
    """Create a lead or a deal; none for somebody on the exception list, which the quarantine log shows."""
    new = NewRecord.model_validate(body.model_dump(exclude={"by"}))

    async def work(tx: Transaction, by: By) -> Answer:
        await check_not_excepted(tx, new, service.settings.phone_region)
        made = await create(tx, service.ids, new, by)
        return Answer(201, RecordOut.of(made.record), (made.bell,))

    try:
        return await write(work, body.by)
    except Excepted as found:
        await keep_excepted(service.database, new, found, write.key, service.clock())
        raise


@router.get("/records/{record_id}")
async def read_record(record_id: PathId, service: Served) -> RecordDetail:
    """A record, and what happens next: what is pending, for what it waits, and when it acts."""
    return await detail(service, record_id)


@router.patch("/records/{record_id}", response_model=RecordOut)
async def edit_record(record_id: PathId, body: EditIn, service: Served, write: Write) -> Response:
    """Set fields. What is pending and depends on them follows. A stage is not edited: the record is moved."""

    async def work(tx: Transaction, by: By) -> Answer:
        locked = await take(tx, service, record_id)
        check_version(locked, body.version)
        edited = await edit(locked, body.changes(), by, links=body.links())
        bells = await announce(service.runner(locked, by.at), edited.changed)
        return Answer(body=RecordOut.of(locked.record), bells=bells)

    return await write(work, body.by)
