"""One record's journey with a virtual clock, no servers: the machine driven by hand.

Effects always succeed and cost no time; what transactions decide is decided by `World`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime

from domain.conditions import judge
from domain.events import (
    Command,
    Decision,
    Ended,
    Event,
    Fired,
    HoldEnd,
    HoldEnded,
    Outcome,
    Plan,
    Run,
)
from domain.hold import Hold
from domain.holds.control import Control
from domain.holds.wait import MoveTo, Wait
from domain.judge import refusal, repeats
from domain.period import Period, zone_named
from domain.plan import Step
from domain.rule import Rule
from domain.schedule import due
from domain.world import Entry, World


class Simulator(World):
    """Call `reach` with an instant, then say what happens there."""

    # -- the outside world ---------------------------------------------------------------------
    def reach(self, at: datetime) -> None:
        """Let time run on to `at`; whatever is due by then is done, at its time."""
        while (next_due := self.progress.next_due) and next_due <= at and not self.suspended:
            self.now = max(self.now, next_due)
            self._feed(Fired(self.now))
        self.now = max(self.now, at)

    def create(self) -> None:
        self._feed(self._enter())

    def move(self, stage: str) -> None:
        """A person moves the record; to its present stage, or an unknown one, is no entry."""
        if not self.deleted and stage != self.stage and stage in self.pipelines[self.pipeline].stages:
            self._feed(*self._moved(stage))

    def change_pipeline(self, pipeline: str, stage: str | None = None) -> None:
        """A person changes the pipeline; an unknown or the present one is refused."""
        landing = self._landing(pipeline, stage)
        if landing and not self.deleted:
            self._feed(*self._piped(pipeline, landing))

    def delete(self) -> None:
        if not self.deleted:
            self._feed(*self._deleted())

    def client_acts(self, kind: str) -> None:
        """A client activity ends the waits that list its type; the move of the topmost is made with it."""
        if self.deleted:
            return
        waits = [
            (s, self._wait(self.visit_no, s.rule))
            for s in self.plans[self.visit_no]
            if (self.visit_no, s.rule) in self.holds and s.nature == "wait"
        ]
        hit = [(s, w) for s, w in waits if w.ended_by(kind)]
        ends = [HoldEnd(rule=s.rule, result="done", reason="client", at=self.now) for s, _ in hit]
        for end in ends:
            self._end_hold(self.visit_no, end)
        target = next(
            (
                w.on_client.move_to
                for _, w in hit
                if isinstance(w.on_client, MoveTo) and w.on_client.move_to != self.stage
            ),
            None,
        )
        if target and self._may_move():
            self.moves.append(self.now)
            self._feed(*self._moved(target, ends))
        else:
            self._feed(*(HoldEnded(self.visit_no, end) for end in ends))

    def close_task(self, rule: str, how: str = "completed", visit_no: int = 0) -> None:
        """A person completes or deletes a task, by default of the present visit; a chain may wait for it."""
        place = (visit_no or self.visit_no, rule)
        if not self.deleted and (hold := self.holds.get(place)) and hold.kind == "task":
            end = HoldEnd(rule=rule, result="done", reason="", at=self.now, ended=how)
            self._end_hold(place[0], end)
            self._feed(HoldEnded(place[0], end))

    def edit(self, changes: Mapping[str, object]) -> None:
        """New values by full reference: pending steps and open holds follow, conditions are judged again."""
        if not self.deleted:
            self._feed(*self._edited(changes))

    # -- driving -------------------------------------------------------------------------------
    def _feed(self, *events: Event) -> None:
        """What happens at one instant, and all it makes due at once, until rest."""
        todo: deque[Command] = deque(self._hear(*events))
        while todo:
            match todo.popleft():
                case Plan(visit_no, rule):
                    todo.extend(self._hear(self._plan(visit_no, rule)))
                case Run(visit_no, rule, n):
                    todo.extend(self._act(visit_no, rule, n))

    def _hear(self, *events: Event) -> list[Command]:
        commands = self.progress.on(*events)
        for d in self.progress.unbooked:
            self._note(d)
        self.progress.unbooked = []
        return commands

    def _act(self, visit_no: int, rule: str, n: int) -> list[Command]:
        step = self.progress.step(visit_no, rule)
        if step is None or step.over:
            return []  # the closing act of a hold: told, and no outcome
        outcome = self._run(visit_no, step, n)
        if outcome.result not in ("open", "pending"):
            self._note(
                Decision(
                    visit_no=visit_no, rule=rule, result=outcome.result, reason=outcome.reason, at=outcome.at
                )
            )
        after, self._after = self._after, []
        return self._hear(Ended(visit_no, rule, n, outcome), *after)

    # -- acts ----------------------------------------------------------------------------------
    def _run(self, visit_no: int, step: Step, n: int) -> Outcome:
        rule, now = self.rules[visit_no][step.rule], self.now
        if self.suspended:
            return Outcome(result="pending", waiting="suspended", due=step.due, at=now)
        if n:
            return self._hold_acts(visit_no, step)
        pipeline, pass_no = self.pipeline_of[visit_no]
        if repeats(rule, self.past.get((pipeline, rule.id), []), pass_no, now):
            return Outcome(result="skipped", reason="repeat", at=now)
        refused, _ = refusal(
            rule, self.values, now, self.zone, leaving=step.kept and step.on_exit == "run_now"
        )
        if refused:
            return refused
        match step.nature:
            case "wait" | "control":
                return self._open(visit_no, step, rule)
            case "transition":
                return self._transit(step, rule)
        if rule.params.get("hold_until_closed") and not (step.kept and step.on_exit == "run_now"):
            until = Period.model_validate(rule.params["hold_timeout"]).add(now, zone_named(self.zone))
            self.holds[visit_no, rule.id] = Hold(rule=rule.id, kind="task", since=now, due=until)
            return Outcome(result="open", due=until, at=now)
        if rule.kind == "edit_record":
            self._after += self._edited(
                {field: self.typed(field, value) for field, value in _sets(rule).items()}
            )
        return Outcome(result="done", at=now)

    def _open(self, visit_no: int, step: Step, rule: Rule) -> Outcome:
        params = (
            Wait.model_validate(rule.params) if step.nature == "wait" else Control.model_validate(rule.params)
        )
        limit = params.until if isinstance(params, Wait) else params.deadline
        ends = due(limit, self.now, self.now, self._facts(limit.basis))
        if ends.verdict in ("skip", "fail"):
            return Outcome(
                result="skipped" if ends.verdict == "skip" else "failed", reason=ends.reason, at=self.now
            )
        until = params.until if isinstance(params, Control) else None
        if until is not None and judge(until, self.values, self.now, self.zone).holds:
            return Outcome(result="done", reason="resolved", at=self.now)
        self.holds[visit_no, rule.id] = Hold(
            rule=rule.id,
            kind="wait" if step.nature == "wait" else "control",
            since=self.now,
            due=ends.at,
            conditional=until is not None,
            moves=step.moves,
        )
        return Outcome(result="open", due=ends.at, at=self.now)

    def _hold_acts(self, visit_no: int, step: Step) -> Outcome:
        hold = self.holds[visit_no, step.rule]
        if hold.kind == "control":
            hold.late = True
            self.entries.append(Entry(self.now, visit_no, step.rule, "late", ""))
            return Outcome(result="open", at=self.now)
        if hold.kind == "task":
            del self.holds[visit_no, step.rule]
            return Outcome(result="done", at=self.now)
        follow = self._wait(visit_no, step.rule).on_timeout
        if isinstance(follow, MoveTo) and follow.move_to != self.stage:
            return self._move_by(step.rule, lambda: self._moved(follow.move_to, by=step.rule), "time")
        del self.holds[visit_no, step.rule]
        return Outcome(result="done", reason="time", at=self.now)

    def _transit(self, step: Step, rule: Rule) -> Outcome:
        target = str(rule.params.get("stage") or rule.params.get("status") or "") or None
        if rule.kind == "delete_record":
            return self._moves(step.rule, self._deleted(step.rule))
        if rule.kind == "change_pipeline":
            pipeline = str(rule.params["pipeline"])
            landing = self._landing(pipeline, target)
            if landing is None:
                return Outcome(result="failed", reason="wrong_pipeline", at=self.now)
            return self._move_by(step.rule, lambda: self._piped(pipeline, landing, step.rule))
        if target is None or target == self.stage:
            return Outcome(result="done", at=self.now)
        return self._move_by(step.rule, lambda: self._moved(target, by=step.rule))

    def _move_by(self, rule: str, make: Callable[[], list[Event]], reason: str = "") -> Outcome:
        """An automatic move, unless the loop guard stops the record."""
        if not self._may_move():
            return Outcome(result="pending", waiting="suspended", due=self.now, at=self.now)
        self.moves.append(self.now)
        self.holds.pop((self.visit_no, rule), None)
        return self._moves(rule, make(), reason)

    def _moves(self, rule: str, events: list[Event], reason: str = "") -> Outcome:
        self._after += events
        return Outcome(result="done", reason=reason, at=self.now, moved_to=self.visit_no)


def _sets(rule: Rule) -> dict[str, object]:
    pairs = rule.params.get("set")
    return (
        {
            f"record.{str(p['field']).removeprefix('record.')}": p["value"]
            for p in pairs
            if isinstance(p, dict)
        }
        if isinstance(pairs, list)
        else {}
    )
