"""Whether a journey has to hear of an edit: only when something pending may depend on it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import BigInteger, bindparam, text

from db.locked import Locked
from db.outbox import Bell, bell_rows
from db.rows import write


async def facts_changed(locked: Locked, changed: Sequence[str], at: datetime) -> Bell | None:
    """Write the bell for changed fields (full references); None when nothing pending reads them.

    With the responsible, the calendar and absences that count change too: `responsible` stands for these.
    """
    record = locked.record
    names = [*changed, *(["responsible"] if "record.responsible" in changed else [])]
    if not names:
        return None
    followed: frozenset[str] = frozenset()
    for visit in await locked.tx.execute(_VISITS, {"id": record.id, "visit_no": record.visit_no}):
        version = await locked.book.version(locked.tx, visit.pipeline_id, visit.rules_number)
        followed |= version.reads(visit.stage_id)
    if followed.isdisjoint(names):
        return None
    bell = Bell.of(record, "facts_changed", {"at": at.isoformat(), "fields": list(names)})
    await write(locked.tx, [bell_rows(bell, at)])
    return bell


_VISITS = text("""
select pipeline_id, stage_id, rules_number from visit
where record_id = :id and (visit_no = :visit_no or kept <> '[]')
""").bindparams(bindparam("id", type_=BigInteger))
