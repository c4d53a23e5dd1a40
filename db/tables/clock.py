"""What the clock has to look at for triggers: an index that every writer keeps by leaving marks."""

from __future__ import annotations

from datetime import datetime

from pydantic import JsonValue
from sqlalchemy import BigInteger, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from db.tables.columns import BLANK, ZERO, identity, one_of


class ClockTrigger(SQLModel, table=True):
    """A trigger of the newest rules of a pipeline that the clock fires; of a changed one the id is new.

    `section` and `field` are the two parts of its date's basis. `definition` is what decides when it is due.
    """

    __tablename__ = "clock_trigger"
    __table_args__ = (one_of("event", "date_reached", "idle"), UniqueConstraint("pipeline_id", "trigger"))

    id: int | None = Field(default=None, sa_column=identity())
    pipeline_id: str = Field(foreign_key="pipeline.id")
    trigger: str
    event: str
    section: str = Field(default="", sa_column_kwargs=BLANK)
    field: str = Field(default="", sa_column_kwargs=BLANK)
    definition: dict[str, JsonValue] = Field(sa_type=JSONB)


class ClockDue(SQLModel, table=True):
    """When a trigger is due for a record, as its facts were when they were last marked.

    It is looked at from `look_at` on, later than `due_at` after failed `attempts`. An instant up to `since`
    is past, not reached.
    """

    __tablename__ = "clock_due"

    clock_trigger_id: int = Field(sa_type=BigInteger, primary_key=True)
    record_id: int = Field(
        sa_type=BigInteger, primary_key=True, foreign_key="record.id", ondelete="CASCADE", index=True
    )
    due_at: datetime
    look_at: datetime = Field(index=True)
    since: datetime
    attempts: int = Field(default=0, sa_column_kwargs=ZERO)


class ClockChanged(SQLModel, table=True):
    """A mark: facts of the record changed. `since`: up to when the clock had been looked at then."""

    __tablename__ = "clock_changed"

    id: int | None = Field(default=None, sa_column=identity())
    record_id: int = Field(sa_type=BigInteger)
    since: datetime | None = None


class ClockSweep(SQLModel, table=True):
    """All records of a trigger, or those of one responsible, are to be looked at, after `after_id`.

    It begins when every transaction has ended that may not have known the trigger: those before `horizon`,
    a number of a transaction.
    """

    __tablename__ = "clock_sweep"

    id: int | None = Field(default=None, sa_column=identity())
    clock_trigger_id: int = Field(sa_type=BigInteger)
    employee_id: str = Field(default="", sa_column_kwargs=BLANK)
    after_id: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs=ZERO)
    since: datetime | None = None
    horizon: str = Field(default="", sa_column_kwargs=BLANK)
