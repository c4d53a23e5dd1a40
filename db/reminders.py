"""To-dos whose reminder has come: the employee is notified, once."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import DateTime, bindparam, text

from db.engine import Transaction


async def remind(tx: Transaction, now: datetime) -> int:
    """Notify of open to-dos whose reminder has come by `now` (UTC), some at a time; of how many.

    What lies in the recycle bin is passed over.
    """
    return len((await tx.execute(_REMIND, {"now": now})).all())


_REMIND = text("""
with due as (
  select t.id from todo t join record r on r.id = t.record_id
  where t.reminder_at <= :now and t.reminded_at is null and t.completed_at is null and r.deleted_at is null
  order by t.reminder_at limit 500
  for update of t skip locked
), reminded as (
  update todo set reminded_at = :now from due where todo.id = due.id
  returning todo.employee_id, todo.record_id, todo.visit_no, todo.rule, todo.subject
)
insert into notification (employee_id, record_id, visit_no, rule, sender, body, at)
select employee_id, record_id, visit_no, rule, 'system', 'Reminder: ' || subject, :now from reminded
returning id
""").bindparams(bindparam("now", type_=DateTime(timezone=True)))
