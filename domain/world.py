"""The values of one record in memory, and what the transactions of the product do to them.

Decides moves, the ends of holds and edits by the same pure functions as the write path, and says as
events what the machine has to hear of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from pydantic import JsonValue

from domain.calendar import Calendar
from domain.conditions import judge, reads
from domain.events import (
    Again,
    Decision,
    Event,
    HoldEnd,
    HoldEnded,
    Left,
    Opened,
    Planned,
)
from domain.hold import Hold, kept
from domain.holds.control import Control
from domain.holds.wait import Wait
from domain.judge import Past
from domain.plan import NatureOf, Step, steps
from domain.progress import ENDS_ALL, Progress
from domain.rule import Nature, Rule, RuleSet
from domain.schedule import Due, ScheduleFacts, due, instant

HOUR, WEEK = timedelta(hours=1), timedelta(days=7)
MOST_AN_HOUR, MOST_A_WEEK = 10, 50  # automatic moves; the next is not made


class Pipeline(NamedTuple):
    """Stages in order with their meanings, and the rules."""

    stages: dict[str, str]
    rules: RuleSet

    def landing(self, stage: str | None, meaning: str) -> str | None:
        """Where a record that comes from another pipeline lands; None: no such stage."""
        if stage is not None:
            return stage if stage in self.stages else None
        return next((s for s, m in self.stages.items() if m == meaning), None)


class Entry(NamedTuple):
    """A line of the journal: an outcome, or that a control became late."""

    at: datetime
    visit_no: int
    rule: str
    outcome: str
    reason: str


class World:
    """One record: where it is, its fields, its open holds, its journal."""

    def __init__(
        self,
        pipelines: Mapping[str, Pipeline],
        pipeline: str,
        stage: str,
        values: dict[str, object],
        nature: NatureOf,
        typed: Callable[[str, object], object],
        zone: str = "UTC",
        calendar: Calendar | None = None,
    ) -> None:
        self.typed = typed  # a field's raw value, by full reference, as its type
        self.pipelines, self.pipeline, self.stage, self.values = pipelines, pipeline, stage, values
        self.nature, self.zone, self.calendar = nature, zone, calendar
        self.now = datetime(1, 1, 1, tzinfo=UTC)
        self.progress = Progress()
        self.entries: list[Entry] = []
        self.holds: dict[tuple[int, str], Hold] = {}
        self.plans: dict[int, list[Step]] = {}
        self.rules: dict[int, dict[str, Rule]] = {}
        self.ended: dict[int, set[str]] = {}
        self.past: dict[tuple[str, str], list[Past]] = {}
        self.pipeline_of: dict[int, tuple[str, int]] = {}
        self.moves: list[datetime] = []  # automatic ones
        self.pass_no, self.visit_no = 1, 0
        self.suspended = self.deleted = False
        self._after: list[Event] = []  # what an act caused, heard once its outcome has been

    # -- what the write path does --------------------------------------------------------------
    def _moved(self, stage: str, ends: list[HoldEnd] | None = None, by: str = "") -> list[Event]:
        stages = self.pipelines[self.pipeline].stages
        closing = stages[self.stage] == "process" and stages[stage] != "process"
        left = self._leave("closed" if closing else "left_stage", ends or [], by)
        self.stage = stage
        return [left, self._enter()]

    def _piped(self, pipeline: str, stage: str, by: str = "") -> list[Event]:
        left = self._leave("pipeline_changed", [], by)
        self.pipeline, self.stage, self.pass_no = pipeline, stage, self.pass_no + 1
        return [left, self._enter()]

    def _deleted(self, by: str = "") -> list[Event]:
        left = self._leave("record_deleted", [], by)
        self.deleted, self.visit_no = True, self.visit_no + 1
        return [left]

    def _leave(self, reason: str, ends: list[HoldEnd], by: str) -> Left:
        visit_no, plan = self.visit_no, self.plans[self.visit_no]
        ends = list(ends)
        tasks = []
        for step in plan:
            if (hold := self.holds.get((visit_no, step.rule))) and step.rule != by:
                ends.append(hold.left(reason, self.now, by_rule=bool(by)))
                tasks += [step.rule] if hold.kind == "task" else []
        # a wait whose time was out has ended: it does not cut off what stands below it
        ended = {*self.ended[visit_no], by, *(end.rule for end in ends if end.result == "superseded")}
        marked = kept(plan, ended, reason, tasks)
        for end in ends:
            if (visit_no, end.rule) in self.holds:
                self._end_hold(visit_no, end)
        if reason in ENDS_ALL:  # nobody waits for the tasks of kept steps; the machine says how these end
            self.holds = {place: hold for place, hold in self.holds.items() if place[0] == visit_no}
        return Left(visit_no, self.now, reason, marked, ends, by)

    def _end_hold(self, visit_no: int, end: HoldEnd) -> None:
        self.holds.pop((visit_no, end.rule), None)
        self._note(
            Decision(visit_no=visit_no, rule=end.rule, result=end.result, reason=end.reason, at=end.at)
        )

    def _enter(self) -> Opened:
        self.visit_no += 1
        rules = self.pipelines[self.pipeline].rules.stages.get(self.stage, [])
        plan = steps(rules, self._nature)
        self.plans[self.visit_no], self.ended[self.visit_no] = plan, set()
        self.rules[self.visit_no] = {r.id: r for r in rules}
        self.pipeline_of[self.visit_no] = (self.pipeline, self.pass_no)
        return Opened(self.visit_no, self.stage, [s.model_copy() for s in plan], self.now)

    def _nature(self, kind: str, params: Mapping[str, JsonValue]) -> Nature:
        """A send takes no time here, so it is done in its place like a step of the database."""
        nature = self.nature(kind, params)
        return "database" if nature == "send" else nature

    def _landing(self, pipeline: str, stage: str | None) -> str | None:
        if pipeline == self.pipeline or pipeline not in self.pipelines:
            return None
        return self.pipelines[pipeline].landing(stage, self.pipelines[self.pipeline].stages[self.stage])

    def _edited(self, changes: Mapping[str, object]) -> list[Event]:
        changed = {name for name, value in changes.items() if self.values.get(name) != value}
        self.values.update(changes)
        events: list[Event] = []
        for visit in self.progress.visits if changed else []:
            for step in visit.steps:
                events += self._follow(visit.visit_no, step, self.rules[visit.visit_no][step.rule], changed)
        return events

    def _follow(self, visit_no: int, step: Step, rule: Rule, changed: set[str]) -> list[Event]:
        """What a change of facts means for one step."""
        if hold := self.holds.get((visit_no, rule.id)):
            return [] if hold.kind == "task" else self._hold_follows(visit_no, hold, rule, changed)
        if step.status not in ("armed", "due") or (step.kept and step.on_exit == "run_now"):
            return []
        if rule.schedule.basis in changed and not step.pinned and step.turn:
            return [
                Planned(
                    visit_no,
                    rule.id,
                    due(rule.schedule, step.turn, self.now, self._facts(rule.schedule.basis)),
                    self.now,
                )
            ]
        if (
            step.waiting == "condition"
            and rule.condition
            and reads(rule.condition) & changed
            and judge(rule.condition, self.values, self.now, self.zone).holds
        ):
            return [Again(visit_no, rule.id, self.now)]
        return []

    def _hold_follows(self, visit_no: int, hold: Hold, rule: Rule, changed: set[str]) -> list[Event]:
        params = (
            Wait.model_validate(rule.params) if hold.kind == "wait" else Control.model_validate(rule.params)
        )
        limit = params.until if isinstance(params, Wait) else params.deadline
        if (
            isinstance(params, Control)
            and params.until
            and reads(params.until) & changed
            and judge(params.until, self.values, self.now, self.zone).holds
        ):
            end = hold.resolved(self.now)
            self._end_hold(visit_no, end)
            return [HoldEnded(visit_no, end)]
        if limit.basis in changed and not hold.late and not hold.pinned:
            at = instant(limit, hold.since, self._facts(limit.basis))
            hold.due = max(at, self.now) if at else None
            return [Planned(visit_no, rule.id, Due(at=hold.due), self.now)]
        return []

    # -- facts ---------------------------------------------------------------------------------
    def _plan(self, visit_no: int, rule_id: str) -> Planned:
        rule, step = self.rules[visit_no][rule_id], self.progress.step(visit_no, rule_id)
        turn = step.turn if step and step.turn else self.now
        return Planned(
            visit_no, rule_id, due(rule.schedule, turn, turn, self._facts(rule.schedule.basis)), self.now
        )

    def _facts(self, basis: str) -> ScheduleFacts:
        value = self.values.get(basis)
        return ScheduleFacts(zone=self.zone, calendar=self.calendar, value=value)  # type: ignore[arg-type]  # checked by pydantic

    def _wait(self, visit_no: int, rule: str) -> Wait:
        return Wait.model_validate(self.rules[visit_no][rule].params)

    def _note(self, d: Decision) -> None:
        self.entries.append(Entry(d.at, d.visit_no, d.rule, d.result, d.reason))
        self.ended[d.visit_no].add(d.rule)
        if d.result in ("done", "unknown"):
            pipeline, pass_no = self.pipeline_of[d.visit_no]
            self.past.setdefault((pipeline, d.rule), []).append(Past(d.visit_no, pass_no, d.at))

    def _may_move(self) -> bool:
        hour, week = (sum(at > self.now - span for at in self.moves) for span in (HOUR, WEEK))
        self.suspended = self.suspended or hour >= MOST_AN_HOUR or week >= MOST_A_WEEK
        return not self.suspended
