"""What is sold on a record, and the quotes and invoices that rules made of it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field
from sqlalchemy import BigInteger, bindparam, select, text
from sqlmodel import col

from activities.announcing import announce
from activities.sales import line_rows, lines_of, totals_in
from api.answers import Amount
from api.input import After, Limit, Name, PathId, Sendable, Version
from api.service import Served
from api.taking import take
from api.view import record
from api.writing import Answer, Write
from db.edits import edit
from db.engine import Transaction
from db.journal import line
from db.records import By, check_version
from db.rows import write as write_rows
from db.tables import SalesDocument
from domain.amounts import Line
from domain.errors import Refused

router = APIRouter(tags=["sales"])


class ProductsIn(Sendable):
    """All lines of a record, in order, in its currency. `set_amount`: their total becomes its amount."""

    lines: Annotated[list[Line], Field(max_length=1000)]
    set_amount: bool = True
    version: Version | None = None
    by: Name | None = None


class LineOut(BaseModel):
    """One line. `unit_price` is before tax; `discount` and `tax_rate` are in percent."""

    sku: str
    name: str
    quantity: Amount
    unit_price: Amount
    discount: Amount
    tax_rate: Amount


class TotalsOut(BaseModel):
    """What lines come to in a currency (ISO 4217); `net` is before tax."""

    currency: str
    net: Amount
    tax: Amount
    total: Amount


class ProductsOut(TotalsOut):
    """What is sold on a record. `version` is that of the record."""

    lines: list[LineOut]
    version: int


class SalesDocumentOut(TotalsOut):
    """A quote or an invoice, as it was when it was made. Instants are UTC."""

    id: int
    kind: Literal["quote", "invoice"]
    number: str
    series: str
    record_id: int
    visit_no: int
    rule: str
    contact_id: int | None
    company_id: int | None
    responsible_id: str | None
    lines: list[LineOut]
    created_at: datetime


class SalesDocumentsOut(BaseModel):
    """Quotes and invoices, the oldest first. `next`, if there is more, is the `after` of the next page."""

    items: list[SalesDocumentOut]
    next: int | None = None


@router.get("/records/{record_id}/products")
async def read_products(record_id: PathId, service: Served) -> ProductsOut:
    """What is sold on a record, and what it comes to."""
    async with service.database.transaction() as tx:
        found = await record(tx, record_id)
        lines = await lines_of(tx, record_id)
    return _products(lines, found.currency, found.version)


@router.put("/records/{record_id}/products", response_model=ProductsOut)
async def set_products(record_id: PathId, body: ProductsIn, service: Served, write: Write) -> Response:
    """Put these lines in the place of all there are."""

    async def work(tx: Transaction, by: By) -> Answer:
        locked = await take(tx, service, record_id)
        check_version(locked, body.version)
        total = totals_in(body.lines, locked.record.currency).total
        edited = await edit(locked, {"amount": total} if body.set_amount else {}, by)
        if not edited.changed:
            locked.record.version += 1
            await tx.execute(_NEXT_VERSION, {"id": record_id})
        await tx.execute(_CLEAR, {"id": record_id})
        detail = {"lines": len(body.lines), "total": f"{total:f}"}
        said = line(record_id, locked.record.visit_no, "products", by.at, actor=by.who, detail=detail)
        await write_rows(tx, [line_rows(record_id, body.lines), said])
        bells = await announce(service.runner(locked, by.at), edited.changed)
        answer = _products(body.lines, locked.record.currency, locked.record.version)
        return Answer(body=answer, bells=bells)

    return await write(work, body.by)


@router.get("/sales-documents")
async def list_sales_documents(
    service: Served,
    record_id: Annotated[int | None, Query(alias="record", ge=1, le=2**63 - 1)] = None,
    kind: Literal["quote", "invoice"] | None = None,
    after: After = 0,
    limit: Limit = 100,
) -> SalesDocumentsOut:
    """Quotes and invoices: all, or those of a record or a kind."""
    asked = select(SalesDocument.__table__).where(col(SalesDocument.id) > after)  # type: ignore[attr-defined]  # SQLModel adds it
    if record_id is not None:
        asked = asked.where(col(SalesDocument.record_id) == record_id)
    if kind is not None:
        asked = asked.where(col(SalesDocument.kind) == kind)
    async with service.database.transaction() as tx:
        rows = (await tx.execute(asked.order_by(col(SalesDocument.id)).limit(limit + 1))).mappings().all()
    items = [SalesDocumentOut.model_validate(dict(row)) for row in rows[:limit]]
    return SalesDocumentsOut(items=items, next=items[-1].id if len(rows) > limit else None)


@router.get("/sales-documents/{document_id}")
async def read_sales_document(document_id: PathId, service: Served) -> SalesDocumentOut:
    """A quote or an invoice."""
    async with service.database.transaction() as tx:
        row = (await tx.execute(_DOCUMENT, {"id": document_id})).mappings().one_or_none()
    if row is None:
        raise Refused("gone", f"there is no quote and no invoice {document_id}", 404)
    return SalesDocumentOut.model_validate(dict(row))


def _products(lines: list[Line], currency: str, version: int) -> ProductsOut:
    found = totals_in(lines, currency)._asdict()
    listed = [LineOut.model_validate(one.model_dump()) for one in lines]
    return ProductsOut(lines=listed, currency=currency, version=version, **found)


_ID = bindparam("id", type_=BigInteger)
_CLEAR = text("delete from product_line where record_id = :id").bindparams(_ID)
_NEXT_VERSION = text("update record set version = version + 1 where id = :id").bindparams(_ID)
_DOCUMENT = text("select * from sales_document where id = :id").bindparams(_ID)
