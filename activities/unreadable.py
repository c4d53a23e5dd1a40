"""Rules that were spoilt by hand: who is told, and which records have to stand still for them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import DateTime, bindparam, text

from db.engine import Transaction
from db.locked import Locked
from domain.errors import Unreadable


async def tell(tx: Transaction, error: Unreadable, at: datetime) -> None:
    """Tell whoever owns the rules, or the pipeline, that they cannot be read; once, until it is looked at."""
    asked = {"pipeline": error.pipeline, "number": error.number, "why": str(error), "at": at}
    await tx.execute(_TELL, asked)


async def unreadable(locked: Locked) -> Unreadable | None:
    """Why nothing can be decided about the record; None where its rules can be read."""
    record = locked.record
    try:
        await locked.rules(record.visit_no)
        await locked.book.version(locked.tx, record.pipeline_id, locked.around.rules_number)
    except Unreadable as error:
        return error
    return None


_TELL = text("""
insert into notification (employee_id, sender, body, at)
select distinct coalesce(nullif(s.owner_id, ''), p.owner_id), 'system', cast(:why as text), :at
from pipeline p left join rule_set s on s.pipeline_id = p.id and s.number = :number
where p.id = :pipeline and coalesce(nullif(s.owner_id, ''), p.owner_id) is not null
  and not exists (select 1 from notification n where n.body = cast(:why as text) and n.read_at is null
    and n.employee_id = coalesce(nullif(s.owner_id, ''), p.owner_id))
""").bindparams(bindparam("at", type_=DateTime(timezone=True)))
