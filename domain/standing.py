"""What is going on with one record: the state of the machine, and what it says is under way."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from pydantic import BaseModel

from domain import events as e
from domain.changed_facts import Facts
from domain.events import Caused, Command, Decision, Outcome, Run
from domain.plan import Step
from domain.visit import OPENING, Visit


class Place(NamedTuple):
    """A step in its visit."""

    visit: Visit
    i: int

    @property
    def step(self) -> Step:
        return self.visit.steps[self.i]


class Standing(BaseModel):
    """The visits of a record that still have something to do, the present one last.

    `unjudged` are facts that changed, or that an act may have read too early; nothing starts before they are
    judged.
    """

    visit_no: int = 0
    moved_to: int = 0  # where a transition led; its visit is yet to be opened
    visits: list[Visit] = []
    closing: list[e.Closing] = []
    caused: list[Caused] = []
    early: list[e.Early] = []
    unbooked: list[Decision] = []
    unjudged: list[Facts] = []

    def resume(self) -> list[Command]:
        """Everything under way, anew: after a hand-over or continue-as-new."""
        out: list[Command] = [Run(*c.key) for c in self.closing if not c.waiting]
        out += [Run(*c.key) for c in self.caused if c.running]
        for visit in self.visits:
            if visit.opens:
                out.append(e.Arm(visit.visit_no, OPENING, visit.opens))
            for step in visit.steps:
                if step.status == "running":
                    out.append(Run(visit.visit_no, step.rule, step.n))
                elif step.status == "planning":
                    out.append(e.Plan(visit.visit_no, step.rule))
                elif step.status in ("armed", "open") and step.due and step.waiting != "suspended":
                    out.append(e.Arm(visit.visit_no, step.rule, step.due))
        return out + [e.Follow(facts) for facts in self.unjudged[:1]]

    @property
    def current(self) -> Visit | None:
        """The visit that the record is in, as far as the journey has heard."""
        return self.visits[-1] if self.visits and self.visits[-1].visit_no == self.visit_no else None

    @property
    def next_due(self) -> datetime | None:
        """The earliest instant at which anything is due."""
        steps = [s for v in self.visits for s in v.steps if s.waiting != "suspended"]
        dues = [s.due for s in steps if s.due and s.status in ("armed", "open")]
        return min(dues + [v.opens for v in self.visits if v.opens], default=None)

    def step(self, visit_no: int, rule: str) -> Step | None:
        """The step of that rule in that visit, while the visit still has something to do."""
        place = self._find(visit_no, rule)
        return place.step if place else None

    def _find(self, visit_no: int, rule: str) -> Place | None:
        for visit in self.visits:
            if visit.visit_no == visit_no and (i := visit.index(rule)) is not None:
                return Place(visit, i)
        return None

    def _told(self, key: tuple[int, str, int], outcome: Outcome) -> None:
        """A closing act is back; one that met a suspension waits until it is released."""
        for closing in [c for c in self.closing if c.key == key]:
            closing.waiting = outcome.result == "pending"
            if not closing.waiting:
                self.closing.remove(closing)
            elif closing.heard:  # meanwhile, and perhaps it was the release
                self.unjudged.append(closing.heard)
            closing.heard = None

    def _released(self, event: e.Released, out: list[Command]) -> None:
        for closing in self.closing:
            if closing.waiting and closing.key == event:
                closing.waiting = False
                out.append(Run(*event))

    def _prune(self) -> None:
        """What has ended is the journal's alone, save what failed in the present visit: it is to be seen."""
        for visit in self.visits:
            if visit.over:
                visit.steps = [step for step in visit.steps if step.outcome in ("failed", "unknown")]
        self.visits = [v for v in self.visits if not (v.left and v.over)]
        self.early = [x for x in self.early if any(v.visit_no == x.visit_no for v in self.visits)]
