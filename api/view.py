"""A record with what happens next: all of it is what the database knows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import BigInteger, bindparam, text

from activities.rebuilding import foreseen
from api.answers import HoldOut, JourneyOut, PendingOut, RecordDetail, RecordOut, SuspensionOut, WaitOut
from api.journeys import Seen, look
from api.service import Service
from db.engine import Transaction
from db.facts import HoldRow, RecordRow, read
from db.locked import Locked
from db.outbox import Bell
from domain.changed_facts import WATCHING
from domain.condition_words import in_words
from domain.errors import Gone
from domain.plan import Step
from domain.progress import Progress
from domain.rule import Rule


async def record(tx: Transaction, record_id: int) -> RecordRow:
    """A record without its lock. Raises `Gone` for a deleted one too."""
    row = (await tx.execute(_RECORD, {"id": record_id})).mappings().one_or_none()
    found = None if row is None else RecordRow.model_validate(dict(row))
    if found is None or found.deleted_at:
        raise Gone(record_id)
    return found


async def detail(service: Service, record_id: int) -> RecordDetail:
    """All there is to say of a record at this moment. Raises `Gone`."""
    async with service.database.transaction() as tx:
        seen, steps, holds = await _read(tx, service, record_id)
        row = seen.record
        progress = await foreseen(service.runner(seen, service.clock())) if row.journey_visit else None
    journey = await look(service, row.record_type, row.id)
    if journey.lost and row.journey_visit:
        service.doorbell.ring(Bell.entered(row))  # which begins it anew
    return RecordDetail(
        **RecordOut.of(row).model_dump(),
        meaning=seen.meaning(row.stage_id),
        pending=list(_pending(seen, steps, progress)),
        holds=holds,
        waits_for_client=_nearest(holds, service.clock()),
        suspensions=list(_covers(seen)),
        journey=_said(row, journey),
    )


async def _read(
    tx: Transaction, service: Service, record_id: int
) -> tuple[Locked, list[_Found], list[HoldOut]]:
    since = (await tx.execute(_FIRST_KEPT, {"id": record_id})).scalar_one()
    found = await read(tx, record_id, since)
    if found is None or found.record.deleted_at:
        raise Gone(record_id)
    seen = Locked(tx, service.book, found)
    holds = [_hold(hold) for hold in seen.holds.values() if not hold.outcome]
    return seen, await _steps(seen), holds


def _said(row: RecordRow, journey: Seen) -> JourneyOut:
    if journey.lost and row.journey_visit:
        return JourneyOut(running=False, says="the journey was lost, and begins anew from the database")
    if journey.lost:
        return JourneyOut(running=False, says="the journey has not begun yet")
    if not journey.under_way:
        return JourneyOut(running=False, says="Temporal does not answer; nothing acts until it does")
    if row.journey_visit < row.visit_no:
        return JourneyOut(running=True, says="the journey has not opened the present visit yet")
    return JourneyOut(running=True)


def _covers(seen: Locked) -> Iterator[SuspensionOut]:
    for cover in seen.around.suspensions:
        if cover.scope != "rule" or cover.key.startswith(f"{seen.record.pipeline_id}/"):
            yield SuspensionOut(
                scope=cover.scope, key=cover.key, since=cover.since, by=cover.by_whom, why=cover.why
            )
    if why := seen.record.suspended:
        yield SuspensionOut(scope="record", key=str(seen.record.id), since=None, by="system", why=why)


def _nearest(holds: list[HoldOut], now: datetime) -> WaitOut | None:
    """The wait whose end comes first; one without an end comes last."""
    waits = [hold for hold in holds if hold.kind == "wait"]
    if not waits:
        return None
    first = min(waits, key=lambda hold: (hold.ends_at is None, hold.ends_at or hold.opened_at))
    left = None if first.ends_at is None else max(0.0, (first.ends_at - now).total_seconds())
    own = first.model_dump(include={"visit_no", "rule", "instruction"})
    return WaitOut(**own, until=first.ends_at, seconds_left=left)


# -- what is pending ---------------------------------------------------------------------------------
class _Found(NamedTuple):
    """A step of a visit that has no outcome, with its rule."""

    visit_no: int
    step: Step
    rule: Rule
    kept: bool


async def _steps(seen: Locked) -> list[_Found]:
    found: list[_Found] = []
    for visit in seen.visits:
        present = visit.visit_no == seen.record.visit_no
        version, ended = await seen.rules(visit.visit_no), seen.ended(visit.visit_no)
        found += [
            _Found(visit.visit_no, step, version.rule(step.rule), not present)
            for step in version.plan(visit.stage_id)
            if step.rule not in ended and (present or step.rule in visit.kept)
        ]
    return found


def _pending(seen: Locked, steps: list[_Found], progress: Progress | None) -> Iterator[PendingOut]:
    zone = ZoneInfo(seen.zone)
    for found in steps:
        step, hold = found.step, seen.holds.get((found.visit_no, found.rule.id))
        if progress and found.visit_no <= progress.visit_no:
            known = progress.step(found.visit_no, found.rule.id)
            if known is None or known.over:
                continue  # it has ended, which is yet to be written down
            step = known
        elif hold and not hold.outcome:
            step.status, step.due = "open", hold.due_at
        visit = seen.visit(found.visit_no)
        if step.status == "queued" and step.first and visit:
            step.due = visit.opens_at
        yield PendingOut(
            visit_no=found.visit_no, rule=found.rule.id, kind=found.rule.kind, title=found.rule.title,
            status=step.status, waiting=step.waiting, due=step.due, kept=found.kept,
            says=_says(step, found.rule, zone, hold),
            condition=found.rule.condition.model_dump(mode="json", exclude_none=True)
            if step.waiting == "condition" and found.rule.condition
            else None,
        )  # fmt: skip


def _says(step: Step, rule: Rule, zone: ZoneInfo, hold: HoldRow | None) -> str:
    """What a step does next, in words, on the clock of the record."""
    when = "" if step.due is None else f"{step.due.astimezone(zone):%Y-%m-%d %H:%M} ({zone.key})"
    condition = in_words(rule.condition) if rule.condition else "its condition holds"
    if step.waiting:
        waits = {
            "condition": f"waits until {condition}",
            "value": f"waits for a date in {rule.schedule.basis}",
            "suspended": "is suspended" + (f"; it was due at {when}" if when else ""),
            WATCHING: "is suspended" + (f"; the clock resolves it at {when}" if when else ""),
            "retry": f"was refused for the moment; tries again at {when}",
            "spread": f"is late, and acts spread out with others at {when}",
        }
        return waits[step.waiting]
    match step.status:
        case "open" if step.nature == "wait":
            return f"waits for the client until {when}" if when else "waits for the client, without an end"
        case "open" if step.nature != "control":
            return f"waits for its task until {when}"
        case "open" if hold and hold.late_since:
            late = f"is late since {hold.late_since.astimezone(zone):%Y-%m-%d %H:%M} ({zone.key})"
            return f"{late}; tells of it next at {when}" if when else late
        case "open":
            return f"is watched; acts next at {when}" if when else "is watched"
        case "armed":
            return f"acts at {when}"
        case "queued" if when:
            return f"has its turn when the visit is opened at {when}"
        case "due" | "running" | "expiring":
            return "acts now"
        case "planning":
            return "its due time is being computed"
    return "has its turn when the rule above has ended, or the visit is opened"


def _hold(row: HoldRow) -> HoldOut:
    return HoldOut(
        visit_no=row.visit_no, rule=row.rule, kind=row.kind, state=row.state, opened_at=row.opened_at,
        ends_at=row.due_at, late_since=row.late_since,
        instruction=row.note,
    )  # fmt: skip


_RECORD = text("select * from record where id = :id").bindparams(bindparam("id", type_=BigInteger))
_FIRST_KEPT = text("select min(visit_no) from visit where record_id = :id and kept <> '[]'")
_FIRST_KEPT = _FIRST_KEPT.bindparams(bindparam("id", type_=BigInteger))
