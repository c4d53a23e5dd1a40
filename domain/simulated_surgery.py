"""What a person may do to a pending step or an open hold, in memory."""

from __future__ import annotations

from datetime import datetime

from domain.events import Event, HoldEnd, HoldEnded, Planned
from domain.hold import Hold, earlier
from domain.holds.control import Control
from domain.judge import holds_from
from domain.plan import Step
from domain.schedule import Due
from domain.simulated_acts import ActingWorld


class OperatedWorld(ActingWorld):
    """A world in which people run, skip and reschedule."""

    def _operated(
        self, verb: str, visit_no: int, rule: str, due: datetime | None
    ) -> list[Event] | None:
        """What the machine hears of it; None if it is refused."""
        step, hold = self.progress.step(visit_no, rule), self.holds.get((visit_no, rule))
        if self.deleted or step is None or not step.pending or (step.holding and hold is None):
            return None
        match verb:
            case "run_now":
                return self._run_now(visit_no, step, hold)
            case "skip":
                return self._skip(visit_no, step, hold)
        if hold:
            hold.due, hold.pinned = due, True
            due = hold.due = self._rescheduled(visit_no, hold)
        return [Planned(visit_no, rule, Due(at=due), self.now, pinned=True)]

    def _rescheduled(self, visit_no: int, hold: Hold) -> datetime | None:
        """The next act of a hold; of a control the deadline moves, and its condition is looked at before."""
        params = self._params(visit_no, hold.rule) if hold.kind == "control" else None
        if not isinstance(params, Control):
            return hold.due
        hold.deadline = hold.deadline if hold.late else hold.due
        until = params.until
        return earlier(
            hold.due, holds_from(until, self._values(visit_no), self.now, self.zone) if until else None
        )

    def _run_now(self, visit_no: int, step: Step, hold: Hold | None) -> list[Event] | None:
        if self._covered(step.rule) or (hold and hold.kind == "control"):
            return None
        if hold:
            return self._by_person(visit_no, hold)
        return [Planned(visit_no, step.rule, Due(at=self.now), self.now, pinned=True)]

    def _skip(self, visit_no: int, step: Step, hold: Hold | None) -> list[Event]:
        if hold is None:
            skipped = Due(at=None, verdict="skip", reason="operator")
            return [Planned(visit_no, step.rule, skipped, self.now, pinned=True)]
        if hold.kind != "control":
            return self._by_person(visit_no, hold)
        end = HoldEnd(rule=step.rule, result="skipped", reason="operator", at=self.now)
        self._end_hold(visit_no, end)
        return [HoldEnded(visit_no, end)]

    def _by_person(self, visit_no: int, hold: Hold) -> list[Event]:
        reason, ended = ("", "person") if hold.kind == "task" else ("person", "")
        end = HoldEnd(rule=hold.rule, result="done", reason=reason, at=self.now, ended=ended)
        self._end_hold(visit_no, end)
        return [HoldEnded(visit_no, end)]
