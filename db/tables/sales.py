"""What is sold on a record, and the quotes and invoices made of it."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from pydantic import JsonValue
from sqlalchemy import BigInteger, CheckConstraint, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from db.tables.columns import BLANK, LIST, ZERO, identity, one_of


class ProductLine(SQLModel, table=True):
    """One line of what is sold on a record, in the record's currency.

    `unit_price` is before tax; `discount` and `tax_rate` are in percent.
    """

    __tablename__ = "product_line"
    __table_args__ = (
        UniqueConstraint("record_id", "position"),
        CheckConstraint("discount between 0 and 100 and tax_rate >= 0", name="percents"),
    )

    id: int | None = Field(default=None, sa_column=identity())
    record_id: int = Field(sa_type=BigInteger, foreign_key="record.id", ondelete="CASCADE")
    position: int
    sku: str = Field(default="", sa_column_kwargs=BLANK)
    name: str
    quantity: Decimal = Field(
        default=1, max_digits=18, decimal_places=4, sa_column_kwargs={"server_default": text("1")}
    )
    unit_price: Decimal = Field(max_digits=18, decimal_places=4)
    discount: Decimal = Field(default=0, max_digits=7, decimal_places=4, sa_column_kwargs=ZERO)
    tax_rate: Decimal = Field(default=0, max_digits=7, decimal_places=4, sa_column_kwargs=ZERO)


class SalesDocument(SQLModel, table=True):
    """A quote or an invoice: what was sold to whom when it was made, whatever the record says later."""

    __tablename__ = "sales_document"
    __table_args__ = (
        one_of("kind", "quote", "invoice"),
        UniqueConstraint("kind", "number"),
        Index("ix_sales_document_record_id_id", "record_id", "id"),
    )

    id: int | None = Field(default=None, sa_column=identity())
    kind: str
    number: str
    series: str
    record_id: int = Field(sa_type=BigInteger)
    visit_no: int
    rule: str = Field(default="", sa_column_kwargs=BLANK)
    contact_id: int | None = Field(default=None, sa_type=BigInteger)
    company_id: int | None = Field(default=None, sa_type=BigInteger)
    responsible_id: str | None = None
    currency: str
    lines: list[dict[str, JsonValue]] = Field(default_factory=list, sa_type=JSONB, sa_column_kwargs=LIST)
    net: Decimal = Field(max_digits=18, decimal_places=4)
    tax: Decimal = Field(max_digits=18, decimal_places=4)
    total: Decimal = Field(max_digits=18, decimal_places=4)
    created_at: datetime
