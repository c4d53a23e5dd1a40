"""Who works here and when, and the clients."""

from __future__ import annotations

from datetime import date, datetime

from pydantic import JsonValue
from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from db.tables.columns import BLANK, LIST, OBJECT, ONE, YES, identity


class Calendar(SQLModel, table=True):
    """Working time. `definition` is a dump of `domain.calendar.Calendar`."""

    id: str = Field(primary_key=True)
    title: str
    definition: dict[str, JsonValue] = Field(sa_type=JSONB)


class Department(SQLModel, table=True):
    """Its head is the supervisor of its employees."""

    id: str = Field(primary_key=True)
    title: str
    head_id: str | None = Field(
        default=None,
        sa_column=Column(ForeignKey("employee.id", name="fk_department_head_id", use_alter=True)),
    )
    parent_id: str | None = Field(default=None, foreign_key="department.id")


class Employee(SQLModel, table=True):
    """`zone` is an IANA name; without one, or without a calendar, the pipeline's or the company's counts."""

    id: str = Field(primary_key=True)
    name: str
    email: str = Field(default="", sa_column_kwargs=BLANK)
    phone: str = Field(default="", sa_column_kwargs=BLANK)
    mobile: str = Field(default="", sa_column_kwargs=BLANK)
    department_id: str | None = Field(default=None, foreign_key="department.id", index=True)
    zone: str | None = None
    calendar_id: str | None = Field(default=None, foreign_key="calendar.id")
    active: bool = Field(default=True, sa_column_kwargs=YES)


class Absence(SQLModel, table=True):
    """From `starts_at` to before `ends_at`."""

    __table_args__ = (
        CheckConstraint("starts_at < ends_at", name="order"),
        Index("ix_absence_employee_id_ends_at", "employee_id", "ends_at"),
    )

    id: int | None = Field(default=None, sa_column=identity())
    employee_id: str = Field(foreign_key="employee.id", ondelete="CASCADE")
    starts_at: datetime
    ends_at: datetime
    reason: str = Field(default="", sa_column_kwargs=BLANK)


class Company(SQLModel, table=True):
    """A client that is an organisation; see `Contact`."""

    __table_args__ = (
        Index("ix_company_emails", "emails", postgresql_using="gin"),
        Index("ix_company_phones", "phones", postgresql_using="gin"),
    )

    id: int | None = Field(default=None, sa_column=identity())
    name: str
    emails: list[str] = Field(default_factory=list, sa_type=JSONB, sa_column_kwargs=LIST)
    phones: list[str] = Field(default_factory=list, sa_type=JSONB, sa_column_kwargs=LIST)
    address: str = Field(default="", sa_column_kwargs=BLANK)
    address_kinds: dict[str, JsonValue] = Field(default_factory=dict, sa_type=JSONB, sa_column_kwargs=OBJECT)
    fields: dict[str, JsonValue] = Field(default_factory=dict, sa_type=JSONB, sa_column_kwargs=OBJECT)
    version: int = Field(default=1, sa_column_kwargs=ONE)


class Contact(SQLModel, table=True):
    """A client that is a person.

    `emails` (lower case) and `phones` (E.164) are in the order of preference; `address_kinds` says of some of
    them that they are for `work`, `home`, `mobile` or `other`.
    """

    __table_args__ = (
        Index("ix_contact_emails", "emails", postgresql_using="gin"),
        Index("ix_contact_phones", "phones", postgresql_using="gin"),
    )

    id: int | None = Field(default=None, sa_column=identity())
    first_name: str = Field(default="", sa_column_kwargs=BLANK)
    last_name: str = Field(default="", sa_column_kwargs=BLANK)
    emails: list[str] = Field(default_factory=list, sa_type=JSONB, sa_column_kwargs=LIST)
    phones: list[str] = Field(default_factory=list, sa_type=JSONB, sa_column_kwargs=LIST)
    birthday: date | None = None
    company_id: int | None = Field(
        default=None, sa_type=BigInteger, foreign_key="company.id", ondelete="SET NULL", index=True
    )
    responsible_id: str | None = Field(default=None, foreign_key="employee.id", index=True)
    address_kinds: dict[str, JsonValue] = Field(default_factory=dict, sa_type=JSONB, sa_column_kwargs=OBJECT)
    fields: dict[str, JsonValue] = Field(default_factory=dict, sa_type=JSONB, sa_column_kwargs=OBJECT)
    version: int = Field(default=1, sa_column_kwargs=ONE)


class Setting(SQLModel, table=True):
    """What counts for the whole company: `zone`, `locale`, `calendar` and the like."""

    key: str = Field(primary_key=True)
    value: JsonValue = Field(sa_type=JSONB)
