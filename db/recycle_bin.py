"""The end of what lies in the recycle bin: after a period nobody can restore it any more."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import DateTime, bindparam, text

from db.engine import Transaction


async def purge(tx: Transaction, before: datetime) -> int:
    """Delete records that were put into the bin before that instant (UTC), some at a time; how many.

    All that belongs to them goes too. What was decided stays, as do the codes and numbers that were given,
    and with them the documents, quotes and invoices that bear one.
    """
    return len((await tx.execute(_PURGE, {"before": before})).all())


_PURGE = text("""
delete from record
where id in (select id from record where deleted_at < :before limit 100 for update skip locked)
returning id
""").bindparams(bindparam("before", type_=DateTime(timezone=True)))
