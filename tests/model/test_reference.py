"""The reference model against examples that were worked out by hand: schedules and conditions."""

import ast
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.model.reference_values import Json
from tests.model.telling import DAY, edit, journal, rule

PARTS = ("reference.py", "reference_steps.py", "reference_values.py")


def test_the_reference_and_its_tests_import_nothing_of_the_product() -> None:
    own = {"tests.model." + name.removesuffix(".py") for name in (*PARTS, "telling.py")} | {"tests.model"}
    tests = [path.name for path in Path(__file__).parent.glob("test_reference*.py")]
    for name in (*PARTS, "telling.py", *tests):
        tree = ast.parse(Path(__file__).with_name(name).read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0
                names = [node.module or ""]
            for found in names:
                foreign = found == "pytest" and name in tests
                assert found in own or foreign or found.partition(".")[0] in sys.stdlib_module_names, found


def test_no_part_of_the_reference_model_has_more_than_700_lines_and_all_have_at_most_1200() -> None:
    lines = [len(Path(__file__).with_name(name).read_text(encoding="utf-8").splitlines()) for name in PARTS]
    assert max(lines) <= 700
    assert sum(lines) <= 1200


@pytest.mark.parametrize(
    ("basis", "offset", "due"),
    [
        ("2026-01-09T17:00", {"after": {"hours": 2}}, "01-12 10:00"),
        ("2026-01-09T16:00", {"after": {"hours": 2}}, "01-09 18:00"),
        ("2026-01-10T12:00", {"after": {"days": 1}}, "01-12 12:00"),
        ("2026-01-09T20:00", {"after": {"days": 1}}, "01-13 09:00"),
        ("2026-01-12T10:00", {"before": {"days": 1}}, "01-09 10:00"),
        ("2026-01-12T10:00", {"before": {"hours": 2}}, "01-09 17:00"),
        ("2026-01-12T13:00", {}, "01-12 14:00"),
        ("2026-01-12T12:00", {}, "01-12 12:00"),
        ("2026-01-10T12:00", {"after": {"days": 1}, "at": "18:30"}, "01-13 09:00"),
        ("2026-01-09T17:30", {"after": {"minutes": 60}}, "01-12 09:30"),
    ],
)
def test_working_time(basis: str, offset: Json, due: str) -> None:
    schedule = {"basis": "record.meet_at", "working_time": True, **offset}
    assert journal([rule("a", schedule=schedule)], meet_at=basis) == [f"{due} 1 a done"]


def test_a_holiday_is_no_working_day() -> None:
    schedule = {"after": {"days": 2}, "working_time": True}
    assert journal([rule("a", schedule=schedule)], start="2025-12-31T10:00") == ["01-05 10:00 1 a done"]


def test_days_are_calendar_days_across_the_change_of_clocks() -> None:
    rules = [rule("a", schedule=DAY), rule("b", schedule={"after": {"hours": 24}})]
    lines = journal(rules, start="2026-03-28T09:00", until="2026-04-01T00:00")
    assert lines == ["03-29 08:00 1 a done", "03-29 09:00 1 b done"]


def test_a_clock_time_that_does_not_exist_moves_forward_by_the_gap() -> None:
    lines = journal([rule("a", schedule={"at": "02:30"})], start="2026-03-29T00:30", until="2026-04-01T00:00")
    assert lines == ["03-29 02:30 1 a done"]  # 03:30 in summer time


def test_of_two_equal_clock_times_the_first_counts() -> None:
    lines = journal([rule("a", schedule={"at": "02:30"})], start="2026-10-25T00:30", until="2026-11-01T00:00")
    assert lines == ["10-25 01:30 1 a done"]  # 02:30 in summer time


@pytest.mark.parametrize(
    ("clock", "due"), [("09:00", "01-05 09:00"), ("08:59", "01-06 08:59"), ("17:00", "01-05 17:00")]
)
def test_at_without_an_offset_is_the_next_such_time_that_very_instant_included(clock: str, due: str) -> None:
    assert journal([rule("a", schedule={"at": clock})]) == [f"{due} 1 a done"]


@pytest.mark.parametrize(
    ("policy", "outcome"), [("run_now", "done"), ("skip", "skipped"), ("fail", "failed")]
)
def test_the_past_is_before_the_turn_came(policy: str, outcome: str) -> None:
    rules = [rule("a", schedule={"basis": "record.due_on", "if_past": policy})]
    line = f"01-05 09:00 1 a {outcome} {'' if policy == 'run_now' else 'if_past'}".strip()
    assert journal(rules, due_on="2026-01-05") == [line]


def test_an_empty_date_waits_for_its_value_and_then_follows_it() -> None:
    rules = [rule("a", schedule={"basis": "record.due_on"})]
    lines = journal(
        rules, edit("2026-01-06T10:00", due_on="2026-01-20"), edit("2026-01-07T10:00", due_on="2026-01-09")
    )
    assert lines == ["01-09 00:00 1 a done"]


def test_a_date_moved_into_the_past_is_due_at_once() -> None:
    rules = [rule("a", schedule={"basis": "record.due_on"})]
    lines = journal(rules, edit("2026-01-06T10:00", due_on="2026-01-02"), due_on="2026-01-20")
    assert lines == ["01-06 10:00 1 a done"]


def test_a_condition_waited_for_acts_at_the_edit_that_fulfils_it() -> None:
    rules = [
        rule("a", if_false="wait", condition={"field": "record.amount", "op": "between", "value": [5, 9]})
    ]
    lines = journal(rules, edit("2026-01-06T10:00", amount="4"), edit("2026-01-06T11:00", amount="9"))
    assert lines == ["01-06 11:00 1 a done"]


@pytest.mark.parametrize(
    ("op", "value", "verdict"),
    [
        ("equal", "UTRECHT", True),
        ("not_equal", "utrecht", False),
        ("contains", "TRE", True),
        ("not_contains", "x", True),
        ("starts_with", "ut", True),
        ("in", ["leiden", "utrecht"], True),
        ("not_in", ["leiden", "utrecht"], False),
        ("is_empty", None, False),
        ("is_not_empty", None, True),
    ],
)
def test_texts_compare_without_regard_to_case(op: str, value: Any, verdict: bool) -> None:
    rules = [rule("a", condition={"field": "record.city", "op": op, "value": value})]
    assert journal(rules, city="Utrecht") == [
        "01-05 09:00 1 a " + ("done" if verdict else "skipped condition")
    ]


@pytest.mark.parametrize("op", ["equal", "not_equal", "less", "not_in", "not_contains"])
def test_a_comparison_with_an_empty_value_is_false(op: str) -> None:
    rules = [rule("a", condition={"field": "record.amount", "op": op, "value": [1] if op == "not_in" else 1})]
    assert journal(rules) == ["01-05 09:00 1 a skipped condition"]


def test_a_field_may_be_compared_with_now_and_with_a_field() -> None:
    soon = {"field": "record.meet_at", "op": "less", "value": {"now": {"days": 2}}}
    later = {"field": "record.meet_at", "op": "greater", "value": {"field": "record.due_on"}}
    rules = [rule("a", condition={"all": [soon, later]})]
    lines = journal(rules, meet_at="2026-01-07T08:59", due_on="2026-01-07")
    assert lines == ["01-05 09:00 1 a done"]
