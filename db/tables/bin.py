"""What was taken along into the recycle bin."""

from __future__ import annotations

from datetime import datetime

from pydantic import JsonValue
from sqlalchemy import BigInteger, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from db.tables.columns import OBJECT, identity, one_of


class Binned(SQLModel, table=True):
    """One thing that the deletion of a record released, closed or deleted, so that a restore gives it back.

    `content` is the row of a client that was deleted, with what was written of its changes.
    """

    __table_args__ = (
        one_of("kind", "booking", "todo", "task", "contact", "company"),
        Index("ix_binned_record_id", "record_id"),
    )

    id: int | None = Field(default=None, sa_column=identity())
    record_id: int = Field(sa_type=BigInteger, foreign_key="record.id", ondelete="CASCADE")
    kind: str
    item_id: int = Field(sa_type=BigInteger)
    content: dict[str, JsonValue] = Field(default_factory=dict, sa_type=JSONB, sa_column_kwargs=OBJECT)
    at: datetime
