"""What is going on with one record, sans I/O: events in, commands out.

One pydantic object is the whole state: `enter_stage` drives it in a transaction, hands it to the workflow,
and continue-as-new carries it on; simulator, traces and model tests drive the same object with a virtual
clock. An event that is late, doubled or unknown changes nothing.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from pydantic import BaseModel

from domain import events as e
from domain.events import TRIGGER, Caused, Command, Decision, Event, HoldEnd, Left, Outcome, Run
from domain.plan import Step
from domain.schedule import Due
from domain.visit import Visit

ENDS_ALL = ("pipeline_changed", "record_deleted")


class _Place(NamedTuple):
    visit: Visit
    i: int

    @property
    def step(self) -> Step:
        return self.visit.steps[self.i]


class Progress(BaseModel):
    """The visits of a record that still have something to do, the present one last."""

    visit_no: int = 0
    moved_to: int = 0  # where a transition led; its visit is yet to be opened
    visits: list[Visit] = []
    closing: list[e.Closing] = []
    caused: list[Caused] = []
    early: list[e.Early] = []
    unbooked: list[Decision] = []

    # -- outside -------------------------------------------------------------------------------
    def on(self, *events: Event) -> list[Command]:
        """Take what happens at one instant and say what to do; until rest, nothing else may start."""
        out: list[Command] = []
        for event in events:
            self._take(event, out)
        self._settle(out)
        self.unbooked += [c for c in out if isinstance(c, Decision)]
        self._prune()
        return [c for c in out if not isinstance(c, Decision)]

    def resume(self) -> list[Command]:
        """Everything under way, anew: after a hand-over or continue-as-new."""
        out: list[Command] = [Run(c.visit_no, c.rule, c.n) for c in self.closing]
        out += [Run(*c.key) for c in self.caused if c.running]
        for visit in self.visits:
            for step in visit.steps:
                if step.status == "running":
                    out.append(Run(visit.visit_no, step.rule, step.n))
                elif step.status == "planning":
                    out.append(e.Plan(visit.visit_no, step.rule))
                elif step.status in ("armed", "open") and step.due and step.waiting != "suspended":
                    out.append(e.Arm(visit.visit_no, step.rule, step.due))
        return out

    @property
    def current(self) -> Visit | None:
        """The visit that the record is in, as far as the journey has heard."""
        return self.visits[-1] if self.visits and self.visits[-1].visit_no == self.visit_no else None

    @property
    def next_due(self) -> datetime | None:
        """The earliest instant at which anything is due."""
        steps = [s for v in self.visits for s in v.steps if s.waiting != "suspended"]
        return min((s.due for s in steps if s.due and s.status in ("armed", "open")), default=None)

    def step(self, visit_no: int, rule: str) -> Step | None:
        """The step of that rule in that visit, while the visit still has something to do."""
        place = self._find(visit_no, rule)
        return place.step if place else None

    # -- inside --------------------------------------------------------------------------------
    def _take(self, event: Event, out: list[Command]) -> None:
        match event:
            case e.Opened():
                self._opened(event, out)
            case Left():
                self._left(event, out)
            case e.Ended(visit_no, rule, n, outcome):
                self._ended(visit_no, rule, n, outcome, out)
            case e.HoldEnded(visit_no, end):
                self._hold_ended(visit_no, end, out)
            case e.Fired(at):
                self._fired(at)
            case e.Planned():
                self._planned(event, out)
            case e.Again():
                self._again(event, out)

    def _hold_ended(self, visit_no: int, end: HoldEnd, out: list[Command]) -> None:
        place = self._find(visit_no, end.rule)
        if place and place.step.holding:
            self._end_hold(place, end, end.at, out)
        elif place and place.step.status == "running":
            self.early.append(e.Early(visit_no=visit_no, end=end))

    def _fired(self, at: datetime) -> None:
        for place in [_Place(visit, i) for visit in self.visits for i in range(len(visit.steps))]:
            if place.step.due and place.step.due <= at and place.step.waiting != "suspended":
                self._come_due(place)

    def _again(self, event: e.Again, out: list[Command]) -> None:
        place = self._find(event.visit_no, event.rule)
        if place and place.step.waiting and place.step.status in ("armed", "open"):
            place.visit.disarm(place.step, out)
            place.step.due = place.step.due if place.step.waiting == "suspended" else event.at
            self._come_due(place)

    def _find(self, visit_no: int, rule: str) -> _Place | None:
        for visit in self.visits:
            if visit.visit_no == visit_no and (i := visit.index(rule)) is not None:
                return _Place(visit, i)
        return None

    def _opened(self, event: e.Opened, out: list[Command]) -> None:
        if event.visit_no <= self.visit_no:
            return
        self.visit_no = event.visit_no
        visit = Visit(visit_no=event.visit_no, stage=event.stage, entered_at=event.at, steps=event.steps)
        self.visits.append(visit)
        if event.left is None:
            visit.open(event.at, event.at, out)
        else:
            self._left(event.left, out)

    def _left(self, event: Left, out: list[Command]) -> None:
        visit = next((v for v in self.visits if v.visit_no == event.visit_no), None)
        if visit is None or visit.left:
            return
        for end in event.holds:
            if end.closing and (place := self._find(event.visit_no, end.rule)):
                self._tell_end(place, out)
        visit.leave(event, out)
        out += [c.superseded(event.at) for c in self.caused if not c.running]
        self.caused = [c for c in self.caused if c.running]
        if event.reason in ENDS_ALL:
            for older in self.visits:
                if older is not visit:
                    older.leave(event._replace(kept=[], holds=[]), out)

    def _ended(self, visit_no: int, rule: str, n: int, outcome: Outcome, out: list[Command]) -> None:
        self.closing = [c for c in self.closing if (c.visit_no, c.rule, c.n) != (visit_no, rule, n)]
        if rule.startswith(TRIGGER):
            return self._triggered((visit_no, rule, n), outcome)
        place = self._find(visit_no, rule)
        if place is None or place.step.status != "running" or place.step.n != n:
            return
        visit = place.visit
        if outcome.moved_to:
            self.moved_to = max(self.moved_to, outcome.moved_to)
            visit.leaving = True
        elif outcome.triggers:
            caused = Caused(visit_no=visit_no, place=place.i, rule=rule, n=n)
            self.caused = sorted([*self.caused, caused], key=lambda c: (c.visit_no, c.place, c.n))
        if outcome.result == "pending":
            self._put_back(place, outcome, out)
        elif outcome.result == "open":
            self._keep_open(place, outcome, out)
        else:
            end = HoldEnd(rule=rule, **outcome.model_dump(include={"result", "reason", "at", "closing"}))
            self._end_hold(place, end, outcome.at, out, outcome.next)

    def _triggered(self, key: tuple[int, str, int], outcome: Outcome) -> None:
        """The triggers a rule may have fired were judged; one of them may have moved the record."""
        self.caused = [c for c in self.caused if c.key != key]
        if outcome.moved_to and self.current:
            self.moved_to, self.current.leaving = max(self.moved_to, outcome.moved_to), True

    def _put_back(self, place: _Place, outcome: Outcome, out: list[Command]) -> None:
        """The step has not acted: it waits for a condition, a person, its next attempt, its new time."""
        step = place.step
        step.status = "open" if step.n else "armed"
        step.waiting, step.due = outcome.waiting, outcome.due
        step.released = step.released or outcome.waiting == "spread"
        if outcome.due and outcome.waiting != "suspended":
            out.append(e.Arm(place.visit.visit_no, step.rule, outcome.due))

    def _keep_open(self, place: _Place, outcome: Outcome, out: list[Command]) -> None:
        """A hold has opened, or goes on; the chain goes on below what does not block it."""
        visit, step = place.visit, place.step
        opens = step.n == 0
        step.status, step.due, step.n, step.waiting = "open", outcome.due, step.n + 1, ""
        if outcome.due and outcome.due > outcome.at:
            out.append(e.Arm(visit.visit_no, step.rule, outcome.due))
        elif outcome.due:
            self._come_due(place)
        if opens and not step.blocks:
            visit.follow(place.i, outcome.at, outcome.at, out)
            self._give(visit, place.i + 1, outcome.next, outcome.at, out)
        for early in [x for x in self.early if (x.visit_no, x.end.rule) == (visit.visit_no, step.rule)]:
            self.early.remove(early)
            self._hold_ended(early.visit_no, early.end, out)

    def _end_hold(
        self, place: _Place, end: HoldEnd, now: datetime, out: list[Command], due_below: Due | None = None
    ) -> None:
        """A step ended; the rule below has its turn."""
        visit = place.visit
        if end.closing:
            self._tell_end(place, out)
        visit.end(place.i, end.result, end.reason, end.at, now, out)
        self._give(visit, place.i + 1, due_below, now, out)

    def _tell_end(self, place: _Place, out: list[Command]) -> None:
        """The closing act of a hold, under a number of its own: an act in flight keeps the present one."""
        visit_no, step = place.visit.visit_no, place.step
        closing = e.Closing(visit_no=visit_no, rule=step.rule, n=step.n + (step.status == "running"))
        self.closing.append(closing)
        out.append(Run(visit_no, closing.rule, closing.n))

    def _give(self, visit: Visit, i: int, due: Due | None, now: datetime, out: list[Command]) -> None:
        """The due time of the rule below came with the outcome of the one above."""
        if due is None or i >= len(visit.steps) or visit.steps[i].status != "planning":
            return
        plan = e.Plan(visit.visit_no, visit.steps[i].rule)
        if plan in out:
            out.remove(plan)
        visit.plan(i, due, now, out)

    def _planned(self, event: e.Planned, out: list[Command]) -> None:
        place = self._find(event.visit_no, event.rule)
        if place is None:
            return
        visit, step = place.visit, place.step
        step.pinned |= event.pinned
        if step.status in ("planning", "armed") or (step.status == "due" and not step.holding):
            visit.plan(place.i, event.due, event.at, out)
        elif step.holding and step.status != "running":
            visit.disarm(step, out)
            step.status, step.due = "open", event.due.at
            if step.due and step.due > event.at:
                out.append(e.Arm(visit.visit_no, step.rule, step.due))
            elif step.due:
                self._come_due(place)

    def _come_due(self, place: _Place) -> None:
        """The time of an armed step or of an open hold has come."""
        step = place.step
        if step.status in ("armed", "open"):
            step.status, step.waiting = ("expiring" if step.status == "open" and step.moves else "due"), ""

    def _settle(self, out: list[Command]) -> None:
        """Start what is due: the one due earliest first, transitions when nothing else is due."""
        while True:
            due = [
                (s.due, v.visit_no, i, _Place(v, i))
                for v in self.visits
                for i, s in enumerate(v.steps)
                if s.due and s.status == "due" and s.nature != "transition" and not v.leaving
            ]
            running = [s for v in self.visits for s in v.steps if s.status in ("running", "planning")]
            if any(c.running for c in self.caused):
                return
            if due and all(s.nature == "send" and s.status == "running" for s in running):
                self._run(min(due)[3], out)
                continue
            if not due and not running:
                self._transition(out)
            return

    def _transition(self, out: list[Command]) -> None:
        """Nothing else is due: the transition nearest the top of the list acts."""
        visit = self.current
        if visit is None or visit.left or visit.leaving:
            return
        for i, step in enumerate(visit.steps):
            if step.status == "expiring" or (step.status == "due" and step.nature == "transition"):
                return self._run(_Place(visit, i), out)
            if any((c.visit_no, c.place) == (visit.visit_no, i) for c in self.caused):
                break
        for first in self.caused[:1]:
            first.running = True
            out.append(Run(*first.key))

    def _run(self, place: _Place, out: list[Command]) -> None:
        place.step.status = "running"
        out.append(Run(place.visit.visit_no, place.step.rule, place.step.n))

    def _prune(self) -> None:
        """What has ended is the journal's alone, save what failed in the present visit: it is to be seen."""
        for visit in self.visits:
            if visit.over:
                visit.steps = [step for step in visit.steps if step.outcome in ("failed", "unknown")]
        self.visits = [v for v in self.visits if not (v.left and v.over)]
        self.early = [x for x in self.early if any(v.visit_no == x.visit_no for v in self.visits)]
