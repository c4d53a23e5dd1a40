"""Bookings that a deletion released are taken again when the record comes back, where that can be."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ARRAY, BigInteger, DateTime, bindparam, text

from activities.booked import around, taken
from activities.bookings import set_field
from activities.resources import take_turns
from db.journal import line
from db.locked import Locked
from db.records import By
from db.rows import Change, Rows, write


class _Released(NamedTuple):
    id: int
    field: str
    starts_at: datetime
    booked_until: datetime
    resources: list[str]


async def take_again(locked: Locked, ids: Sequence[int], by: By) -> None:
    """Take these bookings as they were, unless they are over by now.

    One whose resource is taken meanwhile, or can no longer be booked, stays released; the journal says so.
    """
    asked = {"ids": list(ids), "at": by.at}
    released = [_Released(*row) for row in (await locked.tx.execute(_RELEASED, asked)).all()] if ids else []
    if not released:
        return
    await take_turns(locked.tx, sorted({resource for one in released for resource in one.resources}))
    parts: list[Rows | Change] = []
    for one in released:
        known = await around(locked, one.field, by.at, one.resources)
        gone = [resource for resource in one.resources if resource not in known.resources]
        met = await taken(locked.tx, one.resources, one.starts_at, one.booked_until, [one.id])
        in_the_way = gone or sorted({other.resource for other in met})
        detail: dict[str, object] = {"booking": one.id, "field": one.field, "start": one.starts_at}
        detail |= {"end": one.booked_until} | ({"resources": in_the_way} if in_the_way else {})
        event = "not_booked_again" if in_the_way else "booked_again"
        parts.append(
            line(locked.record.id, locked.record.visit_no, event, by.at, actor=by.who, detail=detail)
        )
        if not in_the_way:
            await locked.tx.execute(_TAKE, {"id": one.id})
            parts += set_field(locked, one.field, one.starts_at)[1]
    await write(locked.tx, parts)


_RELEASED = text("""
select b.id, b.field, b.starts_at, b.booked_until,
  array(select r.resource from booking_resource r where r.booking_id = b.id order by 1)
from booking b where b.id = any(:ids) and b.booked_until > :at order by b.id
""").bindparams(bindparam("ids", type_=ARRAY(BigInteger)), bindparam("at", type_=DateTime(timezone=True)))
_TAKE = text("""
with b as (
  update booking set state = 'active', ends_at = booked_until, cancelled_at = null, cancelled_by = null
  where id = :id returning *
)
update booking_resource set active = true, during = tstzrange(b.starts_at, b.ends_at)
from b where booking_id = b.id
""").bindparams(bindparam("id", type_=BigInteger))
