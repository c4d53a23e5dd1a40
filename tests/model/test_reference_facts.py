"""The reference model against examples worked out by hand: the clock in conditions, facts, triggers."""

from typing import Any

import pytest

from tests.model.reference_values import Json
from tests.model.telling import DAY, HOUR, below, call, control, edit, event, go, journal, move, rule, wait


def waiting(name: str, field: str, op: str, value: Any = None, **more: Any) -> Json:
    condition = {"field": field, "op": op, "value": value}
    return rule(name, condition=condition, if_false="wait", **more)


# ---------------------------------------------------------------- the clock turns a condition


@pytest.mark.parametrize(
    ("field", "op", "value", "due"),
    [
        ("meet_at", "less_or_equal", {"now": None}, "01-08 15:30"),
        ("meet_at", "less_or_equal", {"now": {"days": 2}}, "01-06 15:30"),
        ("meet_at", "less", {"now": {"hours": -24}}, "01-09 15:30"),
        ("meet_at", "less_or_equal", {"today": {"days": 1}}, "01-08 00:00"),
        ("due_on", "less", {"today": {"days": -7}}, "01-16 00:00"),
        ("due_on", "less_or_equal", {"now": {"hours": 1}}, "01-07 23:00"),
        ("due_on", "equal", {"today": {}}, "01-08 00:00"),
    ],
)
def test_the_clock_turns_a_condition_that_is_waited_for(field: str, op: str, value: Json, due: str) -> None:
    dates = {"meet_at": "2026-01-08T15:30", "due_on": "2026-01-08"}
    assert journal([waiting("a", f"record.{field}", op, value)], **dates) == [f"{due} 1 a done"]


def test_a_field_changed_to_a_value_that_is_still_false_moves_the_instant() -> None:
    overdue = waiting("a", "record.due_on", "less", {"today": {"days": -7}})
    filled, moved = (
        edit("2026-01-06T10:00", due_on="2026-01-08"),
        edit("2026-01-15T10:00", due_on="2026-01-09"),
    )
    assert journal([overdue], filled) == ["01-16 00:00 1 a done"]
    assert journal([overdue], filled, moved) == ["01-17 00:00 1 a done"]


def test_the_clock_turns_a_controls_condition() -> None:
    soon = {"field": "record.meet_at", "op": "less_or_equal", "value": {"now": {"hours": 1}}}
    lines = journal([control("c", HOUR, soon)], meet_at="2026-01-05T12:00")
    assert lines == ["01-05 10:00 1 c late", "01-05 11:00 1 c done resolved_late"]


def test_a_condition_that_the_clock_makes_false_again_is_judged_as_the_step_acts() -> None:
    today = waiting("a", "record.due_on", "equal", {"today": {}})
    asleep = [event("2026-01-07T10:00", "suspend"), event("2026-01-09T10:00", "resume")]
    assert journal([today], *asleep, due_on="2026-01-08") == []


def test_a_week_is_of_calendar_days_over_the_change_of_clocks() -> None:
    week = waiting("a", "record.meet_at", "less_or_equal", {"now": {"days": -7}})
    lines = journal(
        [week], meet_at="2026-03-24T12:00+01:00", start="2026-03-24T09:00", until="2026-04-05T00:00"
    )
    assert lines == ["03-31 11:00 1 a done"]  # 12:00 in summer time


# ---------------------------------------------------------------- past


@pytest.mark.parametrize("if_past", ["skip", "fail"])
def test_a_change_that_leaves_the_due_time_as_it_was_moves_nothing(if_past: str) -> None:
    date = {"basis": "record.meet_at", "before": {"days": 1}, "at": "08:00", "if_past": if_past}
    rules = [waiting("a", "record.amount", "is_not_empty", schedule=date)]
    same_day, paid = (
        edit("2026-01-08T10:00", meet_at="2026-01-09T17:00"),
        edit("2026-01-08T11:00", amount="1"),
    )
    assert journal(rules, same_day, paid, meet_at="2026-01-09T09:00") == ["01-08 11:00 1 a done"]


def test_one_that_moves_it_into_the_past_makes_it_past_then() -> None:
    rules = [
        waiting("a", "record.amount", "is_not_empty", schedule={"basis": "record.due_on", "if_past": "skip"})
    ]
    assert journal(rules, edit("2026-01-09T10:00", due_on="2026-01-07"), due_on="2026-01-08") == [
        "01-09 10:00 1 a skipped if_past"
    ]


@pytest.mark.parametrize("word", ["if_past", "if_empty"])
def test_a_control_that_opens_already_resolved_is_not_asked_for_its_deadline(word: str) -> None:
    paid = {"field": "record.amount", "op": "is_not_empty"}
    rules = [control("c", {"basis": "record.due_on", word: "fail"}, paid), below("a", run_if_previous="done")]
    date = {"due_on": "2026-01-02"} if word == "if_past" else {}
    assert journal(rules, amount="1", **date) == ["01-05 09:00 1 c done resolved", "01-05 09:00 1 a done"]


# ---------------------------------------------------------------- results, the stage as a field


def test_a_result_wakes_what_waits_for_it() -> None:
    rules = [
        waiting("a", "steps.w.ended", "equal", "client"),
        waiting("b", "steps.c.state", "equal", "resolved_late"),
        waiting("d", "steps.e.id", "is_not_empty"),
        wait("w", DAY),
        control("c", HOUR, {"field": "record.amount", "op": "is_not_empty"}),
        rule("e", schedule={"after": {"hours": 3}}),
    ]
    assert journal(rules, call("2026-01-05T10:30"), edit("2026-01-05T11:00", amount="1")) == [
        "01-05 10:00 1 c late",
        "01-05 10:30 1 w done client",
        "01-05 10:30 1 a done",
        "01-05 11:00 1 c done resolved_late",
        "01-05 11:00 1 b done",
        "01-05 12:00 1 e done",
        "01-05 12:00 1 d done",
    ]


def test_results_are_those_of_the_same_visit() -> None:
    rules = [rule("e"), rule("a", condition={"field": "steps.e.id", "op": "is_empty"}, if_false="wait")]
    assert journal(rules, move("2026-01-05T10:00", "work")) == [
        "01-05 09:00 1 e done",
        "01-05 10:00 1 a cancelled left_stage",
    ]


def test_a_kept_step_may_wait_for_the_stage_itself() -> None:
    rules = [waiting("a", "record.stage", "equal", "won", on_exit="keep")]
    moves = [move("2026-01-05T10:00", "work"), move("2026-01-05T11:00", "won")]
    assert journal(rules, *moves) == ["01-05 11:00 1 a done"]


# ---------------------------------------------------------------- employees


ANN = {"ann": {"absences": [["2026-01-05T09:00+01:00", "2026-01-07T20:00+01:00"]]}}
ON_DUTY = {"on_duty": True}


@pytest.mark.parametrize(
    ("schedule", "due"),
    [
        (ON_DUTY, "01-07 20:00"),
        (ON_DUTY | {"working_time": True}, "01-08 09:00"),
        (ON_DUTY | {"on_duty_cap": {"hours": 5}}, "01-05 14:00"),
        (ON_DUTY | {"after": {"days": 4}}, "01-09 09:00"),
    ],
)
def test_on_duty_waits_until_the_responsible_is_not_absent(schedule: Json, due: str) -> None:
    assert journal([rule("a", schedule=schedule)], also={"people": ANN}) == [f"{due} 1 a done"]


def test_a_pending_step_follows_absences_and_the_responsible() -> None:
    away = event("2026-01-05T10:00", "absence", who="ben", **{"from": "2026-01-06", "to": "2026-01-06"})
    away |= {"from": "2026-01-06T00:00+01:00", "to": "2026-01-07T00:00+01:00"}
    people: Json = {"people": ANN | {"ben": {"absences": []}}}
    rules = [rule("a", schedule=ON_DUTY | DAY)]
    handed = event("2026-01-05T11:00", "responsible", who="ben")
    assert journal(rules, handed, also=people) == ["01-06 09:00 1 a done"]
    assert journal(rules, away, handed, also=people) == ["01-07 00:00 1 a done"]


# ---------------------------------------------------------------- activities of clients, triggers


def trigger(name: str, stage: str, on: str = "client_activity", **more: Any) -> Json:
    return {"id": name, "on": on, "only": [], "stage": stage, **more}


def test_a_trigger_moves_and_then_a_waits_own_move_is_not_made() -> None:
    rules = {"new": [wait("w", DAY, on_client={"move_to": "lost"}), below("a")], "work": [rule("b")]}
    lines = journal(rules, call("2026-01-05T10:00"), also={"triggers": [trigger("t", "work", only=["call"])]})
    assert lines == [
        "01-05 10:00 1 w done client",
        "01-05 10:00 1 a cancelled left_stage",
        "01-05 10:00 2 b done",
    ]


def test_a_clients_own_activity_ends_waits_of_closed_records_but_triggers_move_open_ones() -> None:
    rules = {"new": [wait("w", DAY)], "won": [wait("x", DAY)], "lost": [rule("z")]}
    bound = call("2026-01-05T12:00") | {"bound": "client"}
    triggers = {"triggers": [trigger("t", "lost", direction="any")]}
    assert journal(rules, bound, also=triggers) == ["01-05 12:00 1 w done client", "01-05 12:00 2 z done"]
    assert journal(rules, move("2026-01-05T11:00", "won"), bound, also=triggers) == [
        "01-05 11:00 1 w cancelled closed",
        "01-05 12:00 2 x done client",
    ]


@pytest.mark.parametrize(
    ("more", "visits"),
    [
        ({}, [1, 2, 3]),  # forward, from process stages only
        ({"direction": "any"}, [1, 2, 3, 4]),
        ({"direction": "any", "once": "per_record"}, [1, 2, 3]),
        ({"direction": "any", "cool_down": {"hours": 3}}, [1, 2, 3]),
    ],
)
def test_direction_once_and_cool_down(more: Json, visits: list[int]) -> None:
    rules = {stage: [rule(f"{stage}-a")] for stage in ("new", "work", "won")}
    events = [call("2026-01-05T10:00", "c1"), move("2026-01-05T11:00", "won"), call("2026-01-05T12:00", "c2")]
    lines = journal(rules, *events, also={"triggers": [trigger("t", "work", **more)]})
    assert [int(line.split()[2]) for line in lines] == visits


def test_a_trigger_of_an_edit_moves_in_one_with_it() -> None:
    paid = trigger("t", "won", "field_changed", only=["amount"])
    rules = {"new": [waiting("a", "record.amount", "is_not_empty")], "won": [rule("b")]}
    assert journal(rules, edit("2026-01-05T10:00", amount="1"), also={"triggers": [paid]}) == [
        "01-05 10:00 1 a cancelled closed",
        "01-05 10:00 2 b done",
    ]


def test_a_trigger_of_a_rules_edit_has_the_place_of_the_rule() -> None:
    sets = {"set": [{"field": "amount", "value": "1"}]}
    rules = [
        rule("e", "edit_record", params=sets, schedule=HOUR),
        go("t", "lost", schedule=HOUR),
        rule("a", schedule=HOUR),
    ]
    triggers = [trigger("t", "won", "field_changed", only=["amount"])]
    assert journal({"new": rules, "won": [rule("b")]}, also={"triggers": triggers}) == [
        "01-05 10:00 1 e done",
        "01-05 10:00 1 a done",
        "01-05 10:00 1 t superseded",
        "01-05 10:00 2 b done",
    ]
