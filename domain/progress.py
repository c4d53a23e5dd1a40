"""What is going on with one record, sans I/O: events in, commands out.

One pydantic object is the whole state: `enter_stage` drives it in a transaction, hands it to the workflow,
and continue-as-new carries it on; simulator, traces and model tests drive the same object with a virtual
clock. An event that is late, doubled or unknown changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from domain import events as e
from domain.changed_facts import HELD, HOLD, LEFT, SUSPENSION, WATCHING, Facts
from domain.events import TRIGGER, Caused, Command, Decision, Event, HoldEnd, Left, Outcome, Run
from domain.plan import Step
from domain.schedule import Due
from domain.standing import Place, Standing
from domain.visit import OPENING, Visit

ENDS_ALL = ("pipeline_changed", "record_deleted")


class Progress(Standing):
    """The machine. Its state is what crosses to Temporal."""

    # -- outside -------------------------------------------------------------------------------
    def on(self, *events: Event) -> list[Command]:
        """Take what happens at one instant and say what to do; until rest, nothing else may start."""
        out: list[Command] = []
        in_flight = [s for v in self.visits for s in v.steps if s.in_flight]
        for event in events:
            if isinstance(event, e.Changed):
                self._changed(event.facts, in_flight)
            else:
                self._take(event, out)
        self._settle(out)
        self.unbooked += [c for c in out if isinstance(c, Decision)]
        self._prune()
        return [c for c in out if not isinstance(c, Decision)]

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
                self._fired(at, out)
            case e.Planned():
                self._planned(event, out)
            case e.Again():
                self._again(event, out)
            case e.Released():
                self._released(event, out)
            case e.Turned():
                self._turned(event, out)
            case e.Judged(facts):
                self.unjudged = [other for other in self.unjudged if other != facts]

    def _changed(self, facts: Facts, in_flight: Iterable[Step]) -> None:
        """What is pending is judged now; what was in flight before this instant is judged when it is back."""
        self.unjudged.append(facts)
        for step in in_flight:
            if step.in_flight:
                step.hears(facts)
        for closing in [c for c in self.closing if SUSPENSION in facts.fields and not c.waiting]:
            closing.heard = facts

    def _back(self, step: Step, heard: Facts | None, due_below: Due | None = None) -> None:
        """An act or a question is back: what it may have read too early is judged on what it left pending."""
        fields = [f for f in heard.fields if f != LEFT] if heard else []
        if heard and fields and (due_below or not step.over):
            self.unjudged.append(Facts(at=heard.at, fields=fields))

    def _hold_ended(self, visit_no: int, end: HoldEnd, out: list[Command]) -> None:
        place = self._find(visit_no, end.rule)
        if place and place.step.holding:
            self._end_hold(place, end, end.at, out)
        elif place and place.step.status == "running":
            self.early.append(e.Early(visit_no=visit_no, end=end))

    def _fired(self, at: datetime, out: list[Command]) -> None:
        for visit in self.visits:
            if visit.opens and visit.opens <= at:
                opens, visit.opens = visit.opens, None
                visit.open(visit.entered_at, opens, out)
        for place in [Place(visit, i) for visit in self.visits for i in range(len(visit.steps))]:
            if place.step.due and place.step.due <= at and place.step.waiting != "suspended":
                self._come_due(place)

    def _again(self, event: e.Again, out: list[Command]) -> None:
        place = self._find(event.visit_no, event.rule)
        if place and place.step.waiting and place.step.status in ("armed", "open"):
            place.visit.disarm(place.step, out)
            place.step.due = place.step.due if place.step.waiting == "suspended" else event.at
            self._come_due(place)

    def _turned(self, event: e.Turned, out: list[Command]) -> None:
        place = self._find(event.visit_no, event.rule)
        if place and place.step.waiting in ("condition", WATCHING):
            place.visit.disarm(place.step, out)
            place.step.due = event.due
            if event.due:
                out.append(e.Arm(event.visit_no, event.rule, event.due))

    def _opened(self, event: e.Opened, out: list[Command]) -> None:
        if event.visit_no <= self.visit_no:
            return
        self.visit_no = event.visit_no
        visit = Visit(visit_no=event.visit_no, stage=event.stage, entered_at=event.at, steps=event.steps)
        self.visits.append(visit)
        if event.left:
            self._left(event.left, out)
        elif event.opens and event.steps:
            visit.opens = event.opens
            out.append(e.Arm(event.visit_no, OPENING, event.opens))
        else:
            visit.open(event.at, event.at, out)

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
        self._told((visit_no, rule, n), outcome)
        if rule.startswith(TRIGGER):
            return self._triggered((visit_no, rule, n), outcome)
        place = self._find(visit_no, rule)
        if place is None or place.step.status != "running" or place.step.n != n:
            return
        visit, heard, place.step.heard = place.visit, place.step.heard, None
        if outcome.moved_to:
            self.moved_to = max(self.moved_to, outcome.moved_to)
            visit.leaving = not visit.left  # how it was left may have been heard first
        elif outcome.triggers:
            caused = Caused(visit_no=visit_no, place=place.i, rule=rule, n=n)
            self.caused = sorted([*self.caused, caused], key=lambda c: (c.visit_no, c.place, c.n))
        if outcome.result == "pending":
            self._put_back(place, outcome, heard, out)
        elif outcome.result == "open":
            self._keep_open(place, outcome, out)
        else:
            end = HoldEnd(rule=rule, **outcome.model_dump(include={"result", "reason", "at", "closing"}))
            self._end_hold(place, end, outcome.at, out, outcome.next)
        self._back(place.step, heard, outcome.next)

    def _triggered(self, key: tuple[int, str, int], outcome: Outcome) -> None:
        """The triggers a rule may have fired were judged; one of them may have moved the record."""
        self.caused = [c for c in self.caused if c.key != key]
        self.moved_to = max(self.moved_to, outcome.moved_to)
        if self.current and self.current.visit_no < outcome.moved_to:  # else where it led is open already
            self.current.leaving = True

    def _put_back(
        self, place: Place, outcome: Outcome, heard: Facts | None, out: list[Command]
    ) -> None:
        """The step has not acted: it waits for a condition, a person, its next attempt, its new time."""
        visit, step = place.visit, place.step
        left = heard is not None and LEFT in heard.fields
        if visit.left and not step.kept:
            return visit.cancel(place.i, outcome.at, out)
        if heard and left and step.on_exit == "run_now":  # it was judged before the leaving that lets it run
            return step.runs_now(heard.at)
        step.status = "open" if step.n else "armed"
        step.scheduled = step.scheduled or (None if outcome.waiting in HELD else step.due)
        step.waiting, step.due = outcome.waiting, outcome.due
        step.released = step.released or outcome.waiting == "spread"
        if outcome.due and outcome.waiting != "suspended":
            out.append(e.Arm(visit.visit_no, step.rule, outcome.due))

    def _keep_open(self, place: Place, outcome: Outcome, out: list[Command]) -> None:
        """A hold has opened, or goes on; the chain goes on below what does not block it."""
        visit, step = place.visit, place.step
        opens = step.n == 0
        step.status, step.due, step.n, step.waiting = "open", outcome.due, step.n + 1, ""
        if outcome.due and outcome.due > outcome.at:
            out.append(e.Arm(visit.visit_no, step.rule, outcome.due))
        elif outcome.due:
            self._come_due(place)
        if opens:
            step.pinned = False  # when it opens was a person's word; its end follows its facts
        if opens and not step.blocks:
            visit.follow(place.i, outcome.at, outcome.at, out)
            self._give(visit, place.i + 1, outcome.next, outcome.at, out)
        for early in [x for x in self.early if (x.visit_no, x.end.rule) == (visit.visit_no, step.rule)]:
            self.early.remove(early)
            self._hold_ended(early.visit_no, early.end, out)

    def _end_hold(
        self, place: Place, end: HoldEnd, now: datetime, out: list[Command], due_below: Due | None = None
    ) -> None:
        """A step ended; the rule below has its turn."""
        visit = place.visit
        if end.closing:
            self._tell_end(place, out)
        visit.end(place.i, end.result, end.reason, end.at, now, out)
        self._give(visit, place.i + 1, due_below, now, out)

    def _tell_end(self, place: Place, out: list[Command]) -> None:
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
        if step.pinned and not event.pinned:
            return  # what facts say comes too late
        step.pinned |= event.pinned
        heard = step.heard if step.status == "planning" else None
        if step.status in ("planning", "armed") or (step.status == "due" and not step.holding):
            step.heard, step.moved = None, event.at if step.status != "planning" else None
            visit.plan(place.i, event.due, event.at, out)
            self._back(step, heard)
        elif step.status == "running":
            step.hears(Facts(at=event.at, fields=[HOLD]))
        elif step.holding:
            visit.disarm(step, out)
            step.status, step.due, step.waiting = "open", event.due.at, ""
            if step.due and step.due > event.at:
                out.append(e.Arm(visit.visit_no, step.rule, step.due))
            elif step.due:
                self._come_due(place)

    def _come_due(self, place: Place) -> None:
        """The time of an armed step or of an open hold has come."""
        step = place.step
        if step.status in ("armed", "open"):
            step.status, step.waiting = ("expiring" if step.status == "open" and step.moves else "due"), ""

    def _settle(self, out: list[Command]) -> None:
        """Start what is due: the one due earliest first, transitions when nothing else is due."""
        if all(visit.over for visit in self.visits) and not any(c.waiting for c in self.closing):
            self.unjudged = []  # there is nothing that could follow
        if self.unjudged:
            return out.append(e.Follow(self.unjudged[0]))
        while True:
            due = [
                (s.due, v.visit_no, i, Place(v, i))
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
                return self._run(Place(visit, i), out)
            if any((c.visit_no, c.place) == (visit.visit_no, i) for c in self.caused):
                break
        for first in self.caused[:1]:
            first.running = True
            out.append(Run(*first.key))

    def _run(self, place: Place, out: list[Command]) -> None:
        place.step.status, place.step.heard = "running", None
        out.append(Run(place.visit.visit_no, place.step.rule, place.step.n))
