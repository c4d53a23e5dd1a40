"""Waits and controls as rows: how they open, what they do when their time comes, how their end is told."""

from __future__ import annotations

from datetime import datetime

from pydantic import JsonValue
from pydantic_core import to_json
from sqlalchemy import BigInteger, DateTime, bindparam, text

from activities.act import Act
from activities.catalogue import effects
from activities.escalation import Notice, next_notice, notices
from activities.recipients import employees
from activities.runner import Run, Runner
from db.facts import HoldRow
from db.journal import end_holds, line
from db.records import By, TooManyMoves, move, suspend_for_loop
from db.rows import Rows
from domain.conditions import Verdict, judge, turns_at
from domain.errors import Refused
from domain.events import HoldEnd, Outcome
from domain.holds.control import Control
from domain.holds.wait import Follow, MoveTo, Wait
from domain.rule import Rule
from domain.schedule import due

Params = Wait | Control


async def open_hold(runner: Runner, run: Run, rule: Rule, params: Params, verdict: Verdict | None) -> Outcome:
    """Write the row of a hold, unless it ends as it opens."""
    locked, at = runner.locked, runner.on_time(run.due)
    limit = params.until if isinstance(params, Wait) else params.deadline
    name = f"{locked.record.record_type}-{locked.record.id}/{rule.id}"
    ends = due(limit, at, at, await locked.schedule_facts(limit, runner.house.jitter), name)
    if ends.verdict in ("skip", "fail"):
        outcome = Outcome(result="skipped" if ends.verdict == "skip" else "failed", reason=ends.reason, at=at)
        return runner.end(run, outcome, verdict=verdict)
    row = HoldRow(
        visit_no=run.visit_no, rule=rule.id, kind=rule.kind, turn=run.due or at, opened_at=at, due_at=ends.at,
        state="watching" if isinstance(params, Control) else "waiting", next_act=1,
    )  # fmt: skip
    if isinstance(params, Control) and params.until is not None:
        values = locked.values(run.visit_no)
        if judge(params.until, values, at, locked.zone).holds:
            return runner.end(run, Outcome(result="done", reason="resolved", at=at), verdict=verdict)
        row.due_at = _earlier(ends.at, turns_at(params.until, values, at, locked.zone))
    locked.holds[run.visit_no, rule.id] = row
    outcome = Outcome(result="open", due=row.due_at, at=at)
    runner.end(run, outcome, verdict=verdict)
    runner.add(_hold_rows(runner, run, rule, params, row, ends.at))
    if isinstance(params, Wait) and (heard := await _heard_meanwhile(runner, row, params)):
        return await _ended_by_client(runner, run, row, heard)
    return outcome


async def act_of_hold(runner: Runner, run: Run, row: HoldRow) -> Outcome:
    """What an open hold does at its time; early, it goes on."""
    params = (await runner.locked.rules(run.visit_no)).hold(run.rule)
    if runner.locked.suspended(run.rule):
        return Outcome(result="pending", waiting="suspended", due=run.due, at=runner.now)
    if isinstance(params, Wait):
        return await _time_out(runner, run, row, params)
    return await _control_acts(runner, run, row, params)


async def closing_notice(runner: Runner, run: Run, row: HoldRow | None) -> Outcome:
    """Whoever was told that it is late is told how it ended; nothing for a hold nobody was told of."""
    if row is None or not row.told or row.ended_at is None:
        return Outcome(result="stale", at=runner.now)
    rule = (await runner.locked.rules(run.visit_no)).rule(run.rule)
    body = f"{rule.title or rule.id}: {row.state.replace('_', ' ')}"
    for employee in row.told:
        runner.add(runner.notice(run, employee, body, runner.now))
    told: list[JsonValue] = list(row.told)
    outcome = Outcome(result="done", reason=row.reason, at=runner.now)
    runner.locked.ledger.pop((run.visit_no, run.rule, run.n), None)
    _key(runner, run, outcome)
    runner.add(_said(runner, run, "told_how_it_ended", runner.now, {"told": told, "state": row.state}))
    return outcome


async def follow_end(runner: Runner, run: Run, params: Wait, follow: Follow, at: datetime) -> None:
    """The notice or to-do that the end of a wait brings, as the effect `notify` or `create_todo`."""
    if follow not in ("notify", "todo"):
        return
    rule = (await runner.locked.rules(run.visit_no)).rule(run.rule)
    title = rule.title or params.instruction or rule.id
    act = Act(runner.locked, run.visit_no, rule, run.n, at, runner.ids)
    said = "The wait is over: " + act.text(title)
    kind, params_of = ("notify", {"text": said}) if follow == "notify" else ("create_todo", {"subject": said})
    effect = effects()[kind].model_validate(params_of)
    try:
        done = await effect.apply(act)
    except Refused as refused:  # the wait ends all the same; whoever owns the rules has to know
        runner.add(_said(runner, run, "not_told", at, {"error": refused.message}))
        if owner := await runner.owner(run.visit_no):
            runner.add(runner.notice(run, owner, f"{said}, and: {refused.message}", at))
        return
    runner.add(*done.rows)
    _key(runner, run, Outcome(result="done", at=at))


# -- waits -------------------------------------------------------------------------------------------
async def _time_out(runner: Runner, run: Run, row: HoldRow, params: Wait) -> Outcome:
    if row.due_at is None or runner.now < row.due_at:
        return Outcome(result="open", due=row.due_at, at=runner.now)
    locked, at = runner.locked, runner.on_time(row.due_at)
    end = HoldEnd(rule=run.rule, result="done", reason="time", at=at)
    follow = params.on_timeout
    if isinstance(follow, MoveTo) and follow.move_to != locked.record.stage_id:
        return await _move_on(runner, run, end, follow.move_to)
    await follow_end(runner, run, params, follow, at)
    await runner.flush()
    runner.add(*await end_holds(locked, run.visit_no, [end], "time"))
    return Outcome(result="done", reason="time", at=at)


async def _move_on(runner: Runner, run: Run, end: HoldEnd, stage: str) -> Outcome:
    """The time of a wait is out and moves the record; what the loop guard stops stays open."""
    locked = runner.locked
    rule = (await locked.rules(run.visit_no)).rule(run.rule)
    by = By(Act(locked, run.visit_no, rule, run.n, end.at, runner.ids).author, end.at, automatic=True, rule=run.rule)
    await runner.flush()
    try:
        await move(locked, stage, by, [end], "time")
    except TooManyMoves as many:
        runner.add(*await suspend_for_loop(locked, runner.now, str(many), await runner.owner(run.visit_no)))
        return Outcome(result="pending", waiting="suspended", due=run.due, at=runner.now)
    except Refused as refused:  # the stage is gone since: the wait ends, the owner is told
        runner.add(*await end_holds(locked, run.visit_no, [end], "time"))
        runner.add(_said(runner, run, "not_moved", end.at, {"error": refused.message}))
        if owner := await runner.owner(run.visit_no):
            runner.add(runner.notice(run, owner, f"The wait {run.rule!r} could not move the record: {refused}", end.at))
        return Outcome(result="done", reason="time", at=end.at)
    locked.ledger[run.visit_no, run.rule, 0].moved_to = locked.record.visit_no
    return Outcome(result="done", reason="time", at=end.at, moved_to=locked.record.visit_no)


_HEARD = text("""
select type, at from client_activity
where at > :after and at <= :now and (record_id = :id or contact_id = :contact or company_id = :company)
order by at
""").bindparams(
    bindparam("id", type_=BigInteger), bindparam("contact", type_=BigInteger),
    bindparam("company", type_=BigInteger), bindparam("after", type_=DateTime(timezone=True)),
    bindparam("now", type_=DateTime(timezone=True)),
)  # fmt: skip


async def _heard_meanwhile(runner: Runner, row: HoldRow, params: Wait) -> str:
    """The type of a client's activity between the time the wait was due to open and its opening."""
    if row.opened_at <= row.turn:
        return ""
    record = runner.locked.record
    asked = {"id": record.id, "contact": record.contact_id, "company": record.company_id}
    found = await runner.locked.tx.execute(_HEARD, asked | {"after": row.turn, "now": row.opened_at})
    return next((heard.type for heard in found if params.ended_by(heard.type)), "")


async def _ended_by_client(runner: Runner, run: Run, row: HoldRow, heard: str) -> Outcome:
    """The client was quicker than the opening. What `on_client` brings is left out: the act is older."""
    await runner.flush()
    end = HoldEnd(rule=run.rule, result="done", reason="client", at=row.opened_at)
    runner.add(*await end_holds(runner.locked, run.visit_no, [end], f"client:{heard}"))
    return Outcome(result="done", reason="client", at=row.opened_at)


# -- controls ----------------------------------------------------------------------------------------
async def _control_acts(runner: Runner, run: Run, row: HoldRow, params: Control) -> Outcome:
    """At a turn of its condition, the deadline, or a level of the escalation."""
    locked = runner.locked
    at = runner.on_time(row.due_at)
    if params.until is not None and judge(params.until, locked.values(run.visit_no), at, locked.zone).holds:
        await runner.flush()
        end = (await locked.hold(row)).resolved(at)
        runner.add(*await end_holds(locked, run.visit_no, [end], "condition"))
        return Outcome(result="done", reason=end.reason, at=at, closing=end.closing)
    if row.due_at is None or runner.now < row.due_at:
        return Outcome(result="open", due=row.due_at, at=runner.now)
    deadline = row.late_since or await _deadline(runner, row, params)
    if deadline is None or runner.now < deadline:  # only a turn of its condition, which does not hold
        row.due_at = await _next_look(runner, row, params, deadline)
    else:
        row.due_at = await _late(runner, run, row, params, deadline)
    await runner.flush()
    await locked.tx.execute(_KEEP, _kept(locked.record.id, row))
    return Outcome(result="open", due=row.due_at, at=at)


async def _late(runner: Runner, run: Run, row: HoldRow, params: Control, deadline: datetime) -> datetime | None:
    """Flag it, tell whom it concerns (in working time), answer when the next notice is due."""
    locked = runner.locked
    if row.late_since is None:
        row.late_since, row.state, locked.record.late = deadline, "late", True
        await locked.tx.execute(_FLAG, {"id": locked.record.id})
        runner.add(_said(runner, run, "late", runner.on_time(deadline), {}))
    calendar = await locked.calendar() if params.deadline.working_time else None
    planned = notices(params, deadline, calendar, locked.zone)
    while (notice := next_notice(planned, row.next_act)) and notice.at <= runner.now:
        await _tell(runner, run, row, params, notice)
        row.next_act += 1
    return await _next_look(runner, row, params, notice.at if notice else None)


async def _tell(runner: Runner, run: Run, row: HoldRow, params: Control, notice: Notice) -> None:
    """One notice. Nobody to tell is a failure the owner hears of; the record is late all the same."""
    locked, at = runner.locked, runner.on_time(notice.at)
    rule = (await locked.rules(run.visit_no)).rule(run.rule)
    body = Act(locked, run.visit_no, rule, run.n, at, runner.ids).text(params.message).strip()
    body = body or f"{rule.title or rule.id}: {locked.record.title} is late"
    people = await employees(locked, notice.recipients, at)
    for employee in people:
        runner.add(runner.notice(run, employee.id, body, at))
    told = [employee.id for employee in people]
    row.told = [*row.told, *(e for e in told if e not in row.told)]
    if (run.visit_no, run.rule, run.n) not in locked.ledger:
        _key(runner, run, Outcome(result="done" if told else "failed", reason="" if told else "nobody", at=at))
    runner.add(_said(runner, run, "told_late" if told else "not_told", at, {"told": told, "level": row.next_act}))
    if not told and (owner := await runner.owner(run.visit_no)):
        runner.add(runner.notice(run, owner, f"{body} (and nobody was there to be told)", at))


async def _deadline(runner: Runner, row: HoldRow, params: Control) -> datetime | None:
    """When the control is late: rescheduled by a person, or as its schedule says from its opening."""
    if row.pinned:
        return row.due_at
    facts = await runner.locked.schedule_facts(params.deadline, runner.house.jitter)
    record = runner.locked.record
    found = due(params.deadline, row.opened_at, row.opened_at, facts, f"{record.record_type}-{record.id}/{row.rule}")
    return found.at


async def _next_look(
    runner: Runner, row: HoldRow, params: Control, deadline: datetime | None
) -> datetime | None:
    """The deadline, or the instant before it at which the clock turns the condition."""
    if params.until is None:
        return deadline
    locked = runner.locked
    return _earlier(deadline, turns_at(params.until, locked.values(row.visit_no), runner.now, locked.zone))


# -- rows --------------------------------------------------------------------------------------------
_FLAG = text("update record set late = true where id = :id").bindparams(bindparam("id", type_=BigInteger))
_KEEP = text("""
update hold set due_at = :due_at, state = :state, late_since = :late_since, next_act = :next_act,
  told = cast(:told as jsonb), pinned = :pinned
where record_id = :id and visit_no = :visit_no and rule = :rule
""").bindparams(
    bindparam("id", type_=BigInteger), bindparam("due_at", type_=DateTime(timezone=True)),
    bindparam("late_since", type_=DateTime(timezone=True)),
)  # fmt: skip


def _kept(record_id: int, row: HoldRow) -> dict[str, object]:
    named = row.model_dump(include={"visit_no", "rule", "due_at", "state", "late_since", "next_act", "pinned"})
    return named | {"id": record_id, "told": to_json(row.told).decode()}


async def keep(runner: Runner, row: HoldRow) -> None:
    """Write an open hold as it is now."""
    await runner.flush()
    await runner.locked.tx.execute(_KEEP, _kept(runner.locked.record.id, row))


def _hold_rows(
    runner: Runner, run: Run, rule: Rule, params: Params, row: HoldRow, deadline: datetime | None
) -> Rows:
    own = row.model_dump(
        include={"visit_no", "rule", "kind", "turn", "opened_at", "due_at", "state", "next_act"}
    )
    waits = isinstance(params, Wait)
    note = Act(runner.locked, run.visit_no, rule, 0, row.opened_at, runner.ids).text(
        params.instruction if isinstance(params, Wait) else params.message
    )
    del deadline
    more = {"ends_on": params.ends_on if isinstance(params, Wait) else [], "note": note if waits else ""}
    return Rows("hold", [own | more | {"record_id": runner.locked.record.id}])


def _key(runner: Runner, run: Run, outcome: Outcome) -> None:
    """The key of a further act of a hold; its own line of the journal is written by the caller."""
    row = {
        "record_id": runner.locked.record.id, "visit_no": run.visit_no, "rule": run.rule, "n": run.n,
        "outcome": outcome.result, "reason": outcome.reason, "at": outcome.at,
    }  # fmt: skip
    runner.add(Rows("ledger", [row]))


def _said(runner: Runner, run: Run, event: str, at: datetime, detail: dict[str, object]) -> Rows:
    return line(runner.locked.record.id, run.visit_no, event, at, rule=run.rule, n=run.n, detail=detail)


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((at for at in (one, other) if at), default=None)
