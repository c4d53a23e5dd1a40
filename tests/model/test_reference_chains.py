"""The reference model against examples worked out by hand: chains, holds, transitions, leaving."""

from typing import Any

import pytest

from tests.model.telling import (
    DAY,
    HOUR,
    below,
    call,
    control,
    edit,
    event,
    go,
    journal,
    move,
    rule,
    task,
    wait,
)


def test_a_chain_goes_on_from_the_end_of_the_rule_above() -> None:
    rules = [rule("a", schedule=HOUR), below("b", schedule=HOUR), rule("c")]
    assert journal(rules) == ["01-05 09:00 1 c done", "01-05 10:00 1 a done", "01-05 11:00 1 b done"]


def test_run_if_previous_skips_and_the_chain_goes_on() -> None:
    never = {"field": "record.amount", "op": "is_not_empty"}
    rules = [
        rule("a", condition=never),
        below("b", run_if_previous="done"),
        below("c", run_if_previous="done_or_skipped"),
    ]
    assert journal(rules) == [
        "01-05 09:00 1 a skipped condition",
        "01-05 09:00 1 b skipped run_if_previous",
        "01-05 09:00 1 c done",
    ]


def test_an_inactive_rule_drops_out_and_its_chain_keeps_its_on_exit() -> None:
    rules = [rule("a", active=False, on_exit="keep"), below("b", schedule=DAY)]
    assert journal(rules, move("2026-01-05T10:00", "work")) == ["01-06 09:00 1 b done"]


def test_setting_the_stage_to_its_present_value_is_not_an_entry() -> None:
    assert journal([rule("a")], move("2026-01-05T10:00", "new")) == ["01-05 09:00 1 a done"]


def test_what_is_due_comes_before_what_happens() -> None:
    assert journal([rule("a", schedule=HOUR)], move("2026-01-05T10:00", "work")) == ["01-05 10:00 1 a done"]


@pytest.mark.parametrize(("target", "reason"), [("work", "left_stage"), ("won", "closed")])
def test_leaving_cancels(target: str, reason: str) -> None:
    lines = journal([rule("a", schedule=DAY), below("b")], move("2026-01-05T10:00", target))
    assert lines == [f"01-05 10:00 1 a cancelled {reason}", f"01-05 10:00 1 b cancelled {reason}"]


def test_keep_goes_on_over_a_transition_but_not_below_a_wait_that_has_not_ended() -> None:
    rules = [
        rule("a", schedule=DAY, on_exit="keep"),
        below("t", "change_stage", params={"stage": "lost"}),
        below("b", run_if_previous="done"),
        below("c", schedule=HOUR),
        {**wait("w", DAY), "after_previous": True},
        below("d"),
    ]
    assert journal(rules, move("2026-01-05T10:00", "work")) == [
        "01-05 10:00 1 t cancelled left_stage",
        "01-05 10:00 1 w cancelled left_stage",
        "01-05 10:00 1 d cancelled left_stage",
        "01-06 09:00 1 a done",
        "01-06 09:00 1 b skipped run_if_previous",
        "01-06 10:00 1 c done",
    ]


def test_run_now_runs_the_rest_at_once_and_in_order() -> None:
    rules = [
        wait("w", DAY, on_exit="run_now"),
        below("a", schedule=DAY),
        below("b", if_false="wait", condition={"field": "record.amount", "op": "greater", "value": 5}),
        below("c", run_if_previous="done"),
    ]
    assert journal(rules, move("2026-01-05T10:00", "work"), amount="5") == [
        "01-05 10:00 1 w cancelled left_stage",
        "01-05 10:00 1 a done",
        "01-05 10:00 1 b skipped condition",
        "01-05 10:00 1 c skipped run_if_previous",
    ]


def test_the_client_or_the_time_ends_a_wait_and_the_chain_goes_on() -> None:
    rules = [wait("w", DAY, ends_on=["call"]), below("a"), wait("x", DAY, ends_on=["email"]), below("b")]
    lines = journal(rules, call("2026-01-05T10:00"), call("2026-01-05T10:00"))
    assert lines == [
        "01-05 10:00 1 w done client",
        "01-05 10:00 1 a done",
        "01-06 09:00 1 x done time",
        "01-06 09:00 1 b done",
    ]


def test_a_marker_and_a_control_hold_nothing_up() -> None:
    rules = [
        wait("m", DAY, mode="marker", on_exit="keep"),
        {**control("c", {"after": {"days": 2}}), "after_previous": True},
        below("a", run_if_previous="done", schedule={"after": {"days": 3}}),
    ]
    assert journal(rules, move("2026-01-07T10:00", "work")) == [
        "01-06 09:00 1 m done time",
        "01-07 09:00 1 c late",
        "01-07 10:00 1 c done resolved_late",
        "01-08 09:00 1 a done",
    ]


@pytest.mark.parametrize(("if_past", "line"), [("run_now", "done time"), ("skip", "skipped if_past")])
def test_a_wait_whose_end_is_past_as_it_opens(if_past: str, line: str) -> None:
    rules = [wait("w", {"basis": "record.due_on", "if_past": if_past}), below("a")]
    assert journal(rules, due_on="2026-01-02") == [f"01-05 09:00 1 w {line}", "01-05 09:00 1 a done"]


def test_an_open_waits_end_follows_its_date() -> None:
    rules = [wait("w", {"basis": "record.due_on", "if_past": "fail"})]
    assert journal(rules, edit("2026-01-06T10:00", due_on="2026-01-02"), due_on="2026-01-20") == [
        "01-06 10:00 1 w done time"
    ]


def test_a_control_ends_when_its_condition_holds_or_without_it_as_the_stage_is_left() -> None:
    paid = {"field": "record.amount", "op": "equal", "value": 0}
    rules = [control("a", DAY, paid), control("b", DAY), control("c", DAY, {"not": paid})]
    events = [edit("2026-01-06T10:00", amount="0"), move("2026-01-06T11:00", "work")]
    assert journal(rules, *events, amount="9") == [
        "01-05 09:00 1 c done resolved",
        "01-06 09:00 1 a late",
        "01-06 09:00 1 b late",
        "01-06 10:00 1 a done resolved_late",
        "01-06 11:00 1 b done resolved_late",
    ]


def test_a_control_left_before_its_condition_holds_is_given_up() -> None:
    rules = [control("a", DAY, {"field": "record.amount", "op": "is_not_empty"})]
    assert journal(rules, move("2026-01-05T10:00", "won")) == ["01-05 10:00 1 a cancelled closed"]


def test_a_transition_acts_last_and_the_first_in_the_list_wins() -> None:
    rules = {
        "new": [go("t", "work", schedule=HOUR), go("u", "lost", schedule=HOUR), rule("a", schedule=HOUR)],
        "work": [rule("b")],
    }
    assert journal(rules) == [
        "01-05 10:00 1 a done",
        "01-05 10:00 1 t done",
        "01-05 10:00 1 u superseded",
        "01-05 10:00 2 b done",
    ]


def test_a_transition_that_moves_nothing_ends_nothing() -> None:
    false = {"field": "record.amount", "op": "is_not_empty"}
    pipeline = rule("q", "change_pipeline", params={"pipeline": "p"})
    rules = [go("t", "new"), below("a"), go("u", "work", condition=false), pipeline, rule("b", schedule=HOUR)]
    assert journal(rules) == [
        "01-05 09:00 1 t done",
        "01-05 09:00 1 a done",
        "01-05 09:00 1 u skipped condition",
        "01-05 09:00 1 q failed wrong_pipeline",
        "01-05 10:00 1 b done",
    ]


def test_a_transition_that_waits_for_its_condition_is_not_superseded() -> None:
    cond = {"field": "record.amount", "op": "is_not_empty"}
    rules = [go("t", "lost", condition=cond, if_false="wait"), go("u", "work", schedule=HOUR)]
    assert journal(rules) == ["01-05 10:00 1 u done", "01-05 10:00 1 t cancelled left_stage"]


def test_a_waits_time_out_moves_as_a_transition_at_its_place() -> None:
    rules = {
        "new": [
            wait("w", HOUR, on_timeout={"move_to": "lost"}, on_exit="keep"),
            below("a"),
            go("t", "work", schedule=HOUR),
        ],
        "lost": [rule("b")],
    }
    assert journal(rules) == [
        "01-05 10:00 1 w done time",
        "01-05 10:00 1 t superseded",
        "01-05 10:00 1 a done",
        "01-05 10:00 2 b done",
    ]


def test_of_several_waits_ended_by_the_client_the_topmost_moves() -> None:
    rules = [
        wait("w", DAY, on_client={"move_to": "work"}),
        below("a"),
        wait("x", DAY, on_client={"move_to": "lost"}),
    ]
    assert journal(rules, call("2026-01-05T10:00")) == [
        "01-05 10:00 1 w done client",
        "01-05 10:00 1 x done client",
        "01-05 10:00 1 a cancelled left_stage",
    ]


def test_a_pipeline_change_ends_kept_steps_too_and_lands_by_meaning() -> None:
    rules = {
        "new": [rule("a", schedule=DAY, on_exit="keep")],
        "won": [control("c", DAY)],
        "o-won": [rule("z")],
    }
    events = [
        move("2026-01-05T10:00", "won"),
        event("2026-01-05T11:00", "change_pipeline", pipeline="other", stage=None),
    ]
    assert journal(rules, *events) == [
        "01-05 11:00 1 a cancelled pipeline_changed",
        "01-05 11:00 2 c cancelled pipeline_changed",
        "01-05 11:00 3 z done",
    ]


def test_nothing_happens_after_deletion() -> None:
    rules = [rule("d", "delete_record", schedule=HOUR), rule("a", schedule=DAY, on_exit="keep")]
    assert journal(rules, move("2026-01-05T11:00", "work")) == [
        "01-05 10:00 1 d done",
        "01-05 10:00 1 a cancelled record_deleted",
    ]


@pytest.mark.parametrize(
    ("repeat", "visits"),
    [("every_visit", [1, 3, 5]), ("once_per_record", [1]), ({"not_within": {"hours": 2}}, [1, 3])],
)
def test_repeat_counts_what_was_done_in_other_visits(repeat: Any, visits: list[int]) -> None:
    moves = [("09:10", "work"), ("11:00", "new"), ("11:10", "work"), ("12:00", "new")]
    lines = journal([rule("a", repeat=repeat)], *[move(f"2026-01-05T{at}", stage) for at, stage in moves])
    assert [int(line.split()[2]) for line in lines if line.endswith("done")] == visits
    assert len(lines) == 3


def test_the_loop_guard_stops_a_record_that_moves_for_ever() -> None:
    always = {"field": "record.amount", "op": "is_not_empty"}
    rules = {"new": [go("t", "work", condition=always)], "work": [go("u", "new", condition=always)]}
    assert len(journal(rules, amount="1")) == 10


def test_a_chain_waits_for_its_task_until_it_ends_or_the_time_is_out() -> None:
    ended = event("2026-01-05T10:30", "task", rule="measure")
    assert journal([task("measure"), below("then")], ended, ended) == [
        "01-05 10:30 1 measure done", "01-05 10:30 1 then done",
    ]  # fmt: skip
    assert journal([task("measure"), below("then")]) == [
        "01-05 13:00 1 measure done", "01-05 13:00 1 then done",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("on_exit", "then"),
    [("cancel", "cancelled left_stage"), ("keep", "cancelled left_stage"), ("run_now", "done")],
)
def test_left_meanwhile_the_task_exists_and_its_chain_follows_on_exit(on_exit: str, then: str) -> None:
    listed = [task("measure", on_exit=on_exit), below("then", schedule=DAY)]
    assert journal(listed, move("2026-01-05T10:00", "work")) == [
        "01-05 10:00 1 measure done", f"01-05 10:00 1 then {then}",
    ]  # fmt: skip


def test_a_kept_step_that_makes_its_task_later_waits_for_it_too() -> None:
    listed = [task("measure", schedule=HOUR, on_exit="keep"), below("then")]
    assert journal(listed, move("2026-01-05T09:30", "work")) == [
        "01-05 14:00 1 measure done", "01-05 14:00 1 then done",
    ]  # fmt: skip
