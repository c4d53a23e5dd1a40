"""What a person may do to a pending step, an open hold or a whole record; everything with who and why."""

from __future__ import annotations

from sqlalchemy import BigInteger, DateTime, bindparam, text

from activities.controls import reschedule
from activities.follow import changed_at
from activities.results import waited_for
from activities.runner import Runner
from activities.visits import Drive
from db.facts import HoldRow
from db.journal import end_holds, line
from db.operations import settle, wanted
from db.outbox import face_of
from domain.changed_facts import SUSPENSION, Facts
from domain.errors import Refused
from domain.events import Changed, Event, HoldEnd, HoldEnded, Planned
from domain.journey import Driven, Operation
from domain.plan import Step
from domain.progress import Progress
from domain.schedule import Due


async def operate(runner: Runner, progress: Progress, asked: Operation) -> Driven:
    """Do it, or say why not; nothing if it was withdrawn, or done before."""
    record, tx = runner.locked.record, runner.locked.tx
    why = await wanted(tx, asked)
    if why is None:
        return _driven(runner, progress)
    drive = Drive(runner, progress)
    try:
        events = await _events(runner, progress, asked, why)
    except Refused as refused:
        await settle(tx, asked, refused.message)
        return _driven(runner, progress)
    detail = {"why": why} | ({"due": asked.due} if asked.due else {})
    visit_no = asked.visit_no or record.visit_no
    said = line(record.id, visit_no, asked.verb, runner.now, rule=asked.rule, actor=asked.who, detail=detail)
    runner.add(said)
    await drive.feed(*events)
    await drive.finish()
    await settle(tx, asked)
    return _driven(runner, progress)


def _driven(runner: Runner, progress: Progress) -> Driven:
    return Driven(
        progress=progress, face=face_of(runner.locked.record, suspended=runner.locked.suspended())
    )


async def _events(runner: Runner, progress: Progress, asked: Operation, why: str) -> list[Event]:
    if not asked.who.strip():
        raise Refused("no_name", "say who asks")
    match asked.verb:
        case "suspend":
            return await _suspend(runner, asked, why)
        case "resume":
            return await _resume(runner)
    visit_no = asked.visit_no or progress.visit_no
    step = progress.step(visit_no, asked.rule)
    if step is None or not step.pending:
        raise Refused("not_pending", f"{asked.rule!r} of visit {visit_no} is not pending")
    hold = runner.locked.holds.get((visit_no, asked.rule))
    if hold and hold.outcome:
        raise Refused("not_pending", f"{asked.rule!r} of visit {visit_no} has ended")
    match asked.verb:
        case "run_now":
            return await _run_now(runner, visit_no, step, hold, asked)
        case "skip":
            return await _skip(runner, visit_no, step, hold, asked)
    if asked.due is None:
        raise Refused("no_due", "to reschedule, say when")
    if hold:
        await reschedule(runner, hold, asked.due)
    return [Planned(visit_no, step.rule, Due(at=hold.due_at if hold else asked.due), runner.now, pinned=True)]


async def _run_now(
    runner: Runner, visit_no: int, step: Step, hold: HoldRow | None, asked: Operation
) -> list[Event]:
    if runner.locked.suspended(step.rule):
        raise Refused("suspended", "nothing acts while it is suspended")
    if hold and hold.kind == "control":
        raise Refused("control", "a control does not act before it is late")
    if hold:
        return await _end(runner, hold, _by_person(runner, hold), asked)
    return [Planned(visit_no, step.rule, Due(at=runner.now), runner.now, pinned=True)]


async def _skip(
    runner: Runner, visit_no: int, step: Step, hold: HoldRow | None, asked: Operation
) -> list[Event]:
    if hold is None:
        due = Due(at=None, verdict="skip", reason="operator")
        return [Planned(visit_no, step.rule, due, runner.now, pinned=True)]
    if hold.kind != "control":
        end = _by_person(runner, hold)
    else:
        end = HoldEnd(
            rule=step.rule, result="skipped", reason="operator", at=runner.now, closing=bool(hold.told)
        )
    return await _end(runner, hold, end, asked)


def _by_person(runner: Runner, hold: HoldRow) -> HoldEnd:
    """A person does not want to wait any longer: for the client, or for a task, which stays open."""
    if hold.kind == "task":
        return HoldEnd(rule=hold.rule, result="done", reason="", at=runner.now, ended="person")
    return HoldEnd(rule=hold.rule, result="done", reason="person", at=runner.now)


async def _end(runner: Runner, hold: HoldRow, end: HoldEnd, asked: Operation) -> list[Event]:
    runner.add(*await end_holds(runner.locked, hold.visit_no, [end], asked.who))
    fields = await waited_for(runner.locked, hold.visit_no, hold.rule)
    return [HoldEnded(hold.visit_no, end), *changed_at(runner.now, fields)]


async def _suspend(runner: Runner, asked: Operation, why: str) -> list[Event]:
    key = {"key": str(runner.locked.record.id), "now": runner.now, "who": asked.who, "why": why}
    await runner.locked.tx.execute(_SUSPEND, key)
    await runner.locked.reload()
    return []


async def _resume(runner: Runner) -> list[Event]:
    """What queued goes on, as `catch_up` says; the counts of the loop guard begin anew."""
    locked = runner.locked
    if not locked.suspended():
        raise Refused("not_suspended", "the record is not suspended")
    await locked.tx.execute(_RESUME, {"id": locked.record.id, "key": str(locked.record.id)})
    await locked.reload()
    return [Changed(Facts(at=runner.now, fields=[SUSPENSION]))]


_SUSPEND = text("""
insert into suspension (scope, key, since, by_whom, why) values ('record', :key, :now, :who, :why)
on conflict (scope, key) do nothing
""").bindparams(bindparam("now", type_=DateTime(timezone=True)))
_RESUME = text("""
with s as (delete from suspension where scope = 'record' and key = :key)
update record set suspended = null, loop_since_visit = visit_no where id = :id
""").bindparams(bindparam("id", type_=BigInteger))
