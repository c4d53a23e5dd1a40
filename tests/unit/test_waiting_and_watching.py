"""Conditions, results and controls of one record under a virtual clock: the simulator, no servers."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from domain.rule import Rule, RuleSet
from domain.simulator import Simulator
from domain.world import Pipeline

START = datetime(2026, 11, 23, 9, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
STAGES = {"new": "process", "offer": "process", "won": "success"}
HOT = {"field": "record.hot", "op": "equal", "value": True}
VISITED = {"field": "record.visit_at", "op": "less_or_equal", "value": {"now": {}}}
Line = tuple[float, str, str]


def simulated(*rules: dict[str, Any], offer: tuple[dict[str, Any], ...] = (), **fields: object) -> Simulator:
    """A record whose first stage has these rules, and whose second `offer`."""
    given = {"new": rules, "offer": offer}
    listed = {stage: [Rule.model_validate(rule) for rule in of] for stage, of in given.items()}
    natures = {"change_stage": "transition", "wait": "wait", "control": "control"}

    def nature(kind: str, params: object) -> Any:
        return natures.get(kind, "database")

    values: dict[str, object] = {f"record.{name}": value for name, value in fields.items()}
    sales = {"sales": Pipeline(STAGES, RuleSet(stages=listed))}
    world = Simulator(sales, "sales", "new", values, nature, lambda _, raw: raw)
    world.now = START
    world.create()
    return world


def control(name: str = "watch", **params: Any) -> dict[str, Any]:
    return {"id": name, "kind": "control", "params": {"deadline": {"after": {"hours": 2}}} | params}


def wait(name: str = "answer", **more: Any) -> dict[str, Any]:
    return {"id": name, "kind": "wait", "params": {"until": {"after": {"hours": 3}}}} | more


def waits(name: str, condition: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": name, "kind": "add_comment", "condition": condition, "if_false": "wait"} | more


def result(name: str, value: str) -> dict[str, Any]:
    return {"field": f"steps.{name}", "op": "equal", "value": value}


def lines(world: Simulator) -> list[Line]:
    """What the journal says, and how many hours after the start."""
    return [((e.at - START) / HOUR, e.rule, f"{e.outcome} {e.reason}".strip()) for e in world.entries]


# -- the clock turns a condition -----------------------------------------------------------------------
def test_a_date_filled_in_later_makes_the_clock_turn_the_condition() -> None:
    over = {"field": "record.due_on", "op": "less_or_equal", "value": {"today": {"days": -7}}}
    world = simulated(waits("remind", over))
    world.reach(START + DAY)
    world.edit({"record.due_on": date(2026, 11, 30)})
    world.reach(START + 30 * DAY)
    assert [e.at for e in world.entries] == [datetime(2026, 12, 7, tzinfo=UTC)]


def test_a_control_is_resolved_by_the_clock_before_its_deadline() -> None:
    world = simulated(control(until=VISITED), visit_at=START + HOUR)
    world.reach(START + 5 * HOUR)
    assert lines(world) == [(1, "watch", "done resolved")]


@pytest.mark.parametrize("at", [2, 3])
def test_turned_at_its_deadline_or_after_it_the_control_was_late_before(at: int) -> None:
    world = simulated(control(until=VISITED), visit_at=START + at * HOUR)
    world.reach(START + 5 * HOUR)
    assert lines(world) == [(2, "watch", "late"), (at, "watch", "done resolved_late")]


# -- controls ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("policy", [{"if_past": "skip"}, {"if_past": "fail"}, {"if_empty": "fail"}])
def test_a_control_that_opens_resolved_asks_nothing_of_its_deadline(policy: dict[str, str]) -> None:
    world = simulated(control(until=HOT, deadline={"basis": "record.visit_at"} | policy), hot=True)
    assert lines(world) == [(0, "watch", "done resolved")]


def test_a_date_moved_into_the_past_makes_a_control_late_at_that_instant() -> None:
    deadline = {"basis": "record.visit_at", "if_past": "fail"}
    world = simulated(control(deadline=deadline), visit_at=START + 9 * HOUR)
    world.reach(START + HOUR)
    world.edit({"record.visit_at": START - DAY})
    world.edit({"record.visit_at": START + 9 * HOUR})  # late stays late
    world.reach(START + 20 * HOUR)
    world.move("offer")
    assert lines(world) == [(1, "watch", "late"), (20, "watch", "done resolved_late")]


# -- results -------------------------------------------------------------------------------------------
def test_the_end_of_a_wait_wakes_what_waits_for_it() -> None:
    listed = [wait(), *(waits(how, result("answer.ended", how)) for how in ("client", "time", "person"))]
    for how in ("client", "time", "person"):
        world = simulated(*listed)
        if how == "client":
            world.client_acts("call")
        if how == "person":
            world.operate("skip", "answer")
        world.reach(START + 4 * HOUR)
        assert [rule for _, rule, _ in lines(world)] == ["answer", how]


def test_the_state_of_a_control_wakes_what_waits_for_it() -> None:
    states = ("late", "resolved_late")
    world = simulated(control(until=HOT), *(waits(state, result("watch.state", state)) for state in states))
    world.reach(START + 3 * HOUR)
    assert lines(world) == [(2, "watch", "late"), (2, "late", "done")]
    world.edit({"record.hot": True})
    assert lines(world)[2:] == [(3, "watch", "done resolved_late"), (3, "resolved_late", "done")]


def test_a_result_wakes_before_a_move_that_the_same_end_lets_come() -> None:
    on = {"id": "on", "kind": "change_stage", "params": {"stage": "offer"}, "after_previous": True}
    world = simulated(wait(), on, waits("told", result("answer.ended", "client")))
    world.client_acts("call")
    assert [rule for _, rule, _ in lines(world)] == ["answer", "told", "on"]


def test_what_was_kept_waits_for_a_result_that_the_leaving_brings() -> None:
    world = simulated(wait(), waits("told", result("answer.ended", "left_stage"), on_exit="keep"))
    world.move("offer")
    assert lines(world) == [(0, "answer", "cancelled left_stage"), (0, "told", "done")]


# -- past ----------------------------------------------------------------------------------------------
def test_a_date_that_leaves_the_due_time_as_it_was_makes_nothing_past() -> None:
    morning = {"basis": "record.visit_at", "at": "09:00", "if_past": "skip"}
    world = simulated(waits("call", HOT, schedule=morning), visit_at=START + 30 * HOUR)
    world.reach(START + 3 * DAY)
    world.edit({"record.visit_at": START + 31 * HOUR})
    world.edit({"record.hot": True})
    assert [said for _, _, said in lines(world)] == ["done"]


# -- the loop guard ------------------------------------------------------------------------------------
def test_the_loop_guard_makes_ten_moves_and_counts_again_after_a_resume() -> None:
    forth = {"id": "forth", "kind": "change_stage", "params": {"stage": "offer"}}
    back = {"id": "back", "kind": "change_stage", "params": {"stage": "new"}}
    world = simulated(forth, offer=(back,))
    assert (world.visit_no, world.suspended) == (11, True)
    world.resume()
    assert (world.visit_no, world.suspended) == (21, True)
