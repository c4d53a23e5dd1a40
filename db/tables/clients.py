"""What was changed of clients."""

from __future__ import annotations

from datetime import datetime

from pydantic import JsonValue
from sqlalchemy import BigInteger, CheckConstraint, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from db.tables.columns import BLANK, OBJECT, identity


class ClientChange(SQLModel, table=True):
    """A change of a contact or a company. `detail`: old and new value by field.

    `record_id` and `rule` say which rule made it. It goes with the client.
    """

    __tablename__ = "client_change"
    __table_args__ = (
        Index("ix_client_change_contact_id_id", "contact_id", "id"),
        Index("ix_client_change_company_id_id", "company_id", "id"),
        CheckConstraint("num_nonnulls(contact_id, company_id) = 1", name="client"),
    )

    id: int | None = Field(default=None, sa_column=identity())
    contact_id: int | None = Field(
        default=None, sa_type=BigInteger, foreign_key="contact.id", ondelete="CASCADE"
    )
    company_id: int | None = Field(
        default=None, sa_type=BigInteger, foreign_key="company.id", ondelete="CASCADE"
    )
    event: str
    record_id: int | None = Field(default=None, sa_type=BigInteger)
    rule: str = Field(default="", sa_column_kwargs=BLANK)
    actor: str
    at: datetime
    detail: dict[str, JsonValue] = Field(default_factory=dict, sa_type=JSONB, sa_column_kwargs=OBJECT)
