"""One record's journey with a virtual clock, no servers: the machine driven by hand.

What transactions decide is decided in memory (`domain.simulated_acts`). An act that is `slow` has been done
and is in flight until it is let go; a journey that is `deaf` hears of no entry.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from datetime import datetime

from domain.changed_facts import SUSPENSION, Facts
from domain.events import (
    Changed,
    Command,
    Decision,
    Ended,
    Event,
    Fired,
    Follow,
    HoldEnd,
    HoldEnded,
    Judged,
    Outcome,
    Plan,
    Run,
)
from domain.holds.wait import MoveTo
from domain.simulated_surgery import OperatedWorld
from domain.world import Person

MOVED = ("record.stage", "record.pipeline", "record.entered_at")


class Simulator(OperatedWorld):
    """Call `reach` with an instant, then say what happens there."""

    slow: frozenset[str] = frozenset()  # rules whose acts and questions stay in flight
    deaf = False

    # -- the outside world ---------------------------------------------------------------------
    def reach(self, at: datetime) -> None:
        """Let time run on to `at`; whatever is due by then is done, at its time."""
        while (next_due := self.progress.next_due) and next_due <= at:
            self.now = max(self.now, next_due)
            self._feed(Fired(self.now))
        self.now = max(self.now, at)

    def create(self) -> None:
        self._enter()
        self._hear_of_entries()

    def move(self, stage: str, changes: Mapping[str, object] | None = None) -> None:
        """A person moves the record and sets fields with it; an unknown stage is refused."""
        if self.deleted or stage not in self.pipelines[self.pipeline].stages:
            return
        changed = self._edit(changes or {})
        if stage != self.stage:
            self._moved(stage, person=True)
            self._hear_of_entries(changed)
        else:
            self._feed(*self._changed(changed))

    def change_pipeline(self, pipeline: str, stage: str | None = None) -> None:
        """A person changes the pipeline; an unknown or the present one is refused."""
        landing = self._landing(pipeline, stage)
        if landing and not self.deleted:
            self._piped(pipeline, landing)
            self._hear_of_entries()

    def delete(self) -> None:
        if not self.deleted:
            self._deleted()
            self._hear_of_entries()

    def restore(self) -> None:
        if self.deleted:
            self._restored()
            self._hear_of_entries()

    def client_acts(self, kind: str) -> None:
        """A client activity ends the waits that list its type; the move of the topmost is made with it."""
        if self.deleted:
            return
        self.client.append((self.now, kind))
        waits = [
            (s, self._wait(self.visit_no, s.rule))
            for s in self.plans[self.visit_no]
            if (self.visit_no, s.rule) in self.holds and s.nature == "wait"
        ]
        hit = [(s, w) for s, w in waits if w.ended_by(kind)]
        ends = [HoldEnd(rule=s.rule, result="done", reason="client", at=self.now) for s, _ in hit]
        for end in ends:
            self._end_hold(self.visit_no, end)
        moves = [(s.rule, w.on_client.move_to) for s, w in hit if isinstance(w.on_client, MoveTo)]
        rule, target = next(((rule, stage) for rule, stage in moves if stage != self.stage), ("", ""))
        if target and not self._covered(rule) and self._may_move():
            self.moves.append(self.now)
            self._moved(target, ends)
            self._hear_of_entries()
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
        """Typed values by full reference: what is pending follows, conditions are judged again."""
        if not self.deleted:
            self._feed(*self._changed(self._edit(changes)))

    def hand_to(self, who: str) -> None:
        """Somebody else is responsible: with them other absences, another zone and calendar may count."""
        if not self.deleted and who != self.responsible:
            self.responsible = who
            self._feed(*self._changed(["record.responsible", "responsible"]))

    def absent(self, who: str, since: datetime, until: datetime) -> None:
        """An absence of an employee is noted."""
        self.people.setdefault(who, Person([])).absences.append((since, until))
        if not self.deleted and who == self.responsible:
            self._feed(*self._changed(["absence"]))

    def suspend(self, cover: str = "record") -> None:
        """Nothing under the cover acts from now on; facts, people and the client still end holds."""
        if cover != "record" or not self.deleted:  # nothing is done to a record in the bin
            self.covers.add(cover)

    def resume(self, cover: str = "record") -> None:
        """What queued goes on, as `catch_up` says. Of the record: the loop guard counts anew, too."""
        if cover == "record" and self.deleted:
            return
        if cover == "record" and self.suspended:
            self.looping = False
            self.moves.clear()
        self.covers.discard(cover)
        if not self.deleted:
            self._feed(*self._changed([SUSPENSION]))

    def operate(self, verb: str, rule: str, due: datetime | None = None, visit_no: int = 0) -> bool:
        """A person runs, skips or reschedules a pending step; False if that is refused."""
        events = self._operated(verb, visit_no or self.progress.visit_no, rule, due)
        self._feed(*events or ())
        return events is not None

    # -- what takes its time -------------------------------------------------------------------
    def let_go(self, rule: str) -> None:
        """What was in flight of a rule comes back."""
        self.slow -= {rule}
        back = [events for name, events in self._in_flight if name == rule]
        self._in_flight = [one for one in self._in_flight if one[0] != rule]
        for events in back:
            self._drive(self._back(events))

    def listen(self) -> None:
        """The journey hears of all entries it has missed."""
        self.deaf = False
        self._hear_of_entries()

    # -- driving -------------------------------------------------------------------------------
    def _hear_of_entries(self, changed: Collection[str] = ()) -> None:
        if not self.deaf:
            self._feed(*self._missed(), *self._changed([*MOVED, *changed]))

    def _changed(self, fields: Collection[str]) -> list[Event]:
        return [Changed(Facts(at=self.now, fields=list(fields)))] if fields else []

    def _feed(self, *events: Event) -> None:
        """What happens at one instant, and all it makes due at once, until rest."""
        self._drive(self._hear(*events))

    def _drive(self, commands: list[Command]) -> None:
        todo = deque(commands)
        while todo:
            match todo.popleft():
                case Plan(visit_no, rule):
                    todo.extend(self._comes_back(rule, [self._plan(visit_no, rule)]))
                case Run(visit_no, rule, n):
                    todo.extend(self._act(visit_no, rule, n))
                case Follow(facts) if facts in self.progress.unjudged:
                    todo.extend(self._hear(Judged(facts), *self._followed(facts)))

    def _hear(self, *events: Event) -> list[Command]:
        brought, self._brought = self._brought, []
        commands = self.progress.on(*events, *self._changed(brought))
        for d in self.progress.unbooked:
            self._note(d)
        self.progress.unbooked = []
        self._remember_dues()
        return commands

    def _act(self, visit_no: int, rule: str, n: int) -> list[Command]:
        step = self.progress.step(visit_no, rule)
        if step is None or step.over:
            return []  # the closing act of a hold: told, and no outcome
        if n and (visit_no, rule) not in self.holds:  # ended meanwhile, which is yet to be heard
            ended = Outcome(result="cancelled", at=self.now)
            return self._comes_back(rule, [Ended(visit_no, rule, n, ended)])
        outcome = self._run(visit_no, step, n)
        if rule in self.slow:  # its transaction says when the rule below is due
            outcome.next = self._due_below(visit_no, rule, outcome)
        if outcome.result not in ("open", "pending"):
            end = {"result": outcome.result, "reason": outcome.reason, "at": outcome.at}
            self._note(Decision.model_validate(end | {"visit_no": visit_no, "rule": rule}))
        return self._comes_back(rule, [Ended(visit_no, rule, n, outcome), *self._changed(outcome.changed)])

    def _comes_back(self, rule: str, events: list[Event]) -> list[Command]:
        if rule in self.slow:
            self._in_flight.append((rule, events))
            return []
        return self._back(events)

    def _back(self, events: list[Event]) -> list[Command]:
        commands = self._hear(*events)
        if self.progress.moved_to > self.progress.visit_no:
            commands += self._hear(*self._missed(), *self._changed(MOVED))
        return commands
