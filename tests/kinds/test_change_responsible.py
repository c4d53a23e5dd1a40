"""Row 19: another employee is responsible, chosen by a strategy; both people are told."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from domain.errors import Refused
from tests import builders
from tests.builders import NOON
from tests.kinds.conftest import Desk, refused_on_save

SALES: dict[str, Any] = {"candidates": ["department:sales"]}  # ada, ben, hugo
DAY = timedelta(days=1)


async def absent(desk: Desk, *employees: str) -> None:
    for employee in employees:
        await desk.run(lambda tx, who=employee: builders.absence(tx, who, NOON - DAY, NOON + DAY))


async def chosen(desk: Desk, record: int, **how: Any) -> Any:
    return (await desk.does(record, "change_responsible", **how)).results["new"]


async def refusal(desk: Desk, record: int, **how: Any) -> str:
    with pytest.raises(Refused) as refused:
        await desk.does(record, "change_responsible", **how)
    assert refused.value.reason == "nobody_eligible"
    return refused.value.message


async def test_the_record_gets_a_new_responsible_and_both_people_are_told(desk: Desk) -> None:
    deal = await desk.deal(responsible="ada")
    done = await desk.does(deal, "change_responsible", rule="hand-on", candidates=["employee:ben"])
    assert done.results == {"old": "ada", "new": "ben"}
    assert {"record.responsible", "responsible", "responsible.email"} <= set(done.changed)
    assert (await desk.record(deal))["responsible_id"] == "ben"
    told = {row["employee_id"]: row["body"] for row in await desk.rows("notification")}
    assert told == {
        "ben": "You are responsible for 'A roof for Klein' now",
        "ada": "Ben is responsible for 'A roof for Klein' now",
    }
    assert ("edited", "hand-on", "system", {"responsible": ["ada", "ben"]}) in await desk.journal(deal)


async def test_round_robin_gives_everybody_their_turn_also_over_records(desk: Desk) -> None:
    turns = [await chosen(desk, await desk.deal(responsible=None), **SALES) for _ in range(5)]
    assert turns == ["ada", "ben", "hugo", "ada", "ben"]
    await absent(desk, "hugo")
    assert await chosen(desk, await desk.deal(), **SALES) == "ada"
    other = [await chosen(desk, await desk.deal(responsible=None), rule="other", **SALES) for _ in range(2)]
    assert other == ["ada", "ben"]


async def test_turns_are_given_once_though_many_records_ask_at_once(desk: Desk) -> None:
    deals = [await desk.deal(responsible=None) for _ in range(30)]
    given = await asyncio.gather(*(chosen(desk, deal, **SALES) for deal in deals))
    assert Counter(given) == {"ada": 10, "ben": 10, "hugo": 10}


async def test_first_available_keeps_the_order_written_and_skips_who_is_absent(desk: Desk) -> None:
    written = {"candidates": ["employee:hugo", "department:sales"], "strategy": "first_available"}
    assert await chosen(desk, await desk.deal(), **written) == "hugo"
    await absent(desk, "hugo")
    assert await chosen(desk, await desk.deal(responsible=None), **written) == "ada"
    assert await chosen(desk, await desk.deal(), **written, skip_absent=False) == "hugo"


async def test_least_loaded_counts_the_open_records_alone(desk: Desk) -> None:
    for responsible, stage, deleted in (
        ("ada", "new", None), ("ada", "offer", None), ("ben", "new", None), ("ben", "won", None),
        ("hugo", "new", None), ("hugo", "new", None), ("ben", "new", NOON),
    ):  # fmt: skip
        await desk.deal(responsible=responsible, stage=stage, deleted_at=deleted)
    assert await chosen(desk, await desk.deal(responsible=None), **SALES, strategy="least_loaded") == "ben"


async def test_random_chooses_among_the_eligible(desk: Desk) -> None:
    await absent(desk, "hugo")
    given = {
        await chosen(desk, await desk.deal(responsible=None), **SALES, strategy="random") for _ in range(40)
    }
    assert given == {"ada", "ben"}


async def test_who_is_off_duty_is_skipped_where_that_is_asked(desk: Desk) -> None:
    at_night = {"zone": "Europe/Paris", "week": {"mon": ["20:00-23:00"]}}
    await desk.run(lambda tx: builders.calendar_of(tx, "night", at_night))
    await desk.run("update employee set calendar_id = 'night' where id in ('ada', 'ben')")
    # 12:00 UTC is 13:00 in Paris, when the office has its break
    assert "Hugo is off duty" in await refusal(desk, await desk.deal(), **SALES, skip_off_duty=True)
    evening = NOON.replace(hour=20)
    deal = await desk.deal(responsible=None)
    assert await chosen(desk, deal, **SALES, skip_off_duty=True, now=evening) == "ada"


async def test_nobody_eligible_keeps_the_responsible_and_says_why_of_each(desk: Desk) -> None:
    await absent(desk, "ben")
    await desk.run(
        lambda tx: builders.employee(tx, "gone", active=False), lambda tx: builders.department(tx, "empty")
    )
    deal = await desk.deal(responsible="ada")
    candidates = ["employee:gone", "employee:ben", "department:empty", "employee:nobody"]
    why = await refusal(desk, deal, candidates=candidates)
    assert why == (
        "nobody is eligible: Gone is inactive; Ben is absent; "
        "department:empty names nobody; employee:nobody names nobody"
    )
    assert (await desk.record(deal))["responsible_id"] == "ada"
    assert await desk.rows("notification") == []


async def test_who_is_responsible_already_stays_so_and_nobody_is_told(desk: Desk) -> None:
    deal = await desk.deal(responsible="ada")
    done = await desk.does(deal, "change_responsible", candidates=["employee:ada"])
    assert (done.results, done.changed) == ({"old": "ada", "new": "ada"}, ())
    assert await desk.rows("notification") == []


async def test_open_todos_are_handed_over_where_that_is_asked(desk: Desk) -> None:
    deal, other = await desk.deal(responsible="ada"), await desk.deal(responsible="ada")
    for record, subject in ((deal, "Call"), (deal, "Done"), (other, "Elsewhere")):
        await desk.does(record, "create_todo", subject=subject)
    await desk.does(deal, "create_todo", subject="Hers", responsible="eve")
    await desk.run("update todo set completed_at = created_at, completed_by = 'ada' where subject = 'Done'")
    await desk.does(deal, "change_responsible", candidates=["employee:ben"], hand_over=["todos"])
    whose = {row["subject"]: row["employee_id"] for row in await desk.rows("todo")}
    assert whose == {"Call": "ben", "Done": "ada", "Elsewhere": "ada", "Hers": "eve"}


async def test_open_tasks_are_handed_over_where_that_is_asked(desk: Desk) -> None:
    deal = await desk.deal(responsible="ada")
    for name, assignee in (("Measure", "ada"), ("Done", "ada"), ("Hers", "eve")):
        await desk.does(deal, "create_task", rule=name.lower(), name=name, assignee=assignee)
    await desk.run("update task set ended_at = created_at, ended_how = 'completed' where name = 'Done'")
    await desk.does(deal, "create_todo", subject="Call", responsible="ada")
    await desk.does(deal, "change_responsible", candidates=["employee:ben"], hand_over=["tasks"])
    whose = {row["name"]: row["assignee_id"] for row in await desk.rows("task")}
    assert whose == {"Measure": "ben", "Done": "ada", "Hers": "eve"}
    handed = await desk.row("task_line", "event = 'handed_over'")
    assert handed["detail"] == {"from": "ada", "to": "ben"}
    assert (await desk.row("todo"))["employee_id"] == "ada"


async def test_a_record_without_a_responsible_gets_one(desk: Desk) -> None:
    done = await desk.does(
        await desk.deal(responsible=None), "change_responsible", candidates=["employee:ben"]
    )
    assert done.results == {"old": None, "new": "ben"}
    assert [row["employee_id"] for row in await desk.rows("notification")] == ["ben"]


def test_what_is_refused_on_save() -> None:
    wrong = refused_on_save(
        "change_responsible", candidates=["employee:bob", "responsible", "ada", "department:sales"]
    )
    assert set(wrong) == {"/candidates/0", "/candidates/1", "/candidates/2"}
    assert "/candidates" in refused_on_save("change_responsible", candidates=[])
    assert "/strategy" in refused_on_save("change_responsible", candidates=["employee:ada"], strategy="best")
