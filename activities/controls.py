"""A control: flags lateness, tells whom it concerns in working time, escalates, ends with its condition."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, bindparam, text

from activities.act import Act
from activities.escalation import Notice, next_notice, notices
from activities.hold_rows import claim, keep, say
from activities.recipients import addressed
from activities.runner import Run, Runner
from db.facts import HoldRow
from db.journal import end_holds
from domain.errors import Refused
from domain.events import Outcome
from domain.hold import earlier
from domain.holds.control import Control
from domain.judge import came_to_hold, holds_from


async def comes_to_hold(runner: Runner, run: Run, row: HoldRow, params: Control) -> Outcome | None:
    """The clock has turned its condition: a fact like any other, which ends it when it happened.

    Where its deadline came before that, or with it, it is late first, and all that follows from this has its
    turn before it ends by an act of its own.
    """
    locked = runner.locked
    if params.until is None or row.due_at is None:
        return None
    since = max(row.due_at, run.due or row.due_at)  # it was looked at before that, while it was suspended
    at = came_to_hold(params.until, locked.values(run.visit_no), since, runner.now, locked.zone)
    if at is None:
        return None
    if row.late_since is None and row.deadline and row.deadline <= at and not locked.suspended(run.rule):
        booked = runner.on_time(row.due_at)
        await _late(runner, run, row, params, row.deadline)
        row.due_at = at
        await keep(runner, row)
        return Outcome(result="open", due=at, at=booked)
    await runner.flush()
    end = (await locked.hold(row, at)).resolved(at)
    runner.add(*await end_holds(locked, run.visit_no, [end], "condition"))
    return Outcome(result="done", reason=end.reason, at=at, closing=end.closing)


async def watch(runner: Runner, run: Run, row: HoldRow, params: Control) -> Outcome:
    """At a turn of its condition that does not make it hold, the deadline, or a level of the escalation."""
    at = runner.on_time(row.due_at)
    if row.due_at is None or runner.now < row.due_at:
        return Outcome(result="open", due=row.due_at, at=runner.now)
    if row.deadline is None or runner.now < row.deadline:
        row.due_at = _next_look(runner, row, params, row.deadline)
    else:
        row.due_at = await _late(runner, run, row, params, row.late_since or row.deadline)
    await keep(runner, row)
    return Outcome(result="open", due=row.due_at, at=at)


async def reschedule(runner: Runner, row: HoldRow, to: datetime) -> None:
    """A person says when an open hold ends, is late, or gives its next notice; it follows no facts then."""
    row.due_at, row.pinned = to, True
    if row.kind == "control":
        params = (await runner.locked.rules(row.visit_no)).hold(row.rule)
        row.deadline = to if row.late_since is None else row.deadline
        row.due_at = _next_look(runner, row, params, to) if isinstance(params, Control) else to
    await keep(runner, row)


async def _late(
    runner: Runner, run: Run, row: HoldRow, params: Control, deadline: datetime
) -> datetime | None:
    """Flag it, tell whom it concerns (in working time), answer when the next notice is due."""
    locked = runner.locked
    if row.late_since is None:
        row.late_since, row.state, locked.record.late = deadline, "late", True
        stored = locked.ledger[run.visit_no, run.rule, 0]
        stored.results = stored.results | {"state": "late"}
        await runner.flush()
        await locked.tx.execute(_FLAG, {"id": locked.record.id, "visit_no": run.visit_no, "rule": run.rule})
        say(runner, run, "late", runner.on_time(deadline), {})
    planned = notices(params, deadline, await locked.calendar(), locked.zone)
    heard: list[bool] = []  # of each notice given now, whether anybody heard it
    while (notice := next_notice(planned, row.next_act)) and notice.at <= runner.now:
        heard.append(await _tell(runner, run, row, params, notice))
        row.next_act += 1
    if heard:  # one key for the act, however many notices were due
        at = runner.on_time(run.due)
        if all(heard):
            claim(runner, run, Outcome(result="done", at=at))
        else:
            failed = Outcome(result="failed", reason="nobody", at=at)
            claim(runner, run, failed, "it is late, and nobody was there to be told")
    return _next_look(runner, row, params, notice.at if notice else None)


async def _tell(runner: Runner, run: Run, row: HoldRow, params: Control, notice: Notice) -> bool:
    """One notice. Nobody to tell is a failure the owner hears of; the record is late all the same."""
    locked, at = runner.locked, runner.on_time(notice.at)
    rule = (await locked.rules(run.visit_no)).rule(run.rule)
    act = Act(locked, run.visit_no, rule, run.n, at, runner.ids)
    body = _message(act, params)
    people = await addressed(act, notice.recipients, at)
    for employee in people:
        runner.add(runner.notice(run, employee.id, body, at, act.author))
    told = [employee.id for employee in people]
    row.told = [*row.told, *(e for e in told if e not in row.told)]
    say(runner, run, "told_late" if told else "not_told", at, {"told": told, "level": row.next_act})
    if not told and (owner := await runner.owner(run.visit_no)):
        runner.add(runner.notice(run, owner, f"{body} (and nobody was there to be told)", at))
    return bool(told)


def _message(act: Act, params: Control) -> str:
    """What they are told; where the values have grown too large for the message, that it is late."""
    try:
        body = act.text(params.message).strip()
    except Refused:
        body = ""
    return body or f"{act.rule.title or act.rule.id}: {act.record.title} is late"


def _next_look(
    runner: Runner, row: HoldRow, params: Control, deadline: datetime | None
) -> datetime | None:
    """The deadline, or the instant before it at which the clock turns the condition."""
    if params.until is None:
        return deadline
    locked = runner.locked
    return earlier(deadline, holds_from(params.until, locked.values(row.visit_no), runner.now, locked.zone))


_FLAG = text("""
with r as (update record set late = true where id = :id)
update ledger set results = results || '{"state": "late"}'
where record_id = :id and visit_no = :visit_no and rule = :rule and n = 0
""").bindparams(bindparam("id", type_=BigInteger))
