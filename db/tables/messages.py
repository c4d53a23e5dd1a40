"""What was handed to mail servers and SMS providers."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import JsonValue
from sqlalchemy import BigInteger, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from db.tables.columns import BLANK, LIST, OBJECT, ZERO, one_of


class Message(SQLModel, table=True):
    """One send, committed as `sending` with its rendered content before it is handed over.

    `message_id` is fixed for all attempts. `employees` are the recipients that are addresses of employees,
    with their names; `accepted` has taken it, `doubtful` may have got it by an attempt that was not answered;
    `refused` says who was refused and how, code 0 being a person without an address. It outlives the record:
    it has no foreign key.

    An e-mail of an act is one message, of its SMS each is one. `text` is what it says, as plain text,
    `attachments` names the files with it. `provider` is the name of an SMS provider, `provider_id` its own
    number of the message, `segments` how many SMS it is cut into; `delivery` is the furthest the provider
    reported, of an e-mail `failed` where a mail server gave it back.
    """

    __table_args__ = (
        one_of("channel", "email", "sms"),
        one_of("state", "sending", "sent", "failed", "unknown"),
        one_of("delivery", "", "queued", "sent", "failed", "delivered"),
        Index("ix_message_provider_id", "provider_id", postgresql_where=text("provider_id <> ''")),
        Index("ix_message_key", "record_id", "visit_no", "rule", "n"),
        Index(
            "ix_message_not_arrived",
            "created_at",
            "id",
            postgresql_where=text("state in ('failed', 'unknown') or delivery = 'failed'"),
        ),
        Index("ix_message_under_way", "created_at", postgresql_where=text("state in ('sending', 'unknown')")),
    )

    id: UUID = Field(primary_key=True)
    record_id: int = Field(sa_type=BigInteger)
    visit_no: int
    rule: str
    n: int = Field(default=0, sa_column_kwargs=ZERO)
    channel: str
    state: str
    message_id: str = Field(unique=True)
    sender: str
    recipients: list[str] = Field(default_factory=list, sa_type=JSONB, sa_column_kwargs=LIST)
    employees: dict[str, str] = Field(default_factory=dict, sa_type=JSONB, sa_column_kwargs=OBJECT)
    subject: str = Field(default="", sa_column_kwargs=BLANK)
    content: bytes
    text: str = Field(default="", sa_column_kwargs=BLANK)
    attachments: list[dict[str, JsonValue]] = Field(
        default_factory=list, sa_type=JSONB, sa_column_kwargs=LIST
    )
    attempts: int = Field(default=0, sa_column_kwargs=ZERO)
    created_at: datetime
    sent_at: datetime | None = None
    error: str = Field(default="", sa_column_kwargs=BLANK)
    accepted: list[str] = Field(default_factory=list, sa_type=JSONB, sa_column_kwargs=LIST)
    doubtful: list[str] = Field(default_factory=list, sa_type=JSONB, sa_column_kwargs=LIST)
    refused: dict[str, JsonValue] = Field(default_factory=dict, sa_type=JSONB, sa_column_kwargs=OBJECT)
    provider: str = Field(default="", sa_column_kwargs=BLANK)
    provider_id: str = Field(default="", sa_column_kwargs=BLANK)
    segments: int = Field(default=0, sa_column_kwargs=ZERO)
    delivery: str = Field(default="", sa_column_kwargs=BLANK)
    delivery_at: datetime | None = None
    delivery_error: str = Field(default="", sa_column_kwargs=BLANK)
