"""What a change of facts means for what is pending: due times follow, conditions are judged again."""

from __future__ import annotations

from collections.abc import Collection

from activities.holds import keep
from activities.runner import Runner
from db.facts import HoldRow
from db.journal import end_holds, line
from domain.conditions import judge, reads, turns_at
from domain.events import Again, Event, HoldEnded, Planned
from domain.holds.control import Control
from domain.holds.wait import Wait
from domain.plan import Step
from domain.progress import Progress
from domain.rule import Rule
from domain.schedule import Due, due, instant


async def follow(runner: Runner, progress: Progress, changed: Collection[str]) -> list[Event]:
    """The events for all that depends on the changed fields (full references) at the runner's instant."""
    events: list[Event] = []
    if not changed:
        return events
    names = frozenset(changed)
    for visit in progress.visits:
        if runner.locked.visit(visit.visit_no) is None:
            continue
        version = await runner.locked.rules(visit.visit_no)
        for step in visit.steps:
            hold = runner.locked.holds.get((visit.visit_no, step.rule))
            if hold and not hold.outcome:
                events += await _hold_follows(runner, hold, version.hold(step.rule), names)
            elif hold is None:
                events += await _step_follows(runner, visit.visit_no, step, version.rule(step.rule), names)
    return events


async def _step_follows(
    runner: Runner, visit_no: int, step: Step, rule: Rule, changed: frozenset[str]
) -> list[Event]:
    if step.status not in ("armed", "due") or (step.kept and step.on_exit == "run_now"):
        return []
    locked, now = runner.locked, runner.now
    if rule.schedule.reads & changed and not step.pinned and step.turn:
        found = await plan(runner, rule, step, now_is_change=True)
        if found.at != step.due:
            _say(runner, visit_no, rule.id, step.due, found)
        return [Planned(visit_no, rule.id, found, now)]
    if (
        step.waiting == "condition"
        and rule.condition
        and reads(rule.condition) & changed
        and judge(rule.condition, locked.values(visit_no), now, locked.zone).holds
    ):
        return [Again(visit_no, rule.id, now)]
    return []


async def _hold_follows(
    runner: Runner, row: HoldRow, params: Wait | Control, changed: frozenset[str]
) -> list[Event]:
    locked, now = runner.locked, runner.now
    limit = params.until if isinstance(params, Wait) else params.deadline
    if isinstance(params, Control) and params.until and reads(params.until) & changed:
        if judge(params.until, locked.values(row.visit_no), now, locked.zone).holds:
            end = (await locked.hold(row)).resolved(now)
            await runner.flush()
            runner.add(*await end_holds(locked, row.visit_no, [end], "condition"))
            return [HoldEnded(row.visit_no, end)]
        if turn := turns_at(params.until, locked.values(row.visit_no), now, locked.zone):
            return await _moved(runner, row, Due(at=min(turn, row.due_at or turn)))
    if limit.reads & changed and row.late_since is None and not row.pinned:
        facts = await locked.schedule_facts(limit, runner.house.jitter)
        at = instant(limit, row.opened_at, facts, f"{locked.record.record_type}-{locked.record.id}/{row.rule}")
        return await _moved(runner, row, Due(at=max(at, now) if at else None))
    return []


async def _moved(runner: Runner, row: HoldRow, found: Due) -> list[Event]:
    """An open hold acts at another time."""
    if found.at == row.due_at:
        return []
    _say(runner, row.visit_no, row.rule, row.due_at, found)
    row.due_at = found.at
    await keep(runner, row)
    return [Planned(row.visit_no, row.rule, found, runner.now)]


async def plan(runner: Runner, rule: Rule, step: Step, *, now_is_change: bool = False) -> Due:
    """The due time of a step from the facts of the moment; *past* is before its turn, or this change."""
    turn = step.turn or runner.now
    facts = await runner.locked.schedule_facts(rule.schedule, runner.house.jitter)
    name = f"{runner.locked.record.record_type}-{runner.locked.record.id}/{rule.id}"
    return due(rule.schedule, turn, runner.now if now_is_change else turn, facts, name)


def _say(runner: Runner, visit_no: int, rule: str, before: object, found: Due) -> None:
    detail = {"from": before, "to": found.at, "zone": found.zone, "because": found.verdict}
    runner.add(line(runner.locked.record.id, visit_no, "replanned", runner.now, rule=rule, detail=detail))
