"""What a change of facts means for a pending step, on the machine alone: no servers, no transaction."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from domain.events import Again, Ended, Fired, Opened, Outcome, Plan, Planned, Run, Turned
from domain.following import Change, Moment, step_follows
from domain.judge import refusal
from domain.plan import steps
from domain.progress import Progress
from domain.rule import Rule
from domain.schedule import ScheduleFacts, due
from domain.standard_fields import standard

START = datetime(2026, 11, 23, 9, tzinfo=UTC)  # a Monday
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PAID = {"field": "record.title", "op": "equal", "value": "paid"}
WEEK_OVER = {"field": "record.due_on", "op": "less_or_equal", "value": {"today": {"days": -7}}}
"""A week after the due date."""


class Pending:
    """One rule of a record, driven through the machine: what a transaction would answer is answered here."""

    def __init__(self, rule: dict[str, Any], **values: object) -> None:
        self.rule = Rule.model_validate({"id": "it", "kind": "add_comment"} | rule)
        self.values: dict[str, object] = {f"record.{name}": value for name, value in values.items()}
        self.progress, self.now, self.acted = Progress(), START, False
        plan = steps([self.rule], lambda *_: "database")
        self._hear(*self.progress.on(Opened(1, "new", plan, START)))

    @property
    def step(self) -> Any:
        return self.progress.step(1, "it")

    @property
    def waits_until(self) -> datetime | None:
        at: datetime | None = self.step.due
        return at

    def reach(self, at: datetime) -> None:
        while (next_due := self.progress.next_due) and next_due <= at:
            self.now = next_due
            self._hear(*self.progress.on(Fired(next_due)))
        self.now = at

    def edit(self, *facts: str, **values: object) -> Planned | Again | Turned | None:
        """Fields change; `facts`: others that do, `responsible` for one."""
        self.values |= {f"record.{name}": value for name, value in values.items()}
        change = Change(self.now, frozenset([*facts, *(f"record.{name}" for name in values)]))
        event = step_follows(1, self.step, self.rule, change, self._moment()) if self.step else None
        self._hear(*self.progress.on(*([event] if event else [])))
        return event

    def _hear(self, *commands: Any) -> None:
        for command in commands:
            match command:
                case Run():
                    self._hear(*self.progress.on(Ended(1, "it", 0, self._act())))
                case Plan():
                    facts = self._moment().facts
                    found = due(self.rule.schedule, self.step.turn, self.step.turn, facts)
                    self._hear(*self.progress.on(Planned(1, "it", found, self.step.turn)))

    def _act(self) -> Outcome:
        refused, _ = refusal(self.rule, self.values, self.now, "Europe/Berlin", leaving=False)
        self.acted = refused is None
        return refused or Outcome(result="done", at=self.now)

    def _moment(self) -> Moment:
        value: Any = self.values.get(self.rule.schedule.basis)
        return Moment(ScheduleFacts(zone="Europe/Berlin", value=value), self.values, "Europe/Berlin")


# -- the clock turns a condition -----------------------------------------------------------------------
def unpaid(**values: object) -> Pending:
    condition = {"all": [WEEK_OVER, {"not": PAID}]}
    return Pending({"condition": condition, "if_false": "wait"}, **values)


def test_a_date_filled_in_later_makes_the_clock_turn_the_condition_when_it_will() -> None:
    pending = unpaid()
    assert pending.waits_until is None
    pending.reach(START + DAY)
    pending.edit(due_on=date(2026, 11, 30))
    assert pending.waits_until == datetime(2026, 12, 6, 23, tzinfo=UTC)  # 7 December, 00:00 in Berlin
    pending.reach(START + 30 * DAY)
    assert pending.acted


def test_a_date_put_off_makes_it_turn_later_and_one_taken_away_never() -> None:
    pending = unpaid(due_on=date(2026, 11, 30))
    pending.edit(due_on=date(2026, 12, 2))
    assert pending.waits_until == datetime(2026, 12, 8, 23, tzinfo=UTC)
    pending.edit(due_on=None)
    assert pending.waits_until is None
    pending.reach(START + 30 * DAY)
    assert not pending.acted


def test_a_date_put_off_again_and_again_is_followed_each_time() -> None:
    pending = unpaid()
    for day in (1, 5, 3):
        pending.edit(due_on=date(2026, 12, day))
    assert pending.waits_until == datetime(2026, 12, 9, 23, tzinfo=UTC)


def test_a_field_beside_it_that_is_set_when_the_clock_has_turned_it_lets_it_act() -> None:
    pending = Pending({"condition": {"all": [WEEK_OVER, PAID]}, "if_false": "wait"}, due_on=date(2026, 11, 1))
    assert isinstance(pending.edit(title="paid"), Again)
    assert pending.acted


def test_what_does_not_change_when_the_clock_turns_it_is_no_event() -> None:
    pending = unpaid(due_on=date(2026, 11, 30))
    assert pending.edit(title="new title") is None


# -- a date that leaves the due time as it was ---------------------------------------------------------
MORNING = {"basis": "record.visit_at", "at": "09:00"}


@pytest.mark.parametrize("if_past", ["run_now", "skip", "fail"])
def test_a_date_that_leaves_the_due_time_as_it_was_moves_nothing(if_past: str) -> None:
    rule = {"schedule": MORNING | {"if_past": if_past}, "condition": PAID, "if_false": "wait"}
    pending = Pending(rule, visit_at=datetime(2026, 11, 24, 15, tzinfo=UTC), title="new")
    pending.reach(START + 3 * DAY)
    assert pending.step.waiting == "condition"
    assert pending.edit(visit_at=datetime(2026, 11, 24, 17, tzinfo=UTC)) is None  # 09:00 of the same day
    assert pending.step.waiting == "condition"
    pending.edit(title="paid", visit_at=datetime(2026, 11, 24, 16, tzinfo=UTC))
    assert pending.acted


@pytest.mark.parametrize(("if_past", "outcome"), [("skip", "skipped"), ("fail", "failed")])
def test_one_that_moves_it_into_the_past_ends_it(if_past: str, outcome: str) -> None:
    rule = {"schedule": MORNING | {"if_past": if_past}, "condition": PAID, "if_false": "wait"}
    pending = Pending(rule, visit_at=datetime(2026, 11, 24, 15, tzinfo=UTC))
    pending.reach(START + 3 * DAY)
    pending.edit(visit_at=datetime(2026, 11, 25, 15, tzinfo=UTC))
    (decision,) = pending.progress.unbooked
    assert (decision.result, decision.reason) == (outcome, "if_past")


def test_moved_once_what_leaves_it_there_moves_it_no_more() -> None:
    pending = Pending({"schedule": MORNING | {"if_past": "skip"}}, visit_at=START + 2 * DAY)
    pending.reach(START + HOUR)
    assert isinstance(pending.edit(visit_at=START + 4 * DAY), Planned)
    assert pending.edit(visit_at=START + 4 * DAY + HOUR) is None


def test_another_responsible_with_the_same_zone_moves_nothing() -> None:
    pending = Pending({"schedule": MORNING | {"if_past": "skip"}}, visit_at=START + 2 * DAY)
    assert pending.edit("responsible", "record.responsible") is None


def test_moved_to_a_later_time_it_waits_for_that_and_for_its_condition_again() -> None:
    rule = {"schedule": MORNING, "condition": PAID, "if_false": "wait"}
    pending = Pending(rule, visit_at=datetime(2026, 11, 24, 15, tzinfo=UTC))
    pending.reach(START + 3 * DAY)
    pending.edit(title="paid", visit_at=datetime(2026, 12, 1, 15, tzinfo=UTC))
    assert not pending.acted
    pending.reach(START + 9 * DAY)
    assert pending.acted


def test_every_field_there_is_may_be_read() -> None:
    for reference in standard("deal").references():
        rule = {"condition": {"field": reference, "op": "is_not_empty"}, "if_false": "wait"}
        pending = Pending(rule)
        pending.values[reference] = ["x"]
        change = Change(pending.now, frozenset([reference]))
        found = step_follows(1, pending.step, pending.rule, change, pending._moment())
        assert isinstance(found, Again), reference
