"""What watches over the journeys, and what it put right."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Index, text
from sqlmodel import Field, SQLModel

from db.tables.columns import BLANK, ONE, ZERO, identity, one_of


class Watch(SQLModel, table=True):
    """One row: who looked last, and how far.

    `tide` counts looks, here and in Temporal: whichever is behind was restored from a backup, or lost. It
    rose last at `risen_at`.
    `probed` is the record up to which journeys were asked for in the present round.
    """

    __table_args__ = (CheckConstraint("id = 1", name="one"),)

    id: int = Field(default=1, primary_key=True, sa_column_kwargs={"autoincrement": False})
    tide: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs=ZERO)
    probed: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs=ZERO)
    looked_at: datetime | None = None
    risen_at: datetime | None = None


class Healing(SQLModel, table=True):
    """A journey that was begun anew, or all of them: then `record_id` is empty.

    `run_id` is the run that could not go on. Of all journeys `records` counts those begun so far, `reached`
    is the last of them, and `ended_at` when it was done.
    """

    __table_args__ = (
        one_of(
            "reason", "tasks_fail", "ended", "missing", "not_opened", "temporal_lost", "temporal_restored",
            "database_restored",
        ),
        Index("ix_healing_at", "at"),
        Index(
            "uq_healing_run", "record_id", "run_id", unique=True,
            postgresql_where=text("record_id is not null"),
        ),
        Index("ix_healing_under_way", "id", postgresql_where=text("ended_at is null")),
    )  # fmt: skip

    id: int | None = Field(default=None, sa_column=identity())
    reason: str
    record_id: int | None = Field(default=None, sa_type=BigInteger)
    run_id: str = Field(default="", sa_column_kwargs=BLANK)
    records: int = Field(default=1, sa_column_kwargs=ONE)
    reached: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs=ZERO)
    at: datetime
    ended_at: datetime | None = None
