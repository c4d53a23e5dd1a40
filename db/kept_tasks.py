"""Tasks that kept chains of older visits wait for, when the pipeline changes or the record is deleted."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, DateTime, bindparam, text

from db.locked import Locked


async def end_kept_tasks(locked: Locked, reason: str, who: str, at: datetime) -> None:
    """Nobody waits any longer for the tasks of kept steps: the only holds that older visits have."""
    asked = {"id": locked.record.id, "visit_no": locked.record.visit_no, "reason": reason, "who": who}
    ended = await locked.tx.execute(_END_KEPT, asked | {"at": at, "stamp": at.isoformat()})
    for row in ended:
        if hold := locked.holds.get((row.visit_no, row.rule)):
            hold.outcome, hold.reason, hold.ended_at, hold.due_at = "cancelled", reason, at, None
            hold.state = "left"


_END_KEPT = text("""
with h as (
  update hold set outcome = 'cancelled', reason = :reason, ended_at = :at, ended_by = :who, state = 'left',
    due_at = null
  where record_id = :id and visit_no < :visit_no and kind = 'task' and outcome = ''
  returning visit_no, rule
), l as (
  update ledger set outcome = 'cancelled', reason = :reason, at = :at,
    results = results
      || jsonb_build_object('ended', 'left', 'by', cast(:who as text), 'at', cast(:stamp as text))
  from h where ledger.record_id = :id and ledger.visit_no = h.visit_no and ledger.rule = h.rule
    and ledger.n = 0
), j as (
  insert into journal (record_id, visit_no, rule, event, reason, at, actor, detail)
  select :id, visit_no, rule, 'cancelled', :reason, :at, :who, '{"hold": "left"}' from h
)
select visit_no, rule from h
""").bindparams(bindparam("id", type_=BigInteger), bindparam("at", type_=DateTime(timezone=True)))
