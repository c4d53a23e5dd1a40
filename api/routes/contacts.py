"""Contacts: clients that are persons."""

from __future__ import annotations

from datetime import date

from fastapi import APIRouter, Response
from pydantic import BaseModel, JsonValue

from api.clients import (
    AddressOut,
    ClientIn,
    Found,
    History,
    Line,
    edited,
    found,
    history,
    shown,
)
from api.input import After, Day, Limit, Name, PathId, Version
from api.service import Served
from api.writing import Answer, Write
from db.client_edits import make_client
from db.clients import ClientRow
from db.creation import RecordId
from db.engine import Transaction
from db.facts import ContactRow
from db.records import By

router = APIRouter(prefix="/contacts", tags=["clients"])


class ContactIn(ClientIn):
    """A person, who has a name, an e-mail address or a phone number. `responsible` is an employee's id."""

    first_name: Line | None = None
    last_name: Line | None = None
    birthday: Day | None = None
    company: RecordId | None = None
    responsible: Name | None = None


class ContactEdit(ContactIn):
    """Fields to be set; what is not named stays. Of `emails` and `phones` the whole list is named."""

    version: Version | None = None


class ContactOut(BaseModel):
    """A person. `fields` are the custom ones."""

    id: int
    first_name: str
    last_name: str
    emails: list[AddressOut]
    phones: list[AddressOut]
    birthday: date | None
    company: int | None
    responsible: str | None
    fields: dict[str, JsonValue]
    version: int

    @classmethod
    def of(cls, row: ClientRow) -> ContactOut:
        assert isinstance(row, ContactRow)  # noqa: S101  # the operations below ask for nothing else
        return cls(
            emails=AddressOut.listed(row.emails, row.address_kinds),
            phones=AddressOut.listed(row.phones, row.address_kinds),
            company=row.company_id, responsible=row.responsible_id,
            **row.model_dump(include={"id", "first_name", "last_name", "birthday", "fields", "version"}),
        )  # fmt: skip


class Contacts(BaseModel):
    """Contacts in the order of their ids. `next`, if there is more, is the `after` of the next page."""

    items: list[ContactOut]
    next: int | None = None


@router.post("", status_code=201, response_model=ContactOut)
async def create_contact(body: ContactIn, service: Served, write: Write) -> Response:
    """Create a contact. Nobody asks whether there is one with the same address: look for it before."""
    region = service.settings.phone_region

    async def work(tx: Transaction, by: By) -> Answer:
        row = await make_client(tx, service.ids, "contact", body.changes(region), by, region)
        return Answer(201, ContactOut.of(row))

    return await write(work, body.by)


@router.get("")
async def find_contacts(
    service: Served, email: Found = None, phone: Found = None, after: After = 0, limit: Limit = 100
) -> Contacts:
    """Contacts, a page at a time; with an `email` or a `phone` those that have it."""
    page, more = await found(service, "contact", email, phone, after, limit)
    return Contacts(items=[ContactOut.of(row) for row in page], next=more)


@router.get("/{contact_id}")
async def read_contact(contact_id: PathId, service: Served) -> ContactOut:
    """A contact."""
    return ContactOut.of(await shown(service, "contact", contact_id))


@router.get("/{contact_id}/history")
async def contact_history(
    contact_id: PathId, service: Served, after: After = 0, limit: Limit = 100
) -> History:
    """What was changed of a contact, by whom, and when."""
    return await history(service, "contact", contact_id, after, limit)


@router.patch("/{contact_id}", response_model=ContactOut)
async def edit_contact(contact_id: PathId, body: ContactEdit, service: Served, write: Write) -> Response:
    """Set fields. What is pending on the contact's records and depends on them follows."""

    async def work(tx: Transaction, by: By) -> Answer:
        wanted = body.changes(service.settings.phone_region)
        row, bells = await edited(tx, service, "contact", contact_id, wanted, by, body.version)
        return Answer(body=ContactOut.of(row), bells=bells)

    return await write(work, body.by)
