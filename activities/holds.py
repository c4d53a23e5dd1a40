"""Holds as rows: how waits and controls open, what acts when its time comes, how an end is told."""

from __future__ import annotations

from activities.act import Act
from activities.controls import comes_to_hold, watch
from activities.effect import Done
from activities.hold_rows import claim, closed, opened, say
from activities.runner import Run, Runner
from activities.waits import ended_by_client, follow_end, heard_meanwhile, time_out
from db.facts import HoldRow
from db.journal import end_holds, line
from domain.changed_facts import WATCHING
from domain.conditions import Verdict, judge
from domain.errors import Refused
from domain.events import HoldEnd, Outcome
from domain.hold import earlier
from domain.holds.control import Control
from domain.holds.wait import Wait
from domain.judge import holds_from
from domain.rule import Rule
from domain.schedule import due

Params = Wait | Control


async def open_hold(runner: Runner, run: Run, rule: Rule, params: Params, verdict: Verdict | None) -> Outcome:
    """Write the row of a hold, unless it ends as it opens."""
    locked, at = runner.locked, runner.on_time(runner.released(run))
    watches = params.until if isinstance(params, Control) else None
    values = locked.values(run.visit_no)
    if watches is not None and judge(watches, values, at, locked.zone).holds:
        found = Done({"state": "resolved", "late_by": 0})
        return runner.end(run, Outcome(result="done", reason="resolved", at=at), found, verdict=verdict)
    limit = params.until if isinstance(params, Wait) else params.deadline
    ends = due(limit, at, at, await locked.schedule_facts(limit, runner.house.jitter), locked.key(rule.id))
    if ends.verdict == "skip":
        return runner.end(run, Outcome(result="skipped", reason=ends.reason, at=at), verdict=verdict)
    if ends.verdict == "fail":
        why = "its end lies in the past" if ends.reason == "if_past" else "the date it ends by is empty"
        return await runner.fail(run, at, ends.reason, why, verdict)
    row = HoldRow(
        visit_no=run.visit_no, rule=rule.id, kind=rule.kind, turn=run.due or at, opened_at=at, due_at=ends.at,
        state="watching" if isinstance(params, Control) else "waiting", next_act=1,
    )  # fmt: skip
    if isinstance(params, Control):
        row.deadline = ends.at
    if watches is not None:
        row.due_at = earlier(ends.at, holds_from(watches, values, at, locked.zone))
    try:
        shown = params.instruction if isinstance(params, Wait) else params.message
        row.note = Act(locked, run.visit_no, rule, 0, at, runner.ids).text(shown)
    except Refused as refused:
        return await runner.fail(run, at, refused.reason, refused.message, verdict)
    locked.holds[run.visit_no, rule.id] = row
    outcome = Outcome(result="open", due=row.due_at, at=at)
    runner.end(run, outcome, Done({"state": row.state} if row.kind == "control" else {}), verdict=verdict)
    runner.add(opened(runner, row, params))
    if isinstance(params, Wait) and (heard := await heard_meanwhile(runner, row, params)):
        return await ended_by_client(runner, run, row, params, heard)
    return outcome


async def act_of_hold(runner: Runner, run: Run, row: HoldRow) -> Outcome:
    """What an open hold does at its time; early, it goes on. What the clock does queues while suspended."""
    params = None if row.kind == "task" else (await runner.locked.rules(run.visit_no)).hold(run.rule)
    if isinstance(params, Control) and (outcome := await comes_to_hold(runner, run, row, params)):
        return outcome
    if runner.locked.suspended(run.rule):
        return _queues(runner, run, params)
    match params:
        case Wait():
            return await time_out(runner, run, row, params)
        case Control():
            return await watch(runner, run, row, params)
    return await _task_out_of_time(runner, run, row)


def _queues(runner: Runner, run: Run, params: Params | None) -> Outcome:
    """What a suspension keeps back; the clock may resolve a control all the same."""
    if not isinstance(params, Control) or params.until is None:
        return Outcome(result="pending", waiting="suspended", due=run.due, at=runner.now)
    values = runner.locked.values(run.visit_no)
    turn = holds_from(params.until, values, runner.now, runner.locked.zone)
    return Outcome(result="pending", waiting=WATCHING, due=turn, at=runner.now)


async def _task_out_of_time(runner: Runner, run: Run, row: HoldRow) -> Outcome:
    """The chain waits no longer for a task, which stays as open as it is."""
    if row.due_at is None or runner.now < row.due_at:
        return Outcome(result="open", due=row.due_at, at=runner.now)
    at = runner.on_time(row.due_at)
    await runner.flush()
    end = HoldEnd(rule=run.rule, result="done", reason="", at=at, ended="timeout")
    runner.add(*await end_holds(runner.locked, run.visit_no, [end], "time"))
    return Outcome(result="done", at=at)


async def closing_act(runner: Runner, run: Run, row: HoldRow | None) -> Outcome:
    """What an ended hold owes; while it is suspended that waits, of a record that is gone nothing is said."""
    locked, now = runner.locked, runner.now
    if row is None or row.ended_at is None:
        return Outcome(result="stale", at=now)
    if not row.closing:  # an act that came too late: how it ended is all there is to say
        ended = {"result": row.outcome, "reason": row.reason, "at": row.ended_at}
        return Outcome.model_validate(ended)
    if locked.record.deleted_at:
        own = locked.record.id, run.visit_no
        runner.add(line(*own, "ignored", now, rule=run.rule, n=run.n, reason="record_deleted"))
        return Outcome(result="stale", at=now)
    if locked.suspended(run.rule):
        waits = Outcome(result="pending", waiting="suspended", at=now)
        runner.add(runner.said(run, waits, {}))
        return waits
    runner.add(closed(runner, row))
    rules = await locked.rules(run.visit_no)
    params = rules.hold(run.rule) if row.kind == "wait" else None
    if isinstance(params, Wait):
        await follow_end(runner, run, params, params.on_client, now)
        return Outcome(result="done", reason=row.reason, at=now)
    rule = rules.rule(run.rule)
    body = f"{rule.title or rule.id}: {row.state.replace('_', ' ')}"
    for employee in row.told:
        runner.add(runner.notice(run, employee, body, now))
    outcome = Outcome(result="done", reason=row.reason, at=now)
    locked.ledger.pop((run.visit_no, run.rule, run.n), None)
    claim(runner, run, outcome)
    say(runner, run, "told_how_it_ended", now, {"told": row.told, "state": row.state})
    return outcome
