"""The simulator knows what a rule set, a person and an operator may do, as the stack does it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from activities.catalogue import nature
from domain.rule import Rule, RuleSet
from domain.schedule import share
from domain.simulator import Simulator
from domain.world import Person, Pipeline
from tests.journeys.rules import comment, control, move, wait

START = datetime(2026, 11, 23, 9, tzinfo=UTC)
HOURS = timedelta(hours=1)
HOUR = {"after": {"hours": 1}}
STAGES = {"new": "process", "offer": "process", "won": "success"}
Json = dict[str, Any]
Told = dict[str, tuple[float, str, str]]


def world_of(grace: timedelta = timedelta(0), **stages: list[Json]) -> Simulator:
    rules = {name: [Rule.model_validate(rule) for rule in listed] for name, listed in stages.items()}
    sales = Pipeline(STAGES, RuleSet(stages=rules), grace)
    pipelines = {"sales": sales, "service": Pipeline(STAGES, RuleSet())}
    world = Simulator(pipelines, "sales", "new", {}, nature, lambda _, raw: raw)
    world.now = START
    world.create()
    return world


def told(world: Simulator, visit_no: int = 1) -> Told:
    """What each rule ended as, and how many hours after the start."""
    return {
        e.rule: (round((e.at - START) / HOURS, 6), e.outcome, e.reason)
        for e in world.entries
        if e.visit_no == visit_no
    }


# -- suspension ------------------------------------------------------------------------------------
def test_suspended_nothing_acts_and_what_queued_goes_on_as_catch_up_says() -> None:
    world = world_of(
        new=[
            comment("run", **HOUR),
            comment("dropped", catch_up={"drop_if_late": {"hours": 2}}, **HOUR),
            comment("spread", catch_up={"spread_over": {"hours": 8}}, **HOUR),
            control("watch", {"hours": 1}),
        ]
    )
    world.suspend()
    world.reach(START + 6 * HOURS)
    assert told(world) == {}
    world.resume()
    world.reach(START + 20 * HOURS)
    spread = round(6 + 8 * share("deal-1/spread"), 6)
    assert told(world) == {
        "run": (6, "done", ""),
        "dropped": (6, "skipped", "too_late"),
        "spread": (spread, "done", ""),
        "watch": (6, "late", ""),
    }


def test_while_it_is_suspended_the_client_still_ends_waits_and_people_move_it() -> None:
    world = world_of(new=[wait("patience"), comment("below", below=True)], offer=[comment("hello")])
    world.suspend()
    world.client_acts("call")
    assert told(world) == {"patience": (0, "done", "client")}
    world.move("offer")
    world.resume()
    assert told(world)["below"] == (0, "cancelled", "left_stage")
    assert told(world, 2) == {"hello": (0, "done", "")}


def test_what_the_client_does_between_the_time_a_wait_was_due_to_open_and_its_opening_ends_it() -> None:
    world = world_of(new=[wait("patience", **HOUR), comment("below", below=True)])
    world.suspend()
    world.reach(START + 2 * HOURS)
    world.client_acts("call")
    world.reach(START + 3 * HOURS)
    world.resume()
    assert told(world) == {"patience": (3, "done", "client"), "below": (3, "done", "")}


def test_a_cover_lies_on_one_rule_or_one_pipeline_too() -> None:
    world = world_of(new=[comment("it", **HOUR), comment("other", **HOUR)], offer=[comment("there")])
    world.suspend("rule:it")
    world.reach(START + 2 * HOURS)
    assert told(world) == {"other": (1, "done", "")}
    world.suspend("pipeline:sales")
    world.resume("rule:it")
    assert told(world) == {"other": (1, "done", "")}
    world.resume("pipeline:sales")
    assert told(world)["it"] == (2, "done", "")


def test_what_was_overdue_as_its_chain_is_to_run_now_is_overdue_still() -> None:
    late = {"catch_up": {"drop_if_late": {"hours": 2}}, "on_exit": "run_now"}
    world = world_of(new=[comment("it", **HOUR, **late), comment("fresh", after={"days": 2}, **late)])
    world.suspend()
    world.reach(START + 5 * HOURS)
    world.move("offer")
    world.resume()
    assert told(world) == {"it": (5, "skipped", "too_late"), "fresh": (5, "done", "")}


# -- people ----------------------------------------------------------------------------------------
def test_a_step_follows_who_is_responsible_and_who_is_absent() -> None:
    dawn = comment("dawn", after={"days": 1}, at="09:00")
    world = world_of(new=[comment("it", on_duty=True, **HOUR), dawn])
    world.people = {"ann": Person([]), "ben": Person([(START, START + 3 * HOURS)], "Asia/Tokyo")}
    world.responsible = "ann"
    world.hand_to("ben")
    assert world.progress.next_due == START + 3 * HOURS
    world.absent("ben", START + 3 * HOURS, START + 5 * HOURS)
    world.reach(START + 30 * HOURS)
    assert told(world) == {"it": (5, "done", ""), "dawn": (15, "done", "")}


# -- operators -------------------------------------------------------------------------------------
def test_people_run_skip_and_reschedule() -> None:
    names = ("ran", "skipped", "rescheduled")
    later = [comment(name, after={"days": 9}) for name in names]
    world = world_of(new=[*later, wait("patience"), control("w", {"days": 1})])
    assert world.operate("run_now", "ran")
    assert world.operate("skip", "skipped")
    assert world.operate("reschedule", "rescheduled", START + 5 * HOURS)
    assert world.operate("run_now", "patience")
    assert not world.operate("run_now", "w")
    assert world.operate("skip", "w")
    assert not world.operate("skip", "ran")
    world.reach(START + 9 * HOURS)
    assert told(world) == {
        "ran": (0, "done", ""),
        "skipped": (0, "skipped", "operator"),
        "rescheduled": (5, "done", ""),
        "patience": (0, "done", "person"),
        "w": (0, "skipped", "operator"),
    }


def test_nothing_is_run_while_it_is_suspended_but_it_is_skipped() -> None:
    world = world_of(new=[comment("it", **HOUR)])
    world.suspend()
    assert not world.operate("run_now", "it")
    assert world.operate("skip", "it")
    assert told(world) == {"it": (0, "skipped", "operator")}


# -- visits that are heard of late, or left before they are opened -------------------------------------
KEPT = [comment("kept", on_exit="keep", **HOUR), comment("now", on_exit="run_now", **HOUR), comment("ends")]


def missed() -> Simulator:
    world = world_of(offer=KEPT, won=[comment("hello")])
    world.deaf = True
    world.move("offer")
    world.reach(START + HOURS / 2)
    return world


def test_of_a_visit_that_was_missed_the_effects_of_kept_chains_go_on() -> None:
    world = missed()
    world.move("won")
    world.listen()
    world.reach(START + 2 * HOURS)
    assert told(world, 2) == {
        "kept": (1, "done", ""),
        "now": (0.5, "done", ""),
        "ends": (0.5, "stale", "left_before_start"),
    }
    assert told(world, 3) == {"hello": (0.5, "done", "")}


def test_unless_the_pipeline_has_changed_or_the_record_was_deleted_since() -> None:
    for end in (lambda world: world.change_pipeline("service"), lambda world: world.delete()):
        world = missed()
        world.move("won")
        end(world)
        world.listen()
        world.reach(START + 2 * HOURS)
        assert {outcome for _, outcome, _ in told(world, 2).values()} == {"stale"}
        assert len(told(world, 2)) == 3


def test_a_visit_a_person_begins_is_opened_when_the_grace_is_over() -> None:
    soon, later = comment("soon", after={"minutes": 10}), comment("later", **HOUR)
    world = world_of(HOURS / 2, offer=[comment("it"), soon, later, wait("patience")])
    world.move("offer")
    world.reach(START + HOURS / 4)
    world.client_acts("call")
    world.reach(START + 2 * HOURS)
    assert told(world, 2) == {
        "it": (0.5, "done", ""),
        "soon": (0.5, "done", ""),
        "later": (1, "done", ""),
        "patience": (0.5, "done", "client"),
    }


def test_one_left_before_is_passed_through_as_a_slip_of_the_hand() -> None:
    world = world_of(HOURS / 2, offer=KEPT, new=[comment("again", **HOUR)])
    world.move("offer")
    world.reach(START + HOURS / 4)
    world.move("new")
    world.reach(START + 3 * HOURS)
    assert told(world, 2) == dict.fromkeys(("kept", "now", "ends"), (0.25, "stale", "left_before_start"))
    assert told(world, 3) == {"again": (1.25, "done", "")}


def test_what_a_rule_moves_is_opened_at_once() -> None:
    world = world_of(HOURS, new=[move("on", "offer")], offer=[comment("it")])
    assert told(world, 2) == {"it": (0, "done", "")}


def test_a_record_comes_back_into_the_stage_it_was_deleted_in() -> None:
    world = world_of(new=[comment("it", **HOUR)])
    world.delete()
    world.restore()
    world.reach(START + 2 * HOURS)
    assert told(world) == {"it": (0, "cancelled", "record_deleted")}
    assert told(world, 3) == {"it": (1, "done", "")}
