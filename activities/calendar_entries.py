"""What stands in the calendar of an employee: meetings, calls and bookings."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import BigInteger, DateTime, String, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from activities.providers.itip import Entry
from db.engine import Transaction

PAST: Final = timedelta(days=90)
"""So long what is over stays in a feed."""
MOST: Final = 2000
"""Entries of a feed, the earliest first."""


async def entries(tx: Transaction, employee: str, domain: str, now: datetime) -> list[Entry]:
    """The entries of one employee, in the order of their starts; what is cancelled is gone.

    `domain` makes the ids of bookings unique in the world.
    """
    asked = {"who": employee, "resource": f"employee:{employee}", "since": now - PAST, "most": MOST}
    rows = await tx.execute(_ENTRIES, asked | {"domain": domain})
    return [Entry(**row) for row in rows.mappings()]


_ENTRIES = text("""
select m.uid, m.sequence, m.subject as summary, m.starts_at, m.ends_at, m.changed_at, m.description, m.place,
  m.important, m.reminders
from meeting m
where (m.responsible_id = :who or m.participants @> to_jsonb(cast(:who as text)))
  and m.state <> 'cancelled' and m.ends_at > :since
union all
select 'booking-' || b.id || '@' || cast(:domain as text), cast(b.ends_at <> b.booked_until as int),
  coalesce(nullif(b.service, ''), r.title), b.starts_at, b.ends_at, coalesce(b.cancelled_at, b.created_at),
  r.title, '', false, '[]'
from booking_resource t join booking b on b.id = t.booking_id join record r on r.id = b.record_id
where t.resource = :resource and t.active and b.state = 'active' and b.ends_at > :since
order by 4, 1 limit :most
""").bindparams(
    bindparam("since", type_=DateTime(timezone=True)),
    bindparam("who", type_=String),
    bindparam("most", type_=BigInteger),
).columns(reminders=JSONB)
