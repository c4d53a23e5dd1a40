"""What operators ask of journeys: kept with the reason, which Temporal is not told, until it is answered.

A request is answered by the transaction that does it, or withdrawn by who waited for the answer: one of the
two, for both lock its row.
"""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from pydantic import JsonValue
from sqlalchemy import DateTime, bindparam, text

from db.engine import Transaction
from db.facts import RecordRow
from db.outbox import Bell, bell_rows
from db.rows import write
from domain.heard import Operation


class Answered(NamedTuple):
    """What came of a request; `refused` is why it was not done, if so."""

    refused: str = ""


async def ask(tx: Transaction, record: RecordRow, operation: Operation, why: str) -> Bell | None:
    """Keep a request, and have the journey hear of it; None if the same has been asked before.

    The same is what has the same `key`, unless it was withdrawn: then it is asked anew. The signal has an id
    of its own each time.
    """
    told: dict[str, JsonValue] = operation.model_dump(mode="json", exclude={"id"})
    bell = Bell.of(record, "operate", told)
    own = {"key": _key(operation.key), "id": str(bell.id), "why": why, "at": operation.at}
    if (await tx.execute(_ASK, own)).one_or_none() is None:
        return None
    await write(tx, [bell_rows(bell, operation.at or record.entered_at)])
    return bell


async def wanted(tx: Transaction, operation: Operation) -> str | None:
    """Why it was asked for, until the end of the transaction; None if it was answered or withdrawn.

    What no row is kept of was signalled by a client of Temporal, and is wanted.
    """
    row = (await tx.execute(_WANTED, {"key": _key(operation.key)})).one_or_none()
    if row is None:
        return None if operation.key else ""
    return row.why if row.status == 0 and row.id == operation.id else None


async def settle(tx: Transaction, operation: Operation, refused: str = "") -> None:
    """Say that it was done, or why not."""
    own = {"key": _key(operation.key), "id": operation.id, "refused": refused}
    await tx.execute(_SETTLE, own | {"status": 409 if refused else 200})


async def answered(tx: Transaction, key: str) -> Answered | None:
    """What came of a request; None as long as nothing did."""
    row = (await tx.execute(_ANSWERED, {"key": _key(key)})).one_or_none()
    return Answered(row.refused or "") if row else None


async def withdraw(tx: Transaction, key: str) -> bool:
    """Have it not be done any more; False if it has been answered."""
    row = (await tx.execute(_WITHDRAW, {"key": _key(key)})).one_or_none()
    if row:
        await tx.execute(_UNTELL, {"id": UUID(row.id)})
    return row is not None


def _key(operation: str) -> str:
    return f"operation/{operation}"


# among the answers to calls, which are forgotten after a week; a status of 503 says that it was withdrawn
_ASK = text("""
insert into request (key, body_hash, answer, at)
values (:key, '', jsonb_build_object('id', cast(:id as text), 'why', cast(:why as text)), :at)
on conflict (key) do update set status = 0, answer = excluded.answer, at = excluded.at
where request.status = 503
returning key
""").bindparams(bindparam("at", type_=DateTime(timezone=True)))
_WANTED = text("""
select status, answer ->> 'id' as id, answer ->> 'why' as why from request where key = :key for update
""")
_SETTLE = text("""
update request set status = :status, answer = answer || jsonb_build_object('refused', cast(:refused as text))
where key = :key and answer ->> 'id' = :id and status = 0
""")
_ANSWERED = text("""
select answer ->> 'refused' as refused from request where key = :key and status in (200, 409)
""")
_WITHDRAW = text("""
update request set status = 503 where key = :key and status = 0 returning answer ->> 'id' as id
""")
_UNTELL = text("delete from outbox where id = :id")
