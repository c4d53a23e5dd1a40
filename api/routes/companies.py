"""Companies: clients that are organisations."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import BaseModel, JsonValue, StringConstraints

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
from api.input import After, Limit, PathId, Version
from api.service import Served
from api.writing import Answer, Write
from db.client_edits import make_client
from db.clients import ClientRow
from db.engine import Transaction
from db.facts import CompanyRow
from db.records import By
from domain.fields import LONGEST_ADDRESS

router = APIRouter(prefix="/companies", tags=["clients"])


class CompanyIn(ClientIn):
    """An organisation, which has a name."""

    name: Line | None = None
    address: Annotated[str, StringConstraints(max_length=LONGEST_ADDRESS)] | None = None


class CompanyEdit(CompanyIn):
    """Fields to be set; what is not named stays. Of `emails` and `phones` the whole list is named."""

    version: Version | None = None


class CompanyOut(BaseModel):
    """An organisation. `fields` are the custom ones."""

    id: int
    name: str
    address: str
    emails: list[AddressOut]
    phones: list[AddressOut]
    fields: dict[str, JsonValue]
    version: int

    @classmethod
    def of(cls, row: ClientRow) -> CompanyOut:
        assert isinstance(row, CompanyRow)  # noqa: S101  # the operations below ask for nothing else
        return cls(
            emails=AddressOut.listed(row.emails, row.address_kinds),
            phones=AddressOut.listed(row.phones, row.address_kinds),
            **row.model_dump(include={"id", "name", "address", "fields", "version"}),
        )  # fmt: skip


class Companies(BaseModel):
    """Companies in the order of their ids. `next`, if there is more, is the `after` of the next page."""

    items: list[CompanyOut]
    next: int | None = None


@router.post("", status_code=201, response_model=CompanyOut)
async def create_company(body: CompanyIn, service: Served, write: Write) -> Response:
    """Create a company."""
    region = service.settings.phone_region

    async def work(tx: Transaction, by: By) -> Answer:
        row = await make_client(tx, service.ids, "company", body.changes(region), by, region)
        return Answer(201, CompanyOut.of(row))

    return await write(work, body.by)


@router.get("")
async def find_companies(
    service: Served, email: Found = None, phone: Found = None, after: After = 0, limit: Limit = 100
) -> Companies:
    """Companies, a page at a time; with an `email` or a `phone` those that have it."""
    page, more = await found(service, "company", email, phone, after, limit)
    return Companies(items=[CompanyOut.of(row) for row in page], next=more)


@router.get("/{company_id}")
async def read_company(company_id: PathId, service: Served) -> CompanyOut:
    """A company."""
    return CompanyOut.of(await shown(service, "company", company_id))


@router.get("/{company_id}/history")
async def company_history(
    company_id: PathId, service: Served, after: After = 0, limit: Limit = 100
) -> History:
    """What was changed of a company, by whom, and when."""
    return await history(service, "company", company_id, after, limit)


@router.patch("/{company_id}", response_model=CompanyOut)
async def edit_company(company_id: PathId, body: CompanyEdit, service: Served, write: Write) -> Response:
    """Set fields. What is pending on the company's records and depends on them follows."""

    async def work(tx: Transaction, by: By) -> Answer:
        wanted = body.changes(service.settings.phone_region)
        row, bells = await edited(tx, service, "company", company_id, wanted, by, body.version)
        return Answer(body=CompanyOut.of(row), bells=bells)

    return await write(work, body.by)
