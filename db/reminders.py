"""Reminders that have come, of to-dos and of meetings: whoever has to be there is notified, once."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import DateTime, bindparam, text

from db.engine import Transaction
from db.rows import Rows, write
from domain.period import zone_named

AT_ONCE = 100  # it stands in the statements too, whose plans are made for so few


async def remind(tx: Transaction, now: datetime) -> int:
    """Notify of what has come by `now` (UTC), some at a time; of how many to-dos and meetings.

    What lies in the recycle bin is passed over.
    """
    todos = (await tx.execute(_TODOS, {"now": now})).all()
    return len(todos) + await _of_meetings(tx, now)


async def _of_meetings(tx: Transaction, now: datetime) -> int:
    """Everybody who works here and is to come is told, also the responsible; clients are not."""
    due = (await tx.execute(_MEETINGS, {"now": now})).all()
    rows: list[dict[str, object]] = []
    for one in due:
        time = one.starts_at.astimezone(_zone(one.zone)).strftime("%Y-%m-%d %H:%M")
        said = one.subject if time in one.subject else f"{one.subject}, {time}"
        rows.append({
            "employee_id": one.employee, "record_id": one.record_id, "visit_no": one.visit_no,
            "rule": one.rule, "sender": "system", "body": f"Reminder: {said}", "at": now,
        })  # fmt: skip
    if rows:
        await write(tx, [Rows("notification", rows)])
    return len({one.meeting_id for one in due})


def _zone(name: str) -> ZoneInfo:
    try:
        return zone_named(name)
    except ValueError:  # written by hand, and nobody else is to miss a meeting for it
        return ZoneInfo("UTC")


_TODOS = text("""
with due as (
  select t.id from todo t join record r on r.id = t.record_id
  where t.reminder_at <= :now and t.reminded_at is null and t.completed_at is null and r.deleted_at is null
  order by t.reminder_at limit 100
  for update of t skip locked
), reminded as (
  update todo set reminded_at = :now where id = any(array(select id from due))
  returning todo.employee_id, todo.record_id, todo.visit_no, todo.rule, todo.subject
)
insert into notification (employee_id, record_id, visit_no, rule, sender, body, at)
select employee_id, record_id, visit_no, rule, 'system', 'Reminder: ' || subject, :now from reminded
returning id
""").bindparams(bindparam("now", type_=DateTime(timezone=True)))
_MEETINGS = text("""
with reminded as (
  delete from meeting_reminder where ctid = any(array(
    select d.ctid from meeting_reminder d join meeting m on m.id = d.meeting_id
      join record r on r.id = m.record_id
    where d.at <= :now and r.deleted_at is null
    order by d.at limit 100
    for update of d skip locked))
  returning meeting_id
)
select m.id as meeting_id, m.record_id, m.visit_no, m.rule, m.subject, m.starts_at, e.id as employee,
  coalesce(nullif(e.zone, ''), (select value #>> '{}' from setting where key = 'zone'), 'UTC') as zone
from (select distinct meeting_id from reminded) one join meeting m on m.id = one.meeting_id
  join employee e on e.active and (e.id = m.responsible_id or m.participants @> to_jsonb(e.id))
order by m.starts_at, m.id, e.id
""").bindparams(bindparam("now", type_=DateTime(timezone=True)))
