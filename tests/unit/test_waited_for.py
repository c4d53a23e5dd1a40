"""A chain that waits for a task: until the task ends, the time is out, or the stage is left."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.events import Arm, Ended, Fired, HoldEnd, HoldEnded, Left, Opened, Outcome, Run
from domain.hold import Hold, kept
from domain.plan import Step
from domain.progress import Progress
from domain.rule import Rule, RuleSet
from domain.simulator import Simulator
from domain.world import Pipeline

START = datetime(2026, 11, 23, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
OUT = START + 4 * HOUR
STAGES = {"new": "process", "offer": "process", "won": "success"}
Outcomes = dict[str, tuple[float, str, str]]


# -- the machine -------------------------------------------------------------------------------------
def chain(**more: Any) -> list[Step]:
    return [
        Step(rule="task", kind="create_task", first=True, **more),
        Step(rule="below", kind="add_comment", **more),
    ]


def opened(**more: Any) -> Progress:
    """The task was made; the chain waits for it for four hours."""
    progress = Progress()
    assert progress.on(Opened(1, "new", chain(**more), START)) == [Run(1, "task", 0)]
    outcome = Outcome(result="open", due=OUT, at=START)
    assert progress.on(Ended(1, "task", 0, outcome)) == [Arm(1, "task", OUT)]
    return progress


def closed(how: str = "completed", at: datetime = START + HOUR) -> HoldEnd:
    return HoldEnd(rule="task", result="done", reason="", at=at, ended=how)


def test_what_stands_below_a_task_has_its_turn_when_the_task_has_ended() -> None:
    progress = opened()
    assert progress.resume() == [Arm(1, "task", OUT)]
    assert Run(1, "below", 0) in progress.on(HoldEnded(1, closed()))
    step = progress.step(1, "task")
    assert step is not None
    assert (step.status, step.outcome, step.reason) == ("ended", "done", "")
    assert progress.resume() == [Run(1, "below", 0)]


def test_the_time_out_is_an_act_of_its_own_and_lets_the_chain_go_on() -> None:
    progress = opened()
    assert progress.on(Fired(OUT)) == [Run(1, "task", 1)]
    assert Run(1, "below", 0) in progress.on(Ended(1, "task", 1, Outcome(result="done", at=OUT)))


def test_a_task_that_ends_while_its_time_out_is_in_flight_ends_once() -> None:
    progress = opened()
    progress.on(Fired(OUT))
    assert Run(1, "below", 0) in progress.on(HoldEnded(1, closed(at=OUT)))
    assert progress.on(HoldEnded(1, closed(at=OUT))) == []
    assert progress.on(Ended(1, "task", 1, Outcome(result="done", at=OUT))) == []
    assert progress.resume() == [Run(1, "below", 0)]


def test_an_end_that_is_heard_before_the_opening_ends_it_as_it_opens() -> None:
    progress = Progress()
    progress.on(Opened(1, "new", chain(), START))
    assert progress.on(HoldEnded(1, closed())) == []
    opening = Ended(1, "task", 0, Outcome(result="open", due=OUT, at=START))
    assert Run(1, "below", 0) in progress.on(opening)
    assert (progress.resume(), progress.early) == ([Run(1, "below", 0)], [])


def test_the_state_carried_on_goes_on_waiting() -> None:
    progress = Progress.model_validate_json(opened().model_dump_json(exclude_defaults=True))
    assert progress.resume() == [Arm(1, "task", OUT)]
    assert Run(1, "below", 0) in progress.on(HoldEnded(1, closed()))


def test_leaving_ends_it_as_done_while_its_opening_is_still_in_flight() -> None:
    progress = Progress()
    progress.on(Opened(1, "new", chain(), START))
    left = Left(1, START + HOUR, "left_stage", [], [closed("left")])
    progress.on(left)
    assert progress.visits == []
    assert progress.on(Ended(1, "task", 0, Outcome(result="open", due=OUT, at=START))) == []


# -- leaving -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("reason", "end"),
    [
        ("left_stage", ("done", "")),
        ("closed", ("done", "")),
        ("pipeline_changed", ("cancelled", "pipeline_changed")),
        ("record_deleted", ("cancelled", "record_deleted")),
    ],
)
def test_a_stage_left_makes_the_step_done_for_the_task_exists(reason: str, end: tuple[str, str]) -> None:
    left = Hold(rule="task", kind="task", since=START, due=OUT).left(reason, OUT, by_rule=True)
    assert (left.result, left.reason, left.ended) == (*end, "left")


@pytest.mark.parametrize(
    ("on_exit", "marked"), [("cancel", []), ("keep", ["other"]), ("run_now", ["below", "other"])]
)
def test_a_task_still_waited_for_cuts_off_a_chain_that_is_kept(on_exit: str, marked: list[str]) -> None:
    other = Step(rule="other", kind="add_comment", first=True, on_exit=on_exit)
    steps = [*chain(on_exit=on_exit), other]
    assert kept(steps, [], "left_stage", ["task"]) == marked
    assert kept(steps, [], "pipeline_changed", ["task"]) == []


# -- one record under a virtual clock ----------------------------------------------------------------
def simulated(*rules: dict[str, Any]) -> Simulator:
    """A record whose first stage has these rules; each rule not first of a chain follows the one above."""
    pipelines = {
        name: Pipeline(STAGES, RuleSet(stages={"new": [Rule.model_validate(r) for r in rules]}))
        for name in ("sales", "service")
    }

    def nature(kind: str, params: object) -> Any:
        return "transition" if kind == "change_stage" else "database"

    world = Simulator(pipelines, "sales", "new", {}, nature, lambda _, raw: raw)
    world.now = START
    world.create()
    return world


def task(**more: Any) -> dict[str, Any]:
    params = {"name": "Measure", "hold_until_closed": True, "hold_timeout": {"hours": 4}}
    return {"id": "task", "kind": "create_task", "params": params} | more


def below(**more: Any) -> dict[str, Any]:
    return {"id": "below", "kind": "add_comment", "after_previous": True} | more


def outcomes(world: Simulator, visit_no: int = 1) -> Outcomes:
    """What each rule ended as, and how many hours after the start."""
    return {
        e.rule: ((e.at - START) / HOUR, e.outcome, e.reason) for e in world.entries if e.visit_no == visit_no
    }


def test_the_chain_waits_until_the_task_ends() -> None:
    world = simulated(task(), below())
    world.reach(START + HOUR)
    assert outcomes(world) == {}
    world.close_task("task")
    assert outcomes(world) == {"task": (1, "done", ""), "below": (1, "done", "")}
    world.close_task("task")
    world.reach(START + 9 * HOUR)
    assert len(world.entries) == 2


def test_when_its_time_is_out_the_chain_goes_on() -> None:
    world = simulated(task(), below())
    world.reach(START + 9 * HOUR)
    assert outcomes(world) == {"task": (4, "done", ""), "below": (4, "done", "")}


@pytest.mark.parametrize(
    ("on_exit", "end"),
    [
        ("cancel", (2, "cancelled", "left_stage")),
        ("keep", (2, "cancelled", "left_stage")),
        ("run_now", (2, "done", "")),
    ],
)
def test_left_meanwhile_the_step_is_done_and_its_chain_follows_on_exit(
    on_exit: str, end: tuple[int, str, str]
) -> None:
    world = simulated(task(on_exit=on_exit), below(schedule={"after": {"days": 1}}))
    world.reach(START + 2 * HOUR)
    world.move("offer")
    assert outcomes(world) == {"task": (2, "done", ""), "below": end}
    world.reach(START + 99 * HOUR)
    assert len(world.entries) == 2


def test_a_kept_step_that_makes_its_task_later_waits_for_it_all_the_same() -> None:
    later = {"schedule": {"after": {"hours": 3}}, "on_exit": "keep"}
    world = simulated(task(**later), below())
    world.move("offer")
    world.reach(START + 5 * HOUR)
    assert outcomes(world) == {}
    world.close_task("task", visit_no=1)
    assert outcomes(world) == {"task": (5, "done", ""), "below": (5, "done", "")}


def test_a_step_run_at_once_because_the_stage_was_left_does_not_wait() -> None:
    world = simulated(task(schedule={"after": {"hours": 3}}, on_exit="run_now"), below())
    world.move("offer")
    assert outcomes(world) == {"task": (0, "done", ""), "below": (0, "done", "")}


def test_a_pipeline_change_ends_what_is_waited_for_in_kept_chains_too() -> None:
    later = {"schedule": {"after": {"hours": 3}}, "on_exit": "keep"}
    world = simulated(task(**later), below())
    world.move("offer")
    world.reach(START + 5 * HOUR)
    world.change_pipeline("service")
    gone = (5, "cancelled", "pipeline_changed")
    assert outcomes(world) == {"task": gone, "below": gone}
    world.reach(START + 9 * HOUR)
    assert world.holds.keys() <= {(3, "task")}


def test_deletion_ends_it_and_a_transition_does_not_wait_for_it() -> None:
    world = simulated(task(), {"id": "on", "kind": "change_stage", "params": {"stage": "offer"}})
    assert outcomes(world) == {"task": (0, "done", ""), "on": (0, "done", "")}
    world = simulated(task(), below())
    world.delete()
    gone = (0, "cancelled", "record_deleted")
    assert outcomes(world) == {"task": gone, "below": gone}
