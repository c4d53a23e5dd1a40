"""What a copy of a record takes over beside its fields: comments, files, to-dos, bookings."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Literal

from pydantic import BaseModel
from sqlalchemy import BigInteger, DateTime, bindparam, text

from activities.act import Act
from activities.bookings import Wanted, book
from db.locked import Locked
from db.records import By
from domain.period import Period

Part = Literal["fields", "contacts", "products", "comments", "files", "todos", "bookings"]


async def copy_parts(act: Act, to: int, parts: Collection[Part]) -> None:
    """Copy what is asked for to a record that has just been made.

    Comments keep their authors and times. Files are the same stored bytes, with no number of their series and
    no public link. Of the to-dos those are copied that are to be done, without a reminder that has come, of
    the bookings those to come: each at the first time from its start on at which its resources, taken by the
    source, are free. Raises `Refused` as `bookings.book` does.
    """
    asked = {"from": act.record.id, "to": to, "at": act.now}
    for part, sql in (("comments", _COMMENTS), ("files", _FILES), ("todos", _TODOS)):
        if part in parts:
            await act.tx.execute(sql, asked)
    if "bookings" in parts:
        await _copy_bookings(act, to)


class _Booking(BaseModel):
    field: str
    service: str
    starts_at: datetime
    ends_at: datetime
    resources: list[str]


async def _copy_bookings(act: Act, to: int) -> None:
    """Book anew for the booking fields that the copy has as well."""
    found = (await act.tx.execute(_BOOKINGS, {"from": act.record.id, "at": act.now})).mappings().all()
    copy = await Locked.take(act.tx, act.locked.book, to) if found else None
    for row in found:
        one = _Booking.model_validate(dict(row))
        field = copy.registry.record.get(one.field) if copy else None
        if copy is None or field is None or field.type != "booking":
            continue
        lasts = Period(minutes=max(1, int((one.ends_at - one.starts_at).total_seconds() // 60)))
        wanted = Wanted(
            one.field,
            one.starts_at,
            lasts,
            one.resources,
            one.service,
            on_conflict="next_free",
            replace=False,
        )
        await book(copy, act.ids, wanted, By(act.author, act.now, automatic=True), copy.record.visit_no)


_OF = (
    bindparam("from", type_=BigInteger),
    bindparam("to", type_=BigInteger),
)
_COMMENTS = text("""
insert into comment (record_id, visit_no, author, body, pinned, at)
select :to, 1, author, body, pinned, at from comment where record_id = :from order by id
""").bindparams(*_OF)
_FILES = text("""
insert into document (record_id, visit_no, template_id, template_version, title, number, format, media_type,
  file, blob, size, at)
select :to, 1, template_id, template_version, title, number, format, media_type, file, blob, size, at
from document where record_id = :from order by id
""").bindparams(*_OF)
_TODOS = text("""
insert into todo (record_id, visit_no, employee_id, subject, description, deadline, important,
  complete_on_exit, reminder_at, created_at)
select :to, 1, employee_id, subject, description, deadline, important, complete_on_exit,
  case when reminder_at > :at then reminder_at end, :at
from todo where record_id = :from and completed_at is null order by id
""").bindparams(*_OF, bindparam("at", type_=DateTime(timezone=True)))
_BOOKINGS = text("""
select b.field, b.service, b.starts_at, b.ends_at,
  array(select r.resource from booking_resource r where r.booking_id = b.id order by r.resource) as resources
from booking b
where b.record_id = :from and b.state = 'active' and b.starts_at >= :at order by b.starts_at, b.id
""").bindparams(bindparam("from", type_=BigInteger), bindparam("at", type_=DateTime(timezone=True)))
