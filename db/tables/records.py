"""Records, their visits, and what has happened to them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from pydantic import JsonValue
from sqlalchemy import BigInteger, CheckConstraint, ForeignKeyConstraint, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from db.tables.columns import BLANK, LIST, NO, OBJECT, ONE, YES, ZERO, identity, one_of


class Record(SQLModel, table=True):
    """A lead or a deal.

    `version` is what an optimistic check compares. `suspended` says why the loop guard stopped the
    record; it counts automatic moves in the visits after `loop_since_visit`. `journey_visit` is the highest
    visit its journey has opened: a record whose journey is behind is rung again. Of a `repeat` lead the
    client is known.
    """

    __table_args__ = (
        ForeignKeyConstraint(["pipeline_id", "stage_id"], ["stage.pipeline_id", "stage.id"]),
        one_of("record_type", "lead", "deal"),
        CheckConstraint("visit_no > 0 and pass_no > 0 and depth >= 0", name="numbers"),
        Index("ix_record_pipeline_id_stage_id", "pipeline_id", "stage_id"),
        Index("ix_record_responsible_id_id", "responsible_id", "id"),
        Index("ix_record_behind", "id", postgresql_where=text("journey_visit < visit_no")),
        Index(  # of whoever writes: only records that say themselves whom they are about
            "ix_record_own_email",
            text("(fields -> 'email')"),
            postgresql_using="gin",
            postgresql_where=text("fields ? 'email'"),
        ),
        Index("ix_record_deleted", "deleted_at", postgresql_where=text("deleted_at is not null")),
    )

    id: int | None = Field(default=None, sa_column=identity())
    record_type: str
    pipeline_id: str
    stage_id: str
    title: str
    amount: Decimal | None = Field(default=None, max_digits=18, decimal_places=4)
    currency: str = Field(default="EUR", sa_column_kwargs={"server_default": text("'EUR'")})
    source: str = Field(default="", sa_column_kwargs=BLANK)
    responsible_id: str | None = Field(default=None, foreign_key="employee.id")
    contact_id: int | None = Field(
        default=None, sa_type=BigInteger, foreign_key="contact.id", ondelete="SET NULL", index=True
    )
    company_id: int | None = Field(
        default=None, sa_type=BigInteger, foreign_key="company.id", ondelete="SET NULL", index=True
    )
    fields: dict[str, JsonValue] = Field(default_factory=dict, sa_type=JSONB, sa_column_kwargs=OBJECT)
    version: int = Field(default=1, sa_column_kwargs=ONE)
    visit_no: int = Field(default=1, sa_column_kwargs=ONE)
    pass_no: int = Field(default=1, sa_column_kwargs=ONE)
    depth: int = Field(default=0, sa_column_kwargs=ZERO)
    parent_id: int | None = Field(
        default=None, sa_type=BigInteger, foreign_key="record.id", ondelete="SET NULL", index=True
    )
    late: bool = Field(default=False, sa_column_kwargs=NO)
    repeat: bool = Field(default=False, sa_column_kwargs=NO)
    suspended: str | None = None
    loop_since_visit: int = Field(default=0, sa_column_kwargs=ZERO)
    created_at: datetime
    entered_at: datetime
    deleted_at: datetime | None = None
    journey_visit: int = Field(default=0, sa_column_kwargs=ZERO)
    converted_at: datetime | None = None  # of a lead: what was ticked was made of it


class Visit(SQLModel, table=True):
    """One stay in one stage; together, the stage history.

    `rules_number` 0 is the empty plan. `kept` lists the rules marked by the transaction that left, `left_by`
    is the rule whose transition it was. `opens_at`: a person's move began it, and its pipeline has a grace.
    """

    __table_args__ = (
        one_of(
            "cause", "created", "moved", "closed", "pipeline_changed", "deleted", "restored", "republished"
        ),
    )

    record_id: int = Field(sa_type=BigInteger, primary_key=True, foreign_key="record.id", ondelete="CASCADE")
    visit_no: int = Field(primary_key=True)
    pipeline_id: str
    stage_id: str
    rules_number: int = Field(default=0, sa_column_kwargs=ZERO)
    cause: str
    automatic: bool = Field(default=False, sa_column_kwargs=NO)
    actor: str
    pass_no: int = Field(default=1, sa_column_kwargs=ONE)
    entered_at: datetime
    opens_at: datetime | None = None
    opened_at: datetime | None = None
    left_at: datetime | None = None
    left_reason: str | None = None
    left_by: str = Field(default="", sa_column_kwargs=BLANK)
    kept: list[str] = Field(default_factory=list, sa_type=JSONB, sa_column_kwargs=LIST)
    run_rules: bool = Field(default=True, sa_column_kwargs=YES)


class ClientActivity(SQLModel, table=True):
    """What a client did, once an external id. `at` is when it happened; `answer` what the call was told."""

    __tablename__ = "client_activity"
    __table_args__ = (
        Index("ix_client_activity_record_id_at", "record_id", "at"),
        Index("ix_client_activity_contact_id_at", "contact_id", "at"),
        Index("ix_client_activity_company_id_at", "company_id", "at"),
        CheckConstraint("num_nonnulls(record_id, contact_id, company_id) > 0", name="bound"),
    )

    external_id: str = Field(primary_key=True)
    type: str
    at: datetime
    received_at: datetime
    record_id: int | None = Field(default=None, sa_type=BigInteger)
    contact_id: int | None = Field(default=None, sa_type=BigInteger)
    company_id: int | None = Field(default=None, sa_type=BigInteger)
    source: str = Field(default="", sa_column_kwargs=BLANK)
    detail: dict[str, JsonValue] = Field(default_factory=dict, sa_type=JSONB, sa_column_kwargs=OBJECT)
    answer: dict[str, JsonValue] = Field(default_factory=dict, sa_type=JSONB, sa_column_kwargs=OBJECT)


class Outbox(SQLModel, table=True):
    """What a journey has still to hear; what it was told is gone. The id is the request id of its delivery.

    Before `next_at` it is in the hands of a relay or waits for another attempt. `attempts` counts refusals,
    `unanswered` calls that Temporal did not answer in time.
    """

    __table_args__ = (
        one_of("kind", "entered", "client_activity", "facts_changed", "hold_ended", "operate"),
        Index("ix_outbox_created_at", "created_at"),
    )

    id: UUID = Field(primary_key=True)
    record_id: int = Field(sa_type=BigInteger, index=True)
    kind: str
    payload: dict[str, JsonValue] = Field(default_factory=dict, sa_type=JSONB, sa_column_kwargs=OBJECT)
    created_at: datetime
    next_at: datetime | None = None
    attempts: int = Field(default=0, sa_column_kwargs=ZERO)
    unanswered: int = Field(default=0, sa_column_kwargs=ZERO)


class Request(SQLModel, table=True):
    """The answer kept for what was asked: a call, a hook, a move by signal, an operation, as the key says.

    A status of 0: it is not answered yet.
    """

    __table_args__ = (Index("ix_request_at", "at"),)

    key: str = Field(primary_key=True)
    body_hash: str
    status: int = Field(default=0, sa_column_kwargs=ZERO)
    answer: JsonValue = Field(default_factory=dict, sa_type=JSONB, sa_column_kwargs=OBJECT)
    at: datetime
