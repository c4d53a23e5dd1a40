"""What a change of facts means for a pending step: decided here for transactions and the simulator."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from domain.changed_facts import WATCHING
from domain.conditions import Condition, Values, follows, judge
from domain.events import Again, Planned, Turned
from domain.hold import earlier
from domain.judge import holds_from
from domain.plan import Step
from domain.rule import Rule
from domain.schedule import Due, ScheduleFacts, due


class Change(NamedTuple):
    """Facts, fields by full reference among them, that changed at an instant (UTC)."""

    at: datetime
    fields: frozenset[str]


class Moment(NamedTuple):
    """What a step is planned and judged by: its schedule's facts, the values of its visit, zone and key.

    `key` (`<workflow id>/<rule id>`) decides its place where many are spread.
    """

    facts: ScheduleFacts
    values: Values
    zone: str
    key: str = ""


def follows_any(step: Step, rule: Rule, change: Change) -> bool:
    """Whether a pending step may follow one of the facts."""
    if step.status not in ("armed", "due") or (step.kept and step.on_exit == "run_now"):
        return False
    waits = step.waiting == "condition" and rule.condition is not None
    fields = rule.schedule.reads | (follows(rule.condition) if waits and rule.condition else frozenset())
    return not fields.isdisjoint(change.fields)


def step_follows(
    visit_no: int, step: Step, rule: Rule, change: Change, moment: Moment
) -> Planned | Again | Turned | None:
    """What becomes of a pending step: another due time, its condition holds, or the clock turns that later.

    A change that leaves the due time as it was moves nothing; past is what lies before one that moved it.
    """
    if not follows_any(step, rule, change):
        return None
    found = _moved(step, rule, change, moment)
    if found is not None:
        return Planned(visit_no, rule.id, found, change.at)
    if step.waiting != "condition" or rule.condition is None or not follows(rule.condition) & change.fields:
        return None
    if judge(rule.condition, moment.values, change.at, moment.zone).holds:
        return Again(visit_no, rule.id, change.at)
    turn = holds_from(rule.condition, moment.values, change.at, moment.zone)
    return Turned(visit_no, rule.id, turn, change.at) if turn != step.due else None


def next_look(
    until: Condition,
    ends: datetime | None,
    before: datetime | None,
    change: Change,
    values: Values,
    zone: str,
) -> datetime | None:
    """When an open control acts next, whose condition does not hold: as it `ends`, or the clock turns it.

    An act that was due `before` and has yet to be made stays so, whatever else has changed: at that
    instant the clock may have turned the condition, and nobody else would look.
    """
    if before is not None and before <= change.at and follows(until).isdisjoint(change.fields):
        return before
    return earlier(ends, holds_from(until, values, change.at, zone))


def looks_on(
    visit_no: int, step: Step, until: Condition, change: Change, values: Values, zone: str
) -> list[Turned]:
    """When the clock will resolve a suspended control whose condition reads what changed, and is false."""
    if step.waiting != WATCHING or follows(until).isdisjoint(change.fields):
        return []
    return [Turned(visit_no, step.rule, holds_from(until, values, change.at, zone), change.at)]


def _moved(step: Step, rule: Rule, change: Change, moment: Moment) -> Due | None:
    """Its new due time, if the change moves it."""
    if step.pinned or step.turn is None or rule.schedule.reads.isdisjoint(change.fields):
        return None
    before, since = step.scheduled or step.due, step.moved or step.turn
    now = due(rule.schedule, step.turn, since, moment.facts, moment.key)
    if now.at == before and now.verdict in ("armed", "wait_for_value"):
        return None
    return due(rule.schedule, step.turn, max(change.at, since), moment.facts, moment.key)
