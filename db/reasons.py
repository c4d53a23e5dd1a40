"""Why operators did what they did, until the journal says it: what people write does not go to Temporal."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import DateTime, bindparam, text

from db.engine import Transaction


async def keep_reason(tx: Transaction, operation: str, why: str, at: datetime) -> None:
    """Keep the reason of an operation that is about to be asked for; for the same id the first one counts."""
    if why:
        await tx.execute(_KEEP, {"key": _key(operation), "why": why, "at": at})


async def reason(tx: Transaction, operation: str) -> str:
    """The reason that was given for an operation; empty if none was, or if it is more than a week old."""
    found = await tx.execute(_READ, {"key": _key(operation)})
    return found.scalar_one_or_none() or ""


def _key(operation: str) -> str:
    return f"operation/{operation}"


# among the answers to calls, which are forgotten after a week
_KEEP = text("""
insert into request (key, body_hash, status, answer, at)
values (:key, '', 200, jsonb_build_object('why', cast(:why as text)), :at) on conflict (key) do nothing
""").bindparams(bindparam("at", type_=DateTime(timezone=True)))
_READ = text("select answer ->> 'why' from request where key = :key")
