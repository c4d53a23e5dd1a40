"""What is heard while an act is in flight means what it means after it, whichever is heard first."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activities.catalogue import nature
from domain.rule import Rule, RuleSet
from domain.simulator import Simulator
from domain.world import Entry, Pipeline
from tests.journeys.rules import comment, control, move, wait

START = datetime(2026, 11, 23, 9, tzinfo=UTC)
ACTS, END = START + timedelta(hours=1), START + timedelta(days=20)
HOT = {"field": "record.hot", "op": "equal", "value": True}
HOUR, DAY = {"after": {"hours": 1}}, timedelta(days=1)
BY_DATE = {"basis": "record.visit_at"}
WAITS = {"condition": HOT, "if_false": "wait"}
Rules = list[dict[str, Any]]
BELOW = comment("below", below=True, after={"hours": 3})

SLOW: dict[str, Rules] = {
    "a step": [comment("it", **HOUR), BELOW],
    "a step that waits for its condition": [comment("it", **HOUR, **WAITS), BELOW],
    "a step above one with a date": [comment("it", **HOUR), comment("below", below=True, **BY_DATE)],
    "a step above one that must not be late": [
        comment("it", **HOUR), comment("below", below=True, if_past="fail", **BY_DATE)
    ],
    "a wait until a date that opens": [wait("it", BY_DATE, **HOUR), BELOW],
    "a wait that opens": [wait("it", {"hours": 5}, **HOUR), BELOW],
    "a wait whose time is out": [wait("it", {"hours": 1}), BELOW],
    "a wait whose time is out and that moves": [
        wait("it", {"hours": 1}, ends={"on_timeout": {"move_to": "offer"}}), BELOW
    ],
    "a control with a date that opens": [control("it", BY_DATE, **HOUR), BELOW],
    "a control with a condition that opens": [control("it", {"hours": 9}, params={"until": HOT}, **HOUR)],
    "a control that becomes late": [control("it", {"hours": 1}), BELOW],
    "a control with a condition that becomes late": [control("it", {"hours": 1}, params={"until": HOT})],
    "a transition": [move("it", "offer", **HOUR, **WAITS), comment("other", after={"hours": 3})],
    "a kept step": [comment("it", on_exit="keep", **HOUR, **WAITS), BELOW],
    "a step to be run now": [comment("it", on_exit="run_now", **HOUR, **WAITS), BELOW],
    "the question when a step is due": [
        comment("first", **HOUR), comment("it", below=True, **BY_DATE), BELOW
    ],
}  # fmt: skip
FACTS: dict[str, Callable[[Simulator], None]] = {
    "nothing": lambda world: None,
    "a condition comes to hold": lambda world: world.edit({"record.hot": True}),
    "the date comes nearer": lambda world: world.edit({"record.visit_at": START + 2 * DAY}),
    "the date goes away": lambda world: world.edit({"record.visit_at": START + 9 * DAY}),
    "the date is past": lambda world: world.edit({"record.visit_at": START - DAY}),
    "the date is emptied": lambda world: world.edit({"record.visit_at": None}),
    "it is suspended": lambda world: world.suspend(),
    "it is resumed": lambda world: world.resume(),
    "the client acts": lambda world: world.client_acts("call"),
    "the stage is left": lambda world: world.move("offer"),
    "the record is closed, with a field": lambda world: world.move("won", {"record.hot": True}),
    "the pipeline changes": lambda world: world.change_pipeline("delivery"),
    "it is deleted": lambda world: world.delete(),
    "it is left and deleted": lambda world: (world.move("offer"), world.delete())[0],
    "two things happen": lambda world: (
        world.edit({"record.visit_at": START + 2 * DAY}), world.edit({"record.hot": True})
    )[0],
}  # fmt: skip


def world_of(listed: Rules) -> Simulator:
    stages = {"new": "process", "offer": "process", "won": "success", "lost": "failure"}
    rules = RuleSet(
        stages={
            "new": [Rule.model_validate(one) for one in listed],
            "offer": [Rule.model_validate(comment("hello", **WAITS))],
        }
    )
    pipelines = {"sales": Pipeline(stages, rules), "delivery": Pipeline(stages, RuleSet())}
    values: dict[str, object] = {"record.hot": False, "record.visit_at": START + 5 * DAY}
    world = Simulator(pipelines, "sales", "new", values, nature, lambda _, raw: raw)
    world.now = START
    return world


def told(listed: Rules, fact: str, *, in_flight: bool, suspended: bool) -> list[Any]:
    """What the journal says: the fact is heard after the act, or while it is in flight."""
    world = world_of(listed)
    if suspended:
        world.suspend()
    world.create()
    if in_flight:
        world.slow = frozenset({"it"})
    world.reach(ACTS)
    FACTS[fact](world)
    if in_flight:
        world.let_go("it")
    if suspended:
        assert world.suspended == (fact != "it is resumed")
    world.reach(END)
    world.resume()
    steps = [(visit.visit_no, step) for visit in world.progress.visits for step in visit.steps]
    assert not [step for _, step in steps if step.in_flight or step.status == "due"]
    pending = [[no, step.rule, step.status, step.waiting, step.due] for no, step in steps]
    return [*sorted(told_of(entry) for entry in world.entries), *pending]


def told_of(entry: Entry) -> list[str]:
    """Of what did not act it makes no difference when and why that was found out."""
    own = [str(entry.visit_no), entry.rule]
    if entry.outcome in ("cancelled", "stale"):
        return [*own, "cancelled"]
    return [*own, entry.outcome, entry.reason, entry.at.isoformat()]


PAIRS = [
    (slow, fact)
    for slow in SLOW
    for fact in FACTS
    # what the leaving would have let run at once cannot act when the record is deleted before that is known
    if (slow, fact) != ("a step to be run now", "it is left and deleted")
]


@pytest.mark.parametrize("suspended", [False, True], ids=["", "suspended"])
@pytest.mark.parametrize(("slow", "fact"), PAIRS)
def test_a_fact_heard_while_it_is_in_flight_means_what_it_means_after_it(
    slow: str, fact: str, suspended: bool
) -> None:
    expected = told(SLOW[slow], fact, in_flight=False, suspended=suspended)
    assert told(SLOW[slow], fact, in_flight=True, suspended=suspended) == expected
