"""Tasks: what an employee has to do, with a checklist and a history of its own."""

from __future__ import annotations

from datetime import datetime

from pydantic import JsonValue
from sqlalchemy import BigInteger, CheckConstraint, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from db.tables.columns import BLANK, LIST, NO, OBJECT, identity, one_of


class Task(SQLModel, table=True):
    """Open while `ended_how` is empty. `participants` and `observers` are ids of employees.

    `estimate_minutes` is effort, not a length of time on the calendar. `rule` is empty for a task that a
    person made.
    """

    __table_args__ = (
        one_of("priority", "low", "normal", "high"),
        one_of("ended_how", "", "completed", "deleted", "auto_completed"),
        CheckConstraint("(ended_how = '') = (ended_at is null)", name="ended"),
        CheckConstraint("planned_start <= planned_end", name="planned"),
        Index("ix_task_record_id", "record_id"),
        Index("ix_task_parent_id", "parent_id"),
        Index("ix_task_assignee_id_id", "assignee_id", "id"),
        Index("ix_task_open", "assignee_id", "deadline", postgresql_where=text("ended_how = ''")),
    )

    id: int | None = Field(default=None, sa_column=identity())
    record_id: int = Field(sa_type=BigInteger, foreign_key="record.id", ondelete="CASCADE")
    visit_no: int
    rule: str = Field(default="", sa_column_kwargs=BLANK)
    name: str
    description: str = Field(default="", sa_column_kwargs=BLANK)
    assignee_id: str = Field(foreign_key="employee.id")
    creator: str
    deadline: datetime | None = None
    planned_start: datetime | None = None
    planned_end: datetime | None = None
    priority: str = Field(default="normal", sa_column_kwargs={"server_default": text("'normal'")})
    participants: list[str] = Field(default_factory=list, sa_type=JSONB, sa_column_kwargs=LIST)
    observers: list[str] = Field(default_factory=list, sa_type=JSONB, sa_column_kwargs=LIST)
    tags: list[str] = Field(default_factory=list, sa_type=JSONB, sa_column_kwargs=LIST)
    parent_id: int | None = Field(
        default=None, sa_type=BigInteger, foreign_key="task.id", ondelete="SET NULL"
    )
    estimate_minutes: int | None = None
    complete_with_checklist: bool = Field(default=False, sa_column_kwargs=NO)
    created_at: datetime
    ended_at: datetime | None = None
    ended_how: str = Field(default="", sa_column_kwargs=BLANK)
    ended_by: str = Field(default="", sa_column_kwargs=BLANK)


class TaskItem(SQLModel, table=True):
    """One line of a task's checklist."""

    __tablename__ = "task_item"
    __table_args__ = (Index("ix_task_item_task_id_position", "task_id", "position"),)

    id: int | None = Field(default=None, sa_column=identity())
    task_id: int = Field(sa_type=BigInteger, foreign_key="task.id", ondelete="CASCADE")
    position: int
    body: str
    done_at: datetime | None = None
    done_by: str = Field(default="", sa_column_kwargs=BLANK)


class TaskLine(SQLModel, table=True):
    """A line of a task's own history."""

    __tablename__ = "task_line"
    __table_args__ = (Index("ix_task_line_task_id_id", "task_id", "id"),)

    id: int | None = Field(default=None, sa_column=identity())
    task_id: int = Field(sa_type=BigInteger, foreign_key="task.id", ondelete="CASCADE")
    at: datetime
    actor: str
    event: str
    detail: dict[str, JsonValue] = Field(default_factory=dict, sa_type=JSONB, sa_column_kwargs=OBJECT)
