"""What a change of facts means for what is pending: due times follow, conditions are judged again."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Final

from activities.giving_up import end_hold
from activities.hold_rows import keep
from activities.results import waited_for
from activities.runner import Run, Runner
from activities.trial import PLANNING, Key, blaming
from db.facts import HoldRow
from db.journal import end_holds, line
from domain.changed_facts import HELD, SUSPENSION, WATCHING, Facts
from domain.conditions import follows, judge
from domain.events import Again, Changed, Event, HoldEnded, Outcome, Planned, Released
from domain.following import Change, Moment, follows_any, looks_on, next_look, step_follows
from domain.holds.control import Control
from domain.holds.wait import Wait
from domain.plan import Step
from domain.progress import Progress
from domain.rule import Rule
from domain.schedule import Due, due, instant

_NEVER: Final = Due(verdict="fail", reason="error")
"""Of a step whose due time cannot be computed."""


async def follow(runner: Runner, progress: Progress, changed: Collection[str], at: datetime) -> list[Event]:
    """The events for all that depends on facts (fields by full reference) that changed at that instant.

    In a stage that was left nothing follows but what was kept: there everything ends by the leaving.
    """
    events: list[Event] = []
    change = Change(at, frozenset(changed))
    for visit in progress.visits:
        row = runner.locked.visit(visit.visit_no)
        steps = [s for s in visit.steps if row and (row.left_at is None or s.rule in row.kept)]
        for step in steps if changed else []:
            with blaming(Key(visit.visit_no, step.rule, PLANNING)):
                events += await _follows(runner, visit.visit_no, step, change)
    return events + (_released(runner, progress) if SUSPENSION in change.fields else [])


def _released(runner: Runner, progress: Progress) -> list[Event]:
    """The closing acts of holds that a suspension kept back."""
    waiting = [closing for closing in progress.closing if closing.waiting]
    return [Released(*closing.key) for closing in waiting if not runner.locked.suspended(closing.rule)]


def changed_at(at: datetime, fields: Collection[str]) -> list[Event]:
    """What the machine hears of fields (full references) that changed at that instant."""
    return [Changed(Facts(at=at, fields=sorted(fields)))] if fields else []


async def _follows(runner: Runner, visit_no: int, step: Step, change: Change) -> list[Event]:
    version = await runner.locked.rules(visit_no)
    hold = runner.locked.holds.get((visit_no, step.rule))
    found: list[Event] = []
    if hold is None:
        found = await _step_follows(runner, visit_no, step, version.rule(step.rule), change)
    elif hold.kind != "task" and not hold.outcome:  # a task reads no facts
        if why := runner.trial.condemned.get(Key(visit_no, step.rule, PLANNING)):
            return [HoldEnded(visit_no, await end_hold(runner, hold, why))]
        found = await _hold_follows(runner, hold, step, version.hold(step.rule), change)
    released = SUSPENSION in change.fields and not runner.locked.suspended(step.rule)
    if not found and released and step.waiting in HELD:
        return [Again(visit_no, step.rule, change.at)]
    return found


async def _step_follows(runner: Runner, visit_no: int, step: Step, rule: Rule, change: Change) -> list[Event]:
    if not follows_any(step, rule, change):
        return []
    if Key(visit_no, rule.id, PLANNING) in runner.trial.condemned:
        return [Planned(visit_no, rule.id, _NEVER, change.at)]
    facts = await runner.locked.schedule_facts(rule.schedule, runner.house.jitter)
    moment = Moment(facts, runner.locked.values(visit_no), runner.locked.zone, runner.locked.key(rule.id))
    event = step_follows(visit_no, step, rule, change, moment)
    if isinstance(event, Planned):
        _say(runner, change, visit_no, rule.id, step.due, event.due)
    return [event] if event else []


async def _hold_follows(
    runner: Runner, row: HoldRow, step: Step, params: Wait | Control, change: Change
) -> list[Event]:
    locked, at = runner.locked, change.at
    limit = params.until if isinstance(params, Wait) else params.deadline
    condition = params.until if isinstance(params, Control) else None
    read = condition is not None and bool(follows(condition) & change.fields)
    if condition and read and judge(condition, locked.values(row.visit_no), at, locked.zone).holds:
        end = (await locked.hold(row, at)).resolved(at)
        await runner.flush()
        runner.add(*await end_holds(locked, row.visit_no, [end], "condition"))
        results = await waited_for(locked, row.visit_no, row.rule)
        return [HoldEnded(row.visit_no, end), *changed_at(at, results)]
    deadline = row.deadline
    ends = deadline if isinstance(params, Control) else row.due_at
    if limit.reads & change.fields and not row.pinned and not locked.missed(row, at):  # late stays late
        facts = await locked.schedule_facts(limit, runner.house.jitter)
        found = instant(limit, row.opened_at, facts, locked.key(row.rule))
        moved = found is None or max(found, row.opened_at) != ends
        ends = (max(found, at) if found else None) if moved else ends
        row.deadline = ends if isinstance(params, Control) else None
    if row.late_since:
        ends = row.due_at
    if condition:
        ends = next_look(condition, ends, row.due_at, change, locked.values(row.visit_no), locked.zone)
    if ends == row.due_at:  # moved before, perhaps while an act of it was in flight
        if row.deadline != deadline:  # the clock turns its condition first
            await keep(runner, row)
        if condition and locked.suspended(row.rule) and step.waiting == WATCHING:
            values = locked.values(row.visit_no)
            return [*looks_on(row.visit_no, step, condition, change, values, locked.zone)]
        known = step.status == "running" or step.due == ends or step.waiting == WATCHING
        return [] if known else [Planned(row.visit_no, row.rule, Due(at=ends), at, row.pinned)]
    _say(runner, change, row.visit_no, row.rule, row.due_at, Due(at=ends))
    row.due_at = ends
    await keep(runner, row)
    return [Planned(row.visit_no, row.rule, Due(at=ends), at, row.pinned)]


async def plan(runner: Runner, visit_no: int, rule: Rule, turn: datetime) -> Due:
    """The due time of a step from the facts of the moment; *past* is before its turn."""
    key = Key(visit_no, rule.id, PLANNING)
    if key in runner.trial.condemned:
        return _NEVER
    with blaming(key):
        facts = await runner.locked.schedule_facts(rule.schedule, runner.house.jitter)
        return due(rule.schedule, turn, turn, facts, runner.locked.key(rule.id))


async def bring_on(runner: Runner, run: Run, outcome: Outcome) -> None:
    """Say what an outcome brings on: when the rule below is due, and the results that something waits for."""
    outcome.next = await _due_below(runner, run, outcome)
    if outcome.result != "pending":
        outcome.changed = [*outcome.changed, *await waited_for(runner.locked, run.visit_no, run.rule)]


async def _due_below(runner: Runner, run: Run, outcome: Outcome) -> Due | None:
    """The due time of the rule below one that has ended, where it follows from facts."""
    visit = runner.locked.visit(run.visit_no)
    if outcome.result == "pending" or visit is None:
        return None
    version = await runner.locked.rules(run.visit_no)
    steps = version.plan(visit.stage_id)
    place = next((i for i, step in enumerate(steps) if step.rule == run.rule), len(steps))
    below = steps[place + 1] if place + 1 < len(steps) else None
    if below is None or below.first or below.delay is not None:
        return None
    return await plan(runner, run.visit_no, version.rule(below.rule), outcome.at)


def _say(
    runner: Runner, change: Change, visit_no: int, rule: str, before: datetime | None, found: Due
) -> None:
    detail = {"from": before, "to": found.at, "zone": found.zone, "because": sorted(change.fields)}
    runner.add(line(runner.locked.record.id, visit_no, "replanned", change.at, rule=rule, detail=detail))
