"""What nobody needs any more: records that lay long in the recycle bin, answers kept for repeated calls."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import DateTime, bindparam, text

from db.engine import Transaction

AT_ONCE = 1000


async def purge(tx: Transaction, before: datetime) -> int:
    """Delete records that were put into the bin before that instant (UTC), some at a time; how many.

    All that belongs to them goes too, also what was written to the client and what the client wrote: of a
    message that it was sent remains. What was decided stays, as do the codes and numbers that were given,
    and with them the documents, quotes and invoices that bear one.
    """
    return len((await tx.execute(_PURGE, {"before": before})).all())


async def forget_answers(tx: Transaction, before: datetime) -> int:
    """Delete answers given to an `Idempotency-Key` before that instant (UTC), some at a time; how many."""
    return len((await tx.execute(_FORGET, {"before": before, "most": AT_ONCE})).all())


_PURGE = text("""
with gone as (
  delete from record
  where id = any(array(
    select id from record where deleted_at < :before order by deleted_at limit 100 for update skip locked))
  returning id
), unheard as (
  delete from outbox where record_id in (select id from gone)
), unread as (
  delete from inbound_mail where record_id in (select id from gone)
), unsaid as (
  update message set content = '', text = '', subject = '', attachments = '[]'
  where record_id in (select id from gone) and state <> 'sending'
)
select id from gone
""").bindparams(bindparam("before", type_=DateTime(timezone=True)))
_FORGET = text("""
delete from request
where key = any(array(
  select key from request where at < :before order by at limit :most for update skip locked))
returning key
""").bindparams(bindparam("before", type_=DateTime(timezone=True)))
