"""Facts of one record in memory: edits, due times, and what a change of facts means for what is pending."""

from __future__ import annotations

from collections.abc import Mapping

from domain.changed_facts import HELD, HOLD, SUSPENSION, Facts
from domain.conditions import follows, judge
from domain.events import Again, Event, HoldEnded, Outcome, Planned
from domain.following import Change, Moment, looks_on, next_look, step_follows
from domain.hold import Hold
from domain.holds.control import Control
from domain.holds.wait import Wait
from domain.plan import Step
from domain.rule import Rule
from domain.schedule import Due, ScheduleFacts, due, instant
from domain.world import World


class FollowingWorld(World):
    """A world whose pending steps and open holds follow its facts."""

    def _edit(self, changes: Mapping[str, object]) -> list[str]:
        """Typed values by full reference; answers which of them are new."""
        changed = [name for name, value in changes.items() if self.values.get(name) != value]
        self.values.update(changes)
        return changed

    def _followed(self, facts: Facts) -> list[Event]:
        """What a change of facts means; in a stage that was left nothing follows but what was kept."""
        events: list[Event] = []
        for visit in self.progress.visits:
            left = self.left.get(visit.visit_no)
            for step in [s for s in visit.steps if left is None or s.rule in left.kept]:
                rule = self.rules[visit.visit_no][step.rule]
                events += self._follow(visit.visit_no, step, rule, set(facts.fields))
        return events

    def _follow(self, visit_no: int, step: Step, rule: Rule, changed: set[str]) -> list[Event]:
        """What a change of facts means for one step."""
        if hold := self.holds.get((visit_no, rule.id)):
            found = [] if hold.kind == "task" else self._hold_follows(visit_no, step, hold, rule, changed)
        else:
            found = self._step_follows(visit_no, step, rule, changed)
        released = SUSPENSION in changed and not self._covered(rule.id)
        if not found and released and step.waiting in HELD:
            return [Again(visit_no, rule.id, self.now)]
        return found

    def _step_follows(self, visit_no: int, step: Step, rule: Rule, changed: set[str]) -> list[Event]:
        values, key = self._values(visit_no), f"{self.key}/{rule.id}"
        moment = Moment(self._facts(rule.schedule.basis), values, self.zone, key)
        event = step_follows(visit_no, step, rule, Change(self.now, frozenset(changed)), moment)
        return [event] if event else []

    def _hold_follows(
        self, visit_no: int, step: Step, hold: Hold, rule: Rule, changed: set[str]
    ) -> list[Event]:
        params = self._params(visit_no, rule.id)
        limit = params.until if isinstance(params, Wait) else params.deadline
        until = params.until if isinstance(params, Control) else None
        values = self._values(visit_no)
        if until and follows(until) & changed and judge(until, values, self.now, self.zone).holds:
            return [HoldEnded(visit_no, self._resolve(visit_no, hold, self.now))]
        ends = hold.deadline if isinstance(params, Control) else hold.due
        if limit.reads & changed and not hold.pinned and not self._is_late(hold, self.now):
            at = instant(limit, hold.since, self._facts(limit.basis))
            if at is None or max(at, hold.since) != ends:
                ends = max(at, self.now) if at else None
            hold.deadline = ends if isinstance(params, Control) else None
        if hold.late:
            ends = hold.due
        change = Change(self.now, frozenset(changed))
        if until:
            ends = next_look(until, ends, hold.due, change, values, self.zone)
        if ends == hold.due and HOLD not in changed:
            watched = until if self._covered(rule.id) else None
            return [*looks_on(visit_no, step, watched, change, values, self.zone)] if watched else []
        hold.due = ends
        return [Planned(visit_no, rule.id, Due(at=ends), self.now, hold.pinned)]

    # -- facts ---------------------------------------------------------------------------------
    def _plan(self, visit_no: int, rule_id: str) -> Planned:
        rule, step = self.rules[visit_no][rule_id], self.progress.step(visit_no, rule_id)
        turn = step.turn if step and step.turn else self.now
        return Planned(
            visit_no, rule_id, due(rule.schedule, turn, turn, self._facts(rule.schedule.basis)), self.now
        )

    def _due_below(self, visit_no: int, rule_id: str, outcome: Outcome) -> Due | None:
        """The due time of the rule below one that has ended, where it follows from facts."""
        plan = self.plans[visit_no]
        i = next(i for i, step in enumerate(plan) if step.rule == rule_id)
        below = plan[i + 1] if i + 1 < len(plan) else None
        if outcome.result == "pending" or below is None or below.first or below.delay is not None:
            return None
        schedule = self.rules[visit_no][below.rule].schedule
        return due(schedule, outcome.at, outcome.at, self._facts(schedule.basis))

    def _facts(self, basis: str) -> ScheduleFacts:
        value = self.values.get(basis)
        calendar = self._responsible.calendar or self._calendar
        absences = self._responsible.absences
        return ScheduleFacts(zone=self.zone, calendar=calendar, value=value, absences=absences)  # type: ignore[arg-type]  # checked by pydantic

