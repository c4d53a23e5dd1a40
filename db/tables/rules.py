"""Pipelines, their stages and the published rules."""

from __future__ import annotations

from datetime import datetime

from pydantic import JsonValue
from sqlalchemy import CheckConstraint, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from db.tables.columns import BLANK, LIST, OBJECT, ZERO, one_of


class Pipeline(SQLModel, table=True):
    """`fields` lists the definitions of its records' custom fields.

    `locale` is the language (BCP 47) in which its rules write dates and amounts; null: the company's.

    `grace`: seconds from a person's move to the opening of its visit; one left before was a slip of the hand.
    """

    __table_args__ = (
        one_of("record_type", "lead", "deal"),
        CheckConstraint("grace >= 0", name="grace"),
    )

    id: str = Field(primary_key=True)
    record_type: str
    title: str
    position: int = Field(default=0, sa_column_kwargs=ZERO)
    zone: str | None = None
    locale: str | None = None
    calendar_id: str | None = Field(default=None, foreign_key="calendar.id")
    owner_id: str | None = Field(default=None, foreign_key="employee.id")
    grace: int = Field(default=0, sa_column_kwargs=ZERO)
    fields: list[JsonValue] = Field(default_factory=list, sa_type=JSONB, sa_column_kwargs=LIST)


class Stage(SQLModel, table=True):
    """A stage taken out of a pipeline is retired, never deleted: binned records still point at it."""

    __table_args__ = (
        one_of("meaning", "process", "success", "failure"),
        Index(
            "uq_stage_success",
            "pipeline_id",
            unique=True,
            postgresql_where=text("meaning = 'success' and retired_at is null"),
        ),
    )

    pipeline_id: str = Field(primary_key=True, foreign_key="pipeline.id")
    id: str = Field(primary_key=True)
    title: str
    position: int = Field(default=0, sa_column_kwargs=ZERO)
    meaning: str
    retired_at: datetime | None = None


class RuleSet(SQLModel, table=True):
    """One published version, for ever as it is; the highest number is the current one.

    `stages` holds the rules of each stage, in order, `triggers` what moves records from outside of them.
    """

    __tablename__ = "rule_set"
    __table_args__ = (CheckConstraint("number > 0", name="number"),)

    pipeline_id: str = Field(primary_key=True, foreign_key="pipeline.id")
    number: int = Field(primary_key=True)
    owner_id: str = Field(foreign_key="employee.id")
    published_at: datetime
    stages: dict[str, JsonValue] = Field(default_factory=dict, sa_type=JSONB, sa_column_kwargs=OBJECT)
    triggers: list[JsonValue] = Field(default_factory=list, sa_type=JSONB, sa_column_kwargs=LIST)


class Suspension(SQLModel, table=True):
    """What a person stopped. `key` is empty for everything, a pipeline's id, `<pipeline>/<rule>` or a
    record's number."""

    __table_args__ = (one_of("scope", "everything", "pipeline", "rule", "record"),)

    scope: str = Field(primary_key=True)
    key: str = Field(default="", primary_key=True, sa_column_kwargs=BLANK)
    since: datetime
    by_whom: str
    why: str = Field(default="", sa_column_kwargs=BLANK)


class Rotation(SQLModel, table=True):
    """Whom a rule that gives employees their turns has chosen last; empty: nobody yet."""

    pipeline_id: str = Field(primary_key=True, foreign_key="pipeline.id")
    rule: str = Field(primary_key=True)
    employee_id: str = Field(default="", sa_column_kwargs=BLANK)
