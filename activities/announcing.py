"""What follows from a change that a call makes: one function, whoever changes whatever.

A rule announces what it changed by its outcome (`Done.changed`); all that comes from outside does it here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import BigInteger, bindparam, text

from activities.happened import Happened, edited
from activities.runner import Runner
from activities.triggers import fire
from db.locked import Locked
from db.outbox import Bell, bell_rows
from db.rows import write


async def announce(
    runner: Runner, changed: Sequence[str], *events: Happened
) -> tuple[Bell | None, Bell | None]:
    """What reads fields that changed (full references) follows them, and triggers may move the record.

    `events`: what happened besides. The change itself has been made, and is of the runner's instant; the
    bells are to be rung after the commit. In the bin nothing follows.
    """
    if runner.locked.record.deleted_at:
        return None, None
    bell = await facts_changed(runner.locked, changed, runner.now)
    return bell, await fire(runner, [*edited(changed), *events])


async def facts_changed(locked: Locked, changed: Sequence[str], at: datetime) -> Bell | None:
    """Write the bell for changed fields; None when nothing pending reads them.

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
