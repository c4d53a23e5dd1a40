"""The values of one record in memory, and what the transactions of the product do to them.

Decides moves, the ends of holds and edits by the same pure functions as the write path, and says as
events what the machine has to hear of them.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import NamedTuple

from pydantic import JsonValue

from domain.calendar import Calendar
from domain.conditions import Values
from domain.events import (
    Decision,
    Event,
    HoldEnd,
    Left,
    Opened,
)
from domain.hold import Hold, how_it_ended, kept
from domain.holds.control import Control
from domain.holds.wait import Wait
from domain.judge import Past
from domain.plan import NatureOf, Step, steps
from domain.progress import ENDS_ALL, Progress
from domain.rule import Nature, Rule, RuleSet

NOTHING: Mapping[str, Mapping[str, object]] = MappingProxyType({})
HOUR, WEEK = timedelta(hours=1), timedelta(days=7)
MOST_AN_HOUR, MOST_A_WEEK = 10, 50  # automatic moves; the next is not made


class Pipeline(NamedTuple):
    """Stages in order with their meanings, the rules, and its grace."""

    stages: dict[str, str]
    rules: RuleSet
    grace: timedelta = timedelta(0)

    def landing(self, stage: str | None, meaning: str) -> str | None:
        """Where a record that comes from another pipeline lands; None: no such stage."""
        if stage is not None:
            return stage if stage in self.stages else None
        return next((s for s, m in self.stages.items() if m == meaning), None)


class Person(NamedTuple):
    """An employee who may be responsible: when they are absent, their zone and calendar, if they have any."""

    absences: list[tuple[datetime, datetime]]
    zone: str = ""
    calendar: Calendar | None = None


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
        key: str = "deal-1",
        gives: Mapping[str, Mapping[str, object]] = NOTHING,
    ) -> None:
        """`typed`: a field's raw value, by full reference, as its type. `key`: the id of the workflow.

        `gives`: the results of effects, by their kind.
        """
        self.typed, self.key, self.gives = typed, key, gives
        self.pipelines, self.pipeline, self.stage, self.values = pipelines, pipeline, stage, values
        self.nature, self._zone, self._calendar = nature, zone, calendar
        self.people: dict[str, Person] = {}
        self.responsible = ""
        self.now = datetime(1, 1, 1, tzinfo=UTC)
        self.progress = Progress()
        self.entries: list[Entry] = []
        self.holds: dict[tuple[int, str], Hold] = {}
        self.plans: dict[int, list[Step]] = {}
        self.rules: dict[int, dict[str, Rule]] = {}
        self.ended: dict[int, set[str]] = {}
        self.visits: dict[int, Opened] = {}
        self.left: dict[int, Left] = {}
        self.past: dict[tuple[str, str], list[Past]] = {}
        self.pipeline_of: dict[int, tuple[str, int]] = {}
        self.moves: list[datetime] = []  # automatic ones
        self.client: list[tuple[datetime, str]] = []  # what the client did
        self.before: dict[int, int] = {}  # how much of it came before a visit began
        self.dues: dict[tuple[int, str], tuple[datetime | None, int]] = {}  # of waits; what came before
        self.pass_no, self.visit_no = 1, 0
        self.looping = self.deleted = False  # stopped by the loop guard; in the bin
        self.covers: set[str] = set()  # `record`, `pipeline:<name>`, `rule:<id>`
        self.results: dict[int, dict[str, object]] = {}
        self._brought: list[str] = []  # results that the journey has not heard of
        self._in_flight: list[tuple[str, list[Event]]] = []  # acts that are done, by rule, and not heard of

    @property
    def zone(self) -> str:
        """The responsible's, else the pipeline's."""
        return self._responsible.zone or self._zone

    @property
    def _responsible(self) -> Person:
        return self.people.get(self.responsible, Person([]))

    @property
    def suspended(self) -> bool:
        """Whether nothing of the record acts."""
        return self.looping or not self.covers.isdisjoint({"record", f"pipeline:{self.pipeline}"})

    def _covered(self, rule: str) -> bool:
        """Whether that rule does not act."""
        return self.suspended or f"rule:{rule}" in self.covers

    # -- what the write path does --------------------------------------------------------------
    def _moved(
        self, stage: str, ends: list[HoldEnd] | None = None, by: str = "", *, person: bool = False
    ) -> None:
        stages = self.pipelines[self.pipeline].stages
        closing = stages[self.stage] == "process" and stages[stage] != "process"
        self._leave("closed" if closing else "left_stage", ends or [], by)
        self.stage = stage
        self._enter(grace=person)

    def _piped(self, pipeline: str, stage: str, by: str = "") -> None:
        self._leave("pipeline_changed", [], by)
        self.pipeline, self.stage, self.pass_no = pipeline, stage, self.pass_no + 1
        self._enter()

    def _deleted(self, by: str = "") -> None:
        self._leave("record_deleted", [], by)
        self.deleted, self.visit_no = True, self.visit_no + 1

    def _restored(self) -> None:
        """Out of the bin, into the stage it was in, or the first of the process."""
        stages = self.pipelines[self.pipeline].stages
        if self.stage not in stages:
            self.stage = next(stage for stage, meaning in stages.items() if meaning == "process")
        self.deleted = False
        self._enter()

    def _leave(self, reason: str, ends: list[HoldEnd], by: str) -> None:
        visit_no, plan = self.visit_no, self.plans[self.visit_no]
        ends = list(ends)
        tasks = []
        for step in plan:
            if (hold := self.holds.get((visit_no, step.rule))) and step.rule != by:
                late = hold.model_copy(update={"late": self._is_late(hold, self.now)})
                ends.append(late.left(reason, self.now, by_rule=bool(by)))
                tasks += [step.rule] if hold.kind == "task" else []
        # a wait whose time was out has ended: it does not cut off what stands below it
        ended = {*self.ended[visit_no], by, *(end.rule for end in ends if end.result == "superseded")}
        opens = self.visits[visit_no].opens
        marked = [] if opens and self.now < opens else kept(plan, ended, reason, tasks)
        for end in ends:
            if (visit_no, end.rule) in self.holds:
                self._end_hold(visit_no, end)
        if reason in ENDS_ALL:  # nobody waits for the tasks of kept steps; the machine says how these end
            self.holds = {place: hold for place, hold in self.holds.items() if place[0] == visit_no}
            self.left = {no: left._replace(kept=[]) for no, left in self.left.items()}
        self.left[visit_no] = Left(visit_no, self.now, reason, marked, ends, by)

    def _missed(self) -> list[Event]:
        """How known visits were left, and the visits that the journey has not heard of, in order."""
        known = {visit.visit_no for visit in self.progress.visits if not visit.left}
        events: list[Event] = []
        for visit_no, opened in self.visits.items():
            left = self.left.get(visit_no)
            if visit_no > self.progress.visit_no:
                fresh = [step.model_copy() for step in opened.steps]
                events.append(opened._replace(steps=fresh, left=left))
            elif left and visit_no in known:
                events.append(left)
        return events

    def _passes(self, visit_no: int, rule: str) -> bool:
        """The fence: the visit is the present one, or its leaving marked the rule."""
        left = self.left.get(visit_no)
        return not self.deleted if left is None else rule in left.kept

    def _end_hold(self, visit_no: int, end: HoldEnd) -> None:
        """Whoever ends a control that has missed its deadline says so first."""
        hold = self.holds.pop((visit_no, end.rule), None)
        if hold and self._is_late(hold, end.at):
            self._flag(visit_no, hold)
        if hold:
            _, found = how_it_ended(hold.kind, hold.deadline if hold.late else None, end, "")
            self._bring(visit_no, end.rule, found | ({"at": end.at} if "at" in found else {}))
        self._note(
            Decision(visit_no=visit_no, rule=end.rule, result=end.result, reason=end.reason, at=end.at)
        )

    def _enter(self, *, grace: bool = False) -> None:
        self.visit_no += 1
        rules = self.pipelines[self.pipeline].rules.stages.get(self.stage, [])
        plan = steps(rules, self._nature)
        self.plans[self.visit_no], self.ended[self.visit_no] = plan, set()
        self.before[self.visit_no] = len(self.client)
        self.rules[self.visit_no] = {r.id: r for r in rules}
        self.pipeline_of[self.visit_no] = (self.pipeline, self.pass_no)
        later = self.pipelines[self.pipeline].grace
        opens = self.now + later if grace and later else None
        self.visits[self.visit_no] = Opened(self.visit_no, self.stage, plan, self.now, opens=opens)
        place = {"stage": self.stage, "pipeline": self.pipeline, "entered_at": self.now}
        self.values.update({f"record.{name}": value for name, value in place.items()})

    def _nature(self, kind: str, params: Mapping[str, JsonValue]) -> Nature:
        """A send takes no time here, so it is done in its place like a step of the database."""
        nature = self.nature(kind, params)
        return "database" if nature == "send" else nature

    def _landing(self, pipeline: str, stage: str | None) -> str | None:
        if pipeline == self.pipeline or pipeline not in self.pipelines:
            return None
        return self.pipelines[pipeline].landing(stage, self.pipelines[self.pipeline].stages[self.stage])

    # -- holds and results -----------------------------------------------------------------------
    def _is_late(self, hold: Hold, at: datetime) -> bool:
        """Whether a control's deadline lay before that; while it is suspended lateness queues."""
        missed = hold.deadline is not None and hold.deadline < at and not self._covered(hold.rule)
        return hold.late or (hold.kind == "control" and missed)

    def _flag(self, visit_no: int, hold: Hold) -> None:
        """A control is late, and says so once."""
        if not hold.late:
            hold.late = True
            self.entries.append(Entry(self.now, visit_no, hold.rule, "late", ""))
            self._bring(visit_no, hold.rule, {"state": "late"})

    def _resolve(self, visit_no: int, hold: Hold, at: datetime) -> HoldEnd:
        """A control's condition came to hold."""
        end = hold.model_copy(update={"late": self._is_late(hold, at)}).resolved(at)
        self._end_hold(visit_no, end)
        return end

    def _bring(self, visit_no: int, rule: str, found: Mapping[str, object]) -> None:
        """Results of a rule; what waits for them hears of it with what happens next."""
        named = {f"steps.{rule}.{name}": value for name, value in found.items()}
        self.results.setdefault(visit_no, {}).update(named)
        self._brought += named

    def _values(self, visit_no: int) -> Values:
        return ChainMap(self.results.get(visit_no, {}), self.values)

    def _params(self, visit_no: int, rule: str) -> Wait | Control:
        written = self.rules[visit_no][rule]
        return (Wait if written.kind == "wait" else Control).model_validate(written.params)

    def _wait(self, visit_no: int, rule: str) -> Wait:
        return Wait.model_validate(self.rules[visit_no][rule].params)

    def _note(self, d: Decision) -> None:
        if d.rule in self.ended[d.visit_no]:
            return  # what has an outcome keeps it
        self.entries.append(Entry(d.at, d.visit_no, d.rule, d.result, d.reason))
        self.ended[d.visit_no].add(d.rule)
        if d.result in ("done", "unknown"):
            pipeline, pass_no = self.pipeline_of[d.visit_no]
            self.past.setdefault((pipeline, d.rule), []).append(Past(d.visit_no, pass_no, d.at))

    def _may_move(self) -> bool:
        hour, week = (sum(at > self.now - span for at in self.moves) for span in (HOUR, WEEK))
        if not self.suspended:
            self.looping = hour >= MOST_AN_HOUR or week >= MOST_A_WEEK
        return not self.suspended
