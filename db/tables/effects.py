"""What rules leave behind on a record."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Index, text
from sqlmodel import Field, SQLModel

from db.tables.columns import BLANK, NO, ZERO, identity


class Comment(SQLModel, table=True):
    """A comment in the timeline."""

    __table_args__ = (Index("ix_comment_record_id_id", "record_id", "id"),)

    id: int | None = Field(default=None, sa_column=identity())
    record_id: int = Field(sa_type=BigInteger, foreign_key="record.id", ondelete="CASCADE")
    visit_no: int
    rule: str = Field(default="", sa_column_kwargs=BLANK)
    author: str
    body: str
    pinned: bool = Field(default=False, sa_column_kwargs=NO)
    at: datetime


class HistoryLine(SQLModel, table=True):
    """A line in the record's history, which is not the timeline."""

    __tablename__ = "history_line"
    __table_args__ = (Index("ix_history_line_record_id_id", "record_id", "id"),)

    id: int | None = Field(default=None, sa_column=identity())
    record_id: int = Field(sa_type=BigInteger, foreign_key="record.id", ondelete="CASCADE")
    visit_no: int
    rule: str = Field(default="", sa_column_kwargs=BLANK)
    event_type: str
    body: str
    author: str
    at: datetime


class Todo(SQLModel, table=True):
    """An item an employee has to do."""

    __table_args__ = (
        Index("ix_todo_record_id", "record_id"),
        Index("ix_todo_open", "employee_id", "deadline", postgresql_where=text("completed_at is null")),
        Index(
            "ix_todo_reminder", "reminder_at",
            postgresql_where=text("reminded_at is null and completed_at is null"),
        ),
    )  # fmt: skip

    id: int | None = Field(default=None, sa_column=identity())
    record_id: int = Field(sa_type=BigInteger, foreign_key="record.id", ondelete="CASCADE")
    visit_no: int
    rule: str = Field(default="", sa_column_kwargs=BLANK)
    employee_id: str = Field(foreign_key="employee.id")
    subject: str
    description: str = Field(default="", sa_column_kwargs=BLANK)
    deadline: datetime | None = None
    important: bool = Field(default=False, sa_column_kwargs=NO)
    complete_on_exit: bool = Field(default=False, sa_column_kwargs=NO)
    reminder_at: datetime | None = None
    reminded_at: datetime | None = None
    created_at: datetime
    completed_at: datetime | None = None
    completed_by: str | None = None


class Code(SQLModel, table=True):
    """A code once given is never given again in its series, whatever becomes of the record."""

    series: str = Field(primary_key=True)
    code: str = Field(primary_key=True)
    record_id: int = Field(sa_type=BigInteger)
    visit_no: int
    rule: str = Field(default="", sa_column_kwargs=BLANK)
    at: datetime


class Notification(SQLModel, table=True):
    """Unread until `read_at`."""

    __table_args__ = (
        Index("ix_notification_employee_id_id", "employee_id", "id"),
        Index("ix_notification_unread", "employee_id", postgresql_where=text("read_at is null")),
        Index("ix_notification_record_id", "record_id"),
    )

    id: int | None = Field(default=None, sa_column=identity())
    employee_id: str = Field(foreign_key="employee.id")
    record_id: int | None = Field(
        default=None, sa_type=BigInteger, foreign_key="record.id", ondelete="SET NULL"
    )
    visit_no: int = Field(default=0, sa_column_kwargs=ZERO)
    rule: str = Field(default="", sa_column_kwargs=BLANK)
    n: int = Field(default=0, sa_column_kwargs=ZERO)
    sender: str
    body: str
    at: datetime
    read_at: datetime | None = None
