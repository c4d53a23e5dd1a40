"""What the automation did and is doing: keys, journal, open holds."""

from __future__ import annotations

from datetime import datetime

from pydantic import JsonValue
from sqlalchemy import BigInteger, CheckConstraint, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from db.tables.columns import BLANK, LIST, NO, OBJECT, ONE, ZERO, identity, one_of


class Ledger(SQLModel, table=True):
    """The key of an act and what it ended as; an empty outcome is a key claimed and not ended.

    `changed` are the fields it wrote, by full reference, `triggers` those that this may fire, by id.

    It outlives the record: it has no foreign key.
    """

    __table_args__ = (
        one_of(
            "outcome", "", "done", "skipped", "failed", "cancelled", "stale", "superseded", "unknown", "open"
        ),
        Index("ix_ledger_failures", "at", postgresql_where=text("outcome in ('failed', 'unknown')")),
    )

    record_id: int = Field(sa_type=BigInteger, primary_key=True)
    visit_no: int = Field(primary_key=True)
    rule: str = Field(primary_key=True)
    n: int = Field(default=0, primary_key=True, sa_column_kwargs=ZERO)
    outcome: str = Field(default="", sa_column_kwargs=BLANK)
    reason: str = Field(default="", sa_column_kwargs=BLANK)
    at: datetime
    moved_to: int = Field(default=0, sa_column_kwargs=ZERO)
    results: dict[str, JsonValue] = Field(default_factory=dict, sa_type=JSONB, sa_column_kwargs=OBJECT)
    changed: list[str] = Field(default_factory=list, sa_type=JSONB, sa_column_kwargs=LIST)
    triggers: list[str] = Field(default_factory=list, sa_type=JSONB, sa_column_kwargs=LIST)
    error: str = Field(default="", sa_column_kwargs=BLANK)


class Journal(SQLModel, table=True):
    """Everything a journey decided and did, append-only; it outlives the record."""

    __table_args__ = (Index("ix_journal_record_id_id", "record_id", "id"),)

    id: int | None = Field(default=None, sa_column=identity())
    record_id: int = Field(sa_type=BigInteger)
    visit_no: int
    rule: str = Field(default="", sa_column_kwargs=BLANK)
    n: int = Field(default=0, sa_column_kwargs=ZERO)
    event: str
    reason: str = Field(default="", sa_column_kwargs=BLANK)
    at: datetime
    actor: str
    detail: dict[str, JsonValue] = Field(default_factory=dict, sa_type=JSONB, sa_column_kwargs=OBJECT)


class Hold(SQLModel, table=True):
    """A wait, a control, or a task a chain waits for. An empty outcome is an open one; the first cause wins.

    `turn` is when it was due to open, `due_at` its next act by the clock. Of a control: `deadline` is when it
    is late, `late_since` the one it missed, `next_act` the number of its next notice, `told` whom it told
    that it is late. `closing`: it has ended, and owes the act that says so or brings what it is to.
    `pinned`: rescheduled by a person, follows no facts.
    """

    __table_args__ = (
        one_of("kind", "wait", "control", "task"),
        CheckConstraint("(outcome = '') = (ended_at is null)", name="ended"),
        Index("ix_hold_open", "record_id", postgresql_where=text("outcome = ''")),
        Index("ix_hold_due", "due_at", postgresql_where=text("outcome = ''")),
    )

    record_id: int = Field(sa_type=BigInteger, primary_key=True, foreign_key="record.id", ondelete="CASCADE")
    visit_no: int = Field(primary_key=True)
    rule: str = Field(primary_key=True)
    kind: str
    turn: datetime
    opened_at: datetime
    due_at: datetime | None = None
    deadline: datetime | None = None
    late_since: datetime | None = None
    state: str
    next_act: int = Field(default=1, sa_column_kwargs=ONE)
    told: list[str] = Field(default_factory=list, sa_type=JSONB, sa_column_kwargs=LIST)
    closing: bool = Field(default=False, sa_column_kwargs=NO)
    ends_on: list[str] = Field(default_factory=list, sa_type=JSONB, sa_column_kwargs=LIST)
    outcome: str = Field(default="", sa_column_kwargs=BLANK)
    reason: str = Field(default="", sa_column_kwargs=BLANK)
    ended_at: datetime | None = None
    ended_by: str = Field(default="", sa_column_kwargs=BLANK)
    note: str = Field(default="", sa_column_kwargs=BLANK)
    pinned: bool = Field(default=False, sa_column_kwargs=NO)


class HeardEvent(SQLModel, table=True):
    """What a trigger heard of a record, once: a date reached, idle since `at`, its client edited `at`."""

    __tablename__ = "heard_event"

    record_id: int = Field(sa_type=BigInteger, primary_key=True, foreign_key="record.id", ondelete="CASCADE")
    trigger: str = Field(primary_key=True)
    at: datetime = Field(primary_key=True)


class Firing(SQLModel, table=True):
    """A trigger moved a record; `visit_no` is the visit it left."""

    record_id: int = Field(sa_type=BigInteger, primary_key=True, foreign_key="record.id", ondelete="CASCADE")
    visit_no: int = Field(primary_key=True)
    trigger: str = Field(primary_key=True)
    at: datetime
