"""Meetings and calls that are planned, who was invited to them, and the addresses of calendar feeds."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from db.tables.columns import BLANK, LIST, NO, ZERO, identity, one_of

_PLANNED = text("state = 'planned'")
_WAITING = text("state in ('queued', 'sending')")


class Meeting(SQLModel, table=True):
    """A meeting or a call. `held` says that it is over with, by a person or because its stage was left.

    `participants` are ids of employees besides the responsible, `guests` are addresses of others;
    `reminders` are minutes before the start. `uid` is what calendars know it by (RFC 5545), `sequence` its
    revision: it grows with each change that the invited are told (RFC 5546, 2.1.4).
    """

    __table_args__ = (
        one_of("type", "meeting", "call"),
        one_of("state", "planned", "held", "cancelled"),
        CheckConstraint("starts_at < ends_at", name="lasts"),
        Index("ix_meeting_record_id", "record_id"),
        Index("ix_meeting_planned", "responsible_id", "starts_at", postgresql_where=_PLANNED),
        Index("ix_meeting_participants", "participants", postgresql_using="gin"),
    )

    id: int | None = Field(default=None, sa_column=identity())
    record_id: int = Field(sa_type=BigInteger, foreign_key="record.id", ondelete="CASCADE")
    visit_no: int
    rule: str = Field(default="", sa_column_kwargs=BLANK)
    type: str
    subject: str
    description: str = Field(default="", sa_column_kwargs=BLANK)
    place: str = Field(default="", sa_column_kwargs=BLANK)
    starts_at: datetime
    ends_at: datetime
    responsible_id: str = Field(foreign_key="employee.id")
    participants: list[str] = Field(default_factory=list, sa_type=JSONB, sa_column_kwargs=LIST)
    guests: list[str] = Field(default_factory=list, sa_type=JSONB, sa_column_kwargs=LIST)
    important: bool = Field(default=False, sa_column_kwargs=NO)
    complete_on_exit: bool = Field(default=False, sa_column_kwargs=NO)
    reminders: list[int] = Field(default_factory=list, sa_type=JSONB, sa_column_kwargs=LIST)
    client_phone: str = Field(default="", sa_column_kwargs=BLANK)
    uid: str = Field(unique=True)
    sequence: int = Field(default=0, sa_column_kwargs=ZERO)
    state: str
    created_at: datetime
    created_by: str
    changed_at: datetime
    ended_at: datetime | None = None
    ended_by: str | None = None


class MeetingReminder(SQLModel, table=True):
    """When the people of a planned meeting are reminded; kept by a trigger of the database, gone then."""

    __tablename__ = "meeting_reminder"

    meeting_id: int = Field(
        sa_type=BigInteger, primary_key=True, foreign_key="meeting.id", ondelete="CASCADE"
    )
    at: datetime = Field(primary_key=True, index=True)


class Invitation(SQLModel, table=True):
    """One e-mail about a meeting to one address, as an iTIP message (RFC 5546). `content` is RFC 5322.

    Committed as `sending` before it is handed over. `next_attempt_at`: while it is queued when it is tried
    next, while it is being sent when somebody else may take it over.
    """

    __table_args__ = (
        one_of("method", "REQUEST", "CANCEL"),
        one_of("state", "queued", "sending", "sent", "failed"),
        UniqueConstraint("meeting_id", "recipient", "sequence"),
        Index("ix_invitation_waiting", "next_attempt_at", postgresql_where=_WAITING),
    )

    id: int | None = Field(default=None, sa_column=identity())
    meeting_id: int = Field(sa_type=BigInteger, foreign_key="meeting.id", ondelete="CASCADE")
    sequence: int
    method: str
    recipient: str
    message_id: str = Field(unique=True)
    content: bytes
    state: str
    attempts: int = Field(default=0, sa_column_kwargs=ZERO)
    next_attempt_at: datetime
    error: str = Field(default="", sa_column_kwargs=BLANK)
    created_at: datetime
    sent_at: datetime | None = None


class CalendarFeed(SQLModel, table=True):
    """The secret address of an employee's calendar; kept is only the SHA-256 of its token."""

    __tablename__ = "calendar_feed"

    employee_id: str = Field(primary_key=True, foreign_key="employee.id")
    token_hash: str = Field(unique=True)
    created_at: datetime
