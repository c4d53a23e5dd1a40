"""Bookings: when which employees and things are taken, and things that can be booked."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import DDL, BigInteger, CheckConstraint, Column, Index, event, text
from sqlalchemy.dialects.postgresql import TSTZRANGE, ExcludeConstraint
from sqlmodel import Field, SQLModel

from db.tables.columns import BLANK, NO, YES, identity, one_of


class Resource(SQLModel, table=True):
    """A thing that can be booked. Without a calendar it can be used at all times."""

    id: str = Field(primary_key=True)
    title: str
    calendar_id: str | None = Field(default=None, foreign_key="calendar.id")
    active: bool = Field(default=True, sa_column_kwargs=YES)


class Booking(SQLModel, table=True):
    """From `starts_at` to before `ends_at`, made for a booking field of the record.

    Released before it started it is `cancelled`. Released later it stays `active`, ends when it was released,
    and `booked_until` is when it was to end.
    """

    __table_args__ = (
        one_of("state", "active", "cancelled"),
        CheckConstraint("starts_at < ends_at", name="order"),
        Index("ix_booking_record_id_field", "record_id", "field"),
    )

    id: int | None = Field(default=None, sa_column=identity())
    record_id: int = Field(sa_type=BigInteger, foreign_key="record.id", ondelete="CASCADE")
    visit_no: int
    rule: str = Field(default="", sa_column_kwargs=BLANK)
    field: str
    service: str = Field(default="", sa_column_kwargs=BLANK)
    starts_at: datetime
    ends_at: datetime
    booked_until: datetime
    state: str = Field(default="active", sa_column_kwargs={"server_default": text("'active'")})
    created_at: datetime
    created_by: str
    cancelled_at: datetime | None = None
    cancelled_by: str | None = None


class BookingResource(SQLModel, table=True):
    """One of a booking's resources, `employee:<id>` or `resource:<id>`, and when it is taken.

    No two that are `active` overlap, those `forced` aside: these were booked over another on purpose.
    """

    __tablename__ = "booking_resource"
    __table_args__ = (
        ExcludeConstraint(
            ("resource", "="),
            ("during", "&&"),
            where=text("active and not forced"),
            using="gist",
            name="ex_booking_resource_overlap",
        ),
        Index(
            "ix_booking_resource_taken",
            "resource",
            "during",
            postgresql_using="gist",
            postgresql_where=text("active"),
        ),
    )

    booking_id: int = Field(
        sa_type=BigInteger, primary_key=True, foreign_key="booking.id", ondelete="CASCADE"
    )
    resource: str = Field(primary_key=True)
    during: object = Field(sa_column=Column(TSTZRANGE, nullable=False))
    active: bool = Field(default=True, sa_column_kwargs=YES)
    forced: bool = Field(default=False, sa_column_kwargs=NO)


# what compares texts in such a constraint; PostgreSQL brings it along, trusted
_EXTENSION = DDL("create extension if not exists btree_gist")  # type: ignore[no-untyped-call]
event.listen(SQLModel.metadata.tables["booking_resource"], "before_create", _EXTENSION)
