"""The reference model against examples worked out by hand: suspension, operators, what is told late."""

from hashlib import sha256

import pytest

from tests.model.reference_values import Json
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

LARGE = {"field": "record.amount", "op": "greater", "value": 5}


def suspended(*between: Json, since: str = "09:30", till: str = "12:00", scope: str = "record") -> list[Json]:
    """A Monday morning's suspension, and what is told in it."""
    first = event(f"2026-01-05T{since}", "suspend", scope=scope)
    return [first, *between, event(f"2026-01-05T{till}", "resume", scope=scope)]


def told(verb: str, name: str, at: str = "09:10", **more: str) -> Json:
    return event(f"2026-01-05T{at}", "operate", verb=verb, rule=name, **more)


# ---------------------------------------------------------------- suspension


def test_suspended_nothing_acts_and_what_queued_goes_on_with_the_resume() -> None:
    rules = [rule("a", schedule=HOUR), below("b"), wait("w", HOUR), go("t", "work", schedule=HOUR)]
    assert journal(rules, *suspended()) == [
        "01-05 12:00 1 a done",
        "01-05 12:00 1 w done time",
        "01-05 12:00 1 b done",
        "01-05 12:00 1 t done",
    ]


def test_what_queued_longest_goes_first() -> None:
    rules = [rule("a", schedule={"after": {"hours": 2}}), rule("b", schedule=HOUR)]
    assert journal(rules, *suspended()) == ["01-05 12:00 1 b done", "01-05 12:00 1 a done"]


@pytest.mark.parametrize(("period", "line"), [(120, "done"), (119, "skipped too_late")])
def test_what_is_late_by_more_than_its_period_is_dropped(period: int, line: str) -> None:
    rules = [rule("a", schedule=HOUR | {"catch_up": {"drop_if_late": {"minutes": period}}}), below("b")]
    assert journal(rules, *suspended()) == [f"01-05 12:00 1 a {line}", "01-05 12:00 1 b done"]


def test_what_queued_is_spread_by_the_hash_of_its_names() -> None:
    part = int.from_bytes(sha256(b"deal-1/a").digest()[:4], "big") / 2**32
    due = f"01-05 {12 + int(part * 10):02}:{int(part * 600) % 60:02}"
    rules = [rule("a", schedule=HOUR | {"catch_up": {"spread_over": {"hours": 10}}})]
    assert journal(rules, *suspended()) == [f"{due} 1 a done"]


def test_one_rule_may_be_suspended_alone() -> None:
    rules = [rule("a", schedule=HOUR), rule("b", schedule=HOUR)]
    assert journal(rules, *suspended(scope="rule:a")) == ["01-05 10:00 1 b done", "01-05 12:00 1 a done"]


def test_a_step_is_suspended_while_any_cover_is() -> None:
    both = [event("2026-01-05T09:20", "suspend", scope="pipeline:p"), *suspended()]
    later = event("2026-01-05T13:00", "resume", scope="pipeline:p")
    assert journal([rule("a", schedule=HOUR)], *both, later) == ["01-05 13:00 1 a done"]


def test_a_suspended_transition_whose_time_has_come_is_superseded() -> None:
    rules = [go("t", "lost", schedule=HOUR), go("u", "work", schedule={"after": {"hours": 2}})]
    assert journal(rules, *suspended(scope="rule:t")) == [
        "01-05 11:00 1 u done",
        "01-05 11:00 1 t superseded",
    ]


def test_a_client_still_ends_waits_while_suspended_but_moves_nothing() -> None:
    rules = [wait("w", DAY, on_client={"move_to": "work"}), below("a")]
    assert journal(rules, *suspended(call("2026-01-05T10:00"))) == [
        "01-05 10:00 1 w done client",
        "01-05 12:00 1 a done",
    ]


def test_a_condition_and_leaving_end_controls_while_suspended_but_lateness_queues() -> None:
    rules = [control("c", HOUR, LARGE), control("d", HOUR), control("e", {"after": {"days": 9}}, LARGE)]
    lines = journal(rules, *suspended(edit("2026-01-05T11:00", amount="9")), amount="1")
    assert lines == [
        "01-05 11:00 1 c done resolved",
        "01-05 11:00 1 e done resolved",
        "01-05 12:00 1 d late",
    ]


def test_a_person_may_move_a_suspended_record() -> None:
    rules = {"new": [rule("a", schedule=DAY)], "work": [rule("b")]}
    assert journal(rules, *suspended(move("2026-01-05T10:00", "work"))) == [
        "01-05 10:00 1 a cancelled left_stage",
        "01-05 12:00 2 b done",
    ]


def test_an_activity_between_due_and_opening_ends_a_wait_as_it_opens() -> None:
    early = call("2026-01-05T09:40", "early")
    rules = [wait("w", DAY, schedule=HOUR, ends_on=["call"]), below("a")]
    assert journal(rules, *suspended(early, call("2026-01-05T11:00"))) == [
        "01-05 12:00 1 w done client",
        "01-05 12:00 1 a done",
    ]
    assert journal(rules, *suspended(early)) == ["01-06 12:00 1 w done time", "01-06 12:00 1 a done"]


# ---------------------------------------------------------------- loops


def circle() -> dict[str, list[Json]]:
    always = {"field": "record.amount", "op": "is_not_empty"}
    return {"new": [go("t", "work", condition=always)], "work": [go("u", "new", condition=always)]}


def test_after_ten_automatic_moves_within_an_hour_the_next_is_not_made() -> None:
    assert len(journal(circle(), amount="1")) == 10


def test_resuming_sets_the_counts_to_zero_and_what_stayed_goes_on() -> None:
    again = [event("2026-01-05T09:00", "resume"), event("2026-01-05T10:00", "resume")]
    assert len(journal(circle(), *again, amount="1")) == 30


def test_a_move_by_a_person_is_not_counted() -> None:
    moves = [move(f"2026-01-05T10:{n:02}", ("new", "work")[n % 2]) for n in range(1, 13)]
    rules = {"work": [go("t", "lost", schedule=DAY)]}
    assert len(journal(rules, *moves)) == 6


# ---------------------------------------------------------------- operators


def test_run_now_drops_the_delay_and_nothing_else() -> None:
    rules = [rule("a", schedule=DAY, condition=LARGE, if_false="wait")]
    lines = journal(rules, told("run_now", "a"), edit("2026-01-05T11:00", amount="9"), amount="1")
    assert lines == ["01-05 11:00 1 a done"]


def test_run_now_is_refused_while_suspended() -> None:
    assert journal([rule("a", schedule=DAY)], *suspended(told("run_now", "a", "10:00"))) == [
        "01-06 09:00 1 a done"
    ]


def test_skip_ends_a_pending_step_and_the_chain_goes_on() -> None:
    rules = [rule("a", schedule=DAY), below("b", run_if_previous="done"), below("c")]
    assert journal(rules, told("skip", "a"), told("skip", "c", "09:20")) == [
        "01-05 09:10 1 a skipped operator",
        "01-05 09:10 1 b skipped run_if_previous",
        "01-05 09:10 1 c done",
    ]


def test_run_now_and_skip_end_an_open_wait_and_skip_closes_a_control() -> None:
    rules = [wait("w", DAY), wait("x", DAY), control("c", DAY), control("d", {"after": {"hours": 2}})]
    events = [told("run_now", "w"), told("skip", "x"), told("skip", "c"), told("run_now", "d")]
    assert journal(rules, *events) == [
        "01-05 09:10 1 w done person",
        "01-05 09:10 1 x done person",
        "01-05 09:10 1 c skipped operator",
        "01-05 11:00 1 d late",
    ]


def test_a_rescheduled_step_follows_its_facts_no_more() -> None:
    rules = [rule("a", schedule={"basis": "record.due_on"}), rule("b", schedule={"basis": "record.due_on"})]
    new = told("reschedule", "a", due="2026-01-08T09:00+01:00")
    assert journal(rules, new, edit("2026-01-06T09:00", due_on="2026-01-09"), due_on="2026-01-20") == [
        "01-08 09:00 1 a done",
        "01-09 00:00 1 b done",
    ]


def test_a_step_of_an_older_visit_is_named_by_its_number() -> None:
    rules = [rule("a", schedule=DAY, on_exit="keep")]
    away = move("2026-01-05T09:05", "work")
    assert journal(rules, away, told("run_now", "a")) == ["01-06 09:00 1 a done"]
    there: Json = told("run_now", "a") | {"visit": 1}
    assert journal(rules, away, there) == ["01-05 09:10 1 a done"]


# ---------------------------------------------------------------- visits missed, a slip of the hand


@pytest.mark.parametrize(
    ("on_exit", "lines"),
    [
        ("cancel", ["10:00 2 a stale left_before_start", "10:00 2 b stale left_before_start"]),
        ("keep", ["11:00 2 a done", "11:00 2 b done"]),
        ("run_now", ["10:00 2 a done", "10:00 2 b done"]),
    ],
)
def test_of_a_visit_that_is_missed_only_kept_effects_go_on(on_exit: str, lines: list[str]) -> None:
    rules = {"work": [rule("a", schedule=HOUR, on_exit=on_exit), below("b")]}
    passed = event("2026-01-05T10:00", "move", through=["work"], stage="won")
    assert journal(rules, passed) == [f"01-05 {line}" for line in lines]


def test_holds_and_transitions_of_a_missed_visit_are_cancelled() -> None:
    rules = {"work": [rule("a", on_exit="keep"), {**wait("w", DAY), "after_previous": True}, below("b")]}
    rules["work"] += [go("t", "lost", on_exit="run_now", schedule=HOUR), below("c")]
    assert journal(rules, event("2026-01-05T10:00", "move", through=["work"], stage="won")) == [
        "01-05 10:00 2 w cancelled closed",
        "01-05 10:00 2 b cancelled closed",
        "01-05 10:00 2 t cancelled closed",
        "01-05 10:00 2 a done",
        "01-05 10:00 2 c done",
    ]


@pytest.mark.parametrize("last", ["delete", "change_pipeline"])
def test_nothing_of_a_missed_visit_goes_on_over_a_deletion_or_a_pipeline_change(last: str) -> None:
    rules = {"work": [rule("a", on_exit="keep")]}
    gone = event("2026-01-05T10:00", last, through=["work"], pipeline="other", stage=None)
    lines = journal(rules, gone)
    assert [line.split()[3:5] for line in lines] == [["a", "cancelled"]]


def test_a_visit_that_a_persons_move_begins_opens_after_the_grace() -> None:
    rules = {"new": [rule("z")], "work": [rule("a"), rule("b", schedule=HOUR)]}
    assert journal(rules, move("2026-01-05T10:00", "work"), also={"grace": {"minutes": 10}}) == [
        "01-05 09:00 1 z done",
        "01-05 10:10 2 a done",
        "01-05 11:00 2 b done",
    ]


def test_a_visit_left_within_the_grace_is_a_slip_of_the_hand() -> None:
    rules = {"work": [rule("a", on_exit="keep"), rule("b")]}
    moves = [move("2026-01-05T10:00", "work"), move("2026-01-05T10:09", "new")]
    assert journal(rules, *moves, also={"grace": {"minutes": 10}}) == [
        "01-05 10:09 2 a stale left_before_start",
        "01-05 10:09 2 b stale left_before_start",
    ]


# ---------------------------------------------------------------- set together with a move, restored


def test_what_is_set_together_with_a_move_is_a_fact_of_the_stage_entered() -> None:
    date = {"basis": "record.due_on", "if_past": "fail"}
    rules = {
        "new": [
            rule("a", schedule=date),
            rule("b", condition=LARGE, if_false="wait"),
            control("c", DAY, LARGE),
        ],
        "work": [rule("d", condition=LARGE)],
    }
    both = event("2026-01-05T10:00", "edit", fields={"amount": "9", "due_on": "2026-01-02"}, stage="work")
    assert journal(rules, both, amount="1", due_on="2026-01-20") == [
        "01-05 10:00 1 a cancelled left_stage",
        "01-05 10:00 1 b cancelled left_stage",
        "01-05 10:00 1 c cancelled left_stage",
        "01-05 10:00 2 d done",
    ]


def test_what_is_kept_follows_what_is_set_together_with_the_move() -> None:
    rules = [rule("a", schedule={"basis": "record.due_on"}, on_exit="keep")]
    both = event("2026-01-05T10:00", "edit", fields={"due_on": "2026-01-09"}, stage="work")
    assert journal(rules, both, due_on="2026-01-20") == ["01-09 00:00 1 a done"]


def test_a_rule_that_edits_a_stage_is_a_transition() -> None:
    sets = [{"field": "amount", "value": "9"}, {"field": "stage", "value": "work"}]
    rules = [
        rule("t", "edit_record", params={"set": sets}, schedule=HOUR),
        rule("a", schedule=HOUR, condition=LARGE),
    ]
    assert journal({"new": rules, "work": [rule("b", condition=LARGE)]}) == [
        "01-05 10:00 1 a skipped condition",
        "01-05 10:00 1 t done",
        "01-05 10:00 2 b done",
    ]


def test_restoring_enters_the_stage_it_was_deleted_in() -> None:
    deleted, back = event("2026-01-05T10:00", "delete"), event("2026-01-05T12:00", "restore")
    ignored = edit("2026-01-05T11:00", amount="9")
    rules = [rule("a", schedule=DAY), rule("b", repeat="once_per_pipeline_pass"), rule("c", condition=LARGE)]
    assert journal(rules, deleted, ignored, back) == [
        "01-05 09:00 1 b done",
        "01-05 09:00 1 c skipped condition",
        "01-05 10:00 1 a cancelled record_deleted",
        "01-05 12:00 2 b skipped repeat",
        "01-05 12:00 2 c skipped condition",
        "01-06 12:00 2 a done",
    ]


def test_a_task_that_a_missed_visit_kept_is_waited_for() -> None:
    rules = {"work": [task("measure", on_exit="keep"), below("then")]}
    passed = event("2026-01-05T10:00", "move", through=["work"], stage="won")
    assert journal(rules, passed) == ["01-05 14:00 2 measure done", "01-05 14:00 2 then done"]
