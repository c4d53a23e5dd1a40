"""Waits and controls as rows: how they open, who acts when their time comes, how their end is told."""

from __future__ import annotations

from activities.act import Act
from activities.controls import control_acts
from activities.hold_rows import claim, earlier, opened, say
from activities.runner import Run, Runner
from activities.waits import ended_by_client, heard_meanwhile, time_out
from db.facts import HoldRow
from domain.conditions import Verdict, judge, turns_at
from domain.errors import Refused
from domain.events import Outcome
from domain.holds.control import Control
from domain.holds.wait import Wait
from domain.rule import Rule
from domain.schedule import due

Params = Wait | Control


async def open_hold(runner: Runner, run: Run, rule: Rule, params: Params, verdict: Verdict | None) -> Outcome:
    """Write the row of a hold, unless it ends as it opens."""
    locked, at = runner.locked, runner.on_time(run.due)
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
    if isinstance(params, Control) and params.until is not None:
        values = locked.values(run.visit_no)
        if judge(params.until, values, at, locked.zone).holds:
            return runner.end(run, Outcome(result="done", reason="resolved", at=at), verdict=verdict)
        row.due_at = earlier(ends.at, turns_at(params.until, values, at, locked.zone))
    try:
        shown = params.instruction if isinstance(params, Wait) else params.message
        row.note = Act(locked, run.visit_no, rule, 0, at, runner.ids).text(shown)
    except Refused as refused:
        return await runner.fail(run, at, refused.reason, refused.message, verdict)
    locked.holds[run.visit_no, rule.id] = row
    outcome = Outcome(result="open", due=row.due_at, at=at)
    runner.end(run, outcome, verdict=verdict)
    runner.add(opened(runner, row, params))
    if isinstance(params, Wait) and (heard := await heard_meanwhile(runner, row, params)):
        return await ended_by_client(runner, run, row, heard)
    return outcome


async def act_of_hold(runner: Runner, run: Run, row: HoldRow) -> Outcome:
    """What an open hold does at its time; early, it goes on."""
    params = (await runner.locked.rules(run.visit_no)).hold(run.rule)
    if runner.locked.suspended(run.rule):
        return Outcome(result="pending", waiting="suspended", due=run.due, at=runner.now)
    if isinstance(params, Wait):
        return await time_out(runner, run, row, params)
    return await control_acts(runner, run, row, params)


async def closing_notice(runner: Runner, run: Run, row: HoldRow | None) -> Outcome:
    """Whoever was told that it is late is told how it ended; nothing for a hold nobody was told of."""
    if row is None or not row.told or row.ended_at is None:
        return Outcome(result="stale", at=runner.now)
    rule = (await runner.locked.rules(run.visit_no)).rule(run.rule)
    body = f"{rule.title or rule.id}: {row.state.replace('_', ' ')}"
    for employee in row.told:
        runner.add(runner.notice(run, employee, body, runner.now))
    outcome = Outcome(result="done", reason=row.reason, at=runner.now)
    runner.locked.ledger.pop((run.visit_no, run.rule, run.n), None)
    claim(runner, run, outcome)
    say(runner, run, "told_how_it_ended", runner.now, {"told": row.told, "state": row.state})
    return outcome
