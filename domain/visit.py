"""The chains of one visit: whose turn comes when, and what is left of them when the stage is left."""

from __future__ import annotations

from datetime import datetime, timedelta

from pydantic import BaseModel

from domain.changed_facts import LEFT, Facts
from domain.events import Arm, Command, Decision, Disarm, Left, Plan, Result
from domain.plan import Step
from domain.schedule import Due

OPENING = "(grace)"
"""What stands for a rule in the timer of a visit that is opened later."""
LEFT_BEFORE_START = "left_before_start"


class Visit(BaseModel):
    """One stay of the record in one stage. Driven by `domain.progress.Progress` alone."""

    visit_no: int
    stage: str = ""
    entered_at: datetime
    opens: datetime | None = None  # its pipeline has a grace, which is not over
    left: str = ""  # the reason why it was left
    leaving: bool = False  # a transition moved the record; how the visit was left is yet to be heard
    steps: list[Step] = []

    def index(self, rule: str) -> int | None:
        return next((i for i, s in enumerate(self.steps) if s.rule == rule), None)

    @property
    def over(self) -> bool:
        return all(s.over for s in self.steps)

    def open(self, at: datetime, now: datetime, out: list[Command]) -> None:
        """Start every chain."""
        for i, step in enumerate(self.steps):
            if step.first:
                self.begin(i, at, now, out)

    def begin(
        self, i: int, turn: datetime, now: datetime, out: list[Command], *, counts_as_done: bool = False
    ) -> None:
        """The turn of step i has come: skip it, ask for its due time, arm it, or let it be due.

        `counts_as_done`: the rule above had opened, whatever has become of it since.
        """
        step = self.steps[i]
        if step.over:  # cancelled as the stage was left; the chain passes over it
            return self.follow(i, turn, now, out)
        if not (step.first or counts_as_done or _goes_on(step.run_if, self.steps[i - 1])):
            return self.decide(i, "skipped", "run_if_previous", turn, now, out)
        step.turn = turn
        if step.kept and step.on_exit == "run_now":
            step.status, step.due = "due", turn
        elif step.delay is None:
            step.status = "planning"
            out.append(Plan(self.visit_no, step.rule))
        else:
            self.plan(i, Due(at=turn + timedelta(seconds=step.delay)), now, out)

    def plan(self, i: int, due: Due, now: datetime, out: list[Command]) -> None:
        """Step i, pending, has a (new) due time."""
        step = self.steps[i]
        self.disarm(step, out)
        step.waiting, step.scheduled = "", None
        if due.verdict in ("skip", "fail"):
            return self.decide(i, "skipped" if due.verdict == "skip" else "failed", due.reason, now, now, out)
        step.status, step.due = "armed", due.at
        if due.at is None:
            step.waiting = "value"
        elif due.at <= now:
            step.status = "due"
        else:
            out.append(Arm(self.visit_no, step.rule, due.at))

    def end(
        self, i: int, result: Result, reason: str, at: datetime, now: datetime, out: list[Command]
    ) -> None:
        """Step i has ended, and the chain goes on."""
        followed = self.steps[i].holding and not self.steps[i].blocks
        self.close(i, result, reason, at, out)
        if not followed:
            self.follow(i, at, now, out)

    def decide(
        self, i: int, result: Result, reason: str, at: datetime, now: datetime, out: list[Command]
    ) -> None:
        """Step i ends without an effect, by the plan alone; somebody has to write that down."""
        out.append(
            Decision(visit_no=self.visit_no, rule=self.steps[i].rule, result=result, reason=reason, at=at)
        )
        self.end(i, result, reason, at, now, out)

    def close(self, i: int, result: Result, reason: str, at: datetime, out: list[Command]) -> None:
        """Step i has ended; nothing follows from it."""
        step = self.steps[i]
        self.disarm(step, out)
        step.status, step.outcome, step.reason, step.waiting = "ended", result, reason, ""
        step.scheduled = step.moved = None
        step.turn, step.due, step.heard = None, None, None  # the journal knows; here they cost bytes

    def cancel(self, i: int, at: datetime, out: list[Command]) -> None:
        """Step i was in flight as the stage was left, and comes back without having acted."""
        self.close(i, "cancelled", self.left, at, out)
        decided = Decision(
            visit_no=self.visit_no, rule=self.steps[i].rule, result="cancelled", reason=self.left, at=at
        )
        out.append(decided)

    def follow(self, i: int, at: datetime, now: datetime, out: list[Command]) -> None:
        """The rule below step i has its turn."""
        if i + 1 < len(self.steps) and not self.steps[i + 1].first and not self.leaving:
            self.begin(i + 1, at, now, out)

    def disarm(self, step: Step, out: list[Command]) -> None:
        if step.status in ("armed", "open") and step.due:
            out.append(Disarm(self.visit_no, step.rule))

    def leave(self, left: Left, out: list[Command]) -> None:
        """The stage is left: what is not kept ends, what is to run now is due."""
        fresh = not self.left and all(s.status == "queued" for s in self.steps)  # the journey never opened it
        self.left, self.leaving, self.opens = left.reason, False, None
        ends = {hold.rule: hold for hold in left.holds}
        for i, step in enumerate(self.steps):
            if hold := ends.get(step.rule):
                self.close(i, hold.result, hold.reason, hold.at, out)
            elif step.over:
                continue
            elif step.status == "running" and not step.holding:  # it may finish: the fence judges it
                step.kept = step.rule in left.kept
                step.hears(Facts(at=left.at, fields=[LEFT]))
            elif step.rule in left.kept:
                step.kept = True
                if step.on_exit == "run_now" and step.status in ("armed", "planning"):
                    self.disarm(step, out)
                    step.runs_now(left.at)
            else:
                has_come = step.status == "due" or step.waiting == "suspended"
                late = step.status == "expiring" or (has_come and step.nature == "transition")
                result: tuple[Result, str] = (
                    ("stale", LEFT_BEFORE_START)
                    if fresh
                    else ("superseded", "")
                    if late and left.by
                    else ("cancelled", left.reason)
                )
                self.close(i, *result, left.at, out)
                out.append(
                    Decision(
                        visit_no=self.visit_no, rule=step.rule, result=result[0], reason=result[1], at=left.at
                    )
                )
        self._go_on(self.entered_at if fresh else left.at, left.at, out)

    def _go_on(self, basis: datetime, at: datetime, out: list[Command]) -> None:
        """Kept steps whose chain stands still because what was before them ended with the visit."""
        for i, step in enumerate(self.steps):
            if step.status == "queued" and step.kept:
                above = self._before(i)
                if above is None or (above.holding and not above.blocks):
                    self.begin(i, basis if step.on_exit == "keep" else at, at, out)

    def _before(self, i: int) -> Step | None:
        """The nearest step above in the chain that has not been passed over."""
        while not self.steps[i].first:
            i -= 1
            if not self.steps[i].over:
                return self.steps[i]
        return None


def _goes_on(run_if: str, above: Step) -> bool:
    result = "done" if above.holding and not above.blocks else above.outcome
    return run_if == "any" or result == "done" or (run_if == "done_or_skipped" and result == "skipped")
