"""What comes in from outside: who is not to be heard, what was kept aside, and the mail of clients."""

from __future__ import annotations

from datetime import datetime

from pydantic import JsonValue
from sqlalchemy import BigInteger, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from db.tables.columns import BLANK, LIST, OBJECT, ZERO, identity, one_of


class ExceptionEntry(SQLModel, table=True):
    """Somebody whose calls, mails and forms create and attach nothing.

    `value` is normalised: an e-mail address, a domain with all below it, or a phone number (E.164).
    `record_id` is the record whose rule added it, which the entry outlives.
    """

    __tablename__ = "exception_entry"
    __table_args__ = (one_of("kind", "email", "domain", "phone"),)

    value: str = Field(primary_key=True)
    kind: str
    author: str
    record_id: int | None = Field(default=None, sa_type=BigInteger)
    comment: str = Field(default="", sa_column_kwargs=BLANK)
    at: datetime


class Quarantined(SQLModel, table=True):
    """What somebody on the exception list sent, once an external id. `entry` is what it was caught by."""

    id: int | None = Field(default=None, sa_column=identity())
    at: datetime
    channel: str
    external_id: str = Field(unique=True)
    sender: str
    entry: str
    detail: dict[str, JsonValue] = Field(default_factory=dict, sa_type=JSONB, sa_column_kwargs=OBJECT)


class InboundMail(SQLModel, table=True):
    """A mail that came in, once; `at` is when it came. `fingerprint` is of its id, sender and content.

    `matched`: how its record or client was found. `outcome`: it was client activity, or what it was instead.
    `text` is what it says, `attachments` names the files with it; `content` is the mail itself (RFC 5322),
    where it belongs to somebody. It outlives the record: it has no foreign key.
    """

    __tablename__ = "inbound_mail"
    __table_args__ = (
        one_of("matched", "address", "thread", "sender", "none"),
        one_of(
            "outcome", "activity", "automatic", "bounce", "employee", "forged", "quarantined", "stranger",
            "unknown",
        ),
        Index("ix_inbound_mail_record_id_at", "record_id", "at"),
        Index("ix_inbound_mail_contact_id_at", "contact_id", "at"),
        Index("ix_inbound_mail_company_id_at", "company_id", "at"),
    )

    id: int | None = Field(default=None, sa_column=identity())
    message_id: str = Field(index=True)
    fingerprint: str = Field(unique=True)
    record_id: int | None = Field(default=None, sa_type=BigInteger)
    contact_id: int | None = Field(default=None, sa_type=BigInteger)
    company_id: int | None = Field(default=None, sa_type=BigInteger)
    sender: str
    subject: str = Field(default="", sa_column_kwargs=BLANK)
    at: datetime
    in_reply_to: str = Field(default="", sa_column_kwargs=BLANK)
    size: int = Field(default=0, sa_column_kwargs=ZERO)
    matched: str
    outcome: str
    text: str = Field(default="", sa_column_kwargs=BLANK)
    attachments: list[dict[str, JsonValue]] = Field(
        default_factory=list, sa_type=JSONB, sa_column_kwargs=LIST
    )
    content: bytes | None = None
