"""Recipients: resolved when the step runs, each once, in the order written."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest
from sqlalchemy import event

from activities.recipients import employees, problems, supervisor
from tests import builders
from tests.builders import NOON
from tests.kinds.conftest import Desk, setting

DAY = timedelta(days=1)


async def meant(desk: Desk, record: int, written: Sequence[str], *, skip_absent: bool = False) -> list[str]:
    async with desk.locked(record) as locked:
        return [e.id for e in await employees(locked, written, NOON, skip_absent=skip_absent)]


async def above(desk: Desk, record: int) -> str | None:
    async with desk.locked(record) as locked:
        found = await supervisor(locked, NOON)
        return found.id if found else None


async def away(desk: Desk, *people: str) -> None:
    for person in people:
        await desk.run(lambda tx, who=person: builders.absence(tx, who, NOON - DAY, NOON + DAY))


async def test_the_words_and_who_is_meant(desk: Desk) -> None:
    deal = await desk.deal(responsible="ada")
    assert await meant(desk, deal, ["responsible"]) == ["ada"]
    assert await meant(desk, deal, ["supervisor"]) == ["hugo"]
    assert await meant(desk, deal, ["everybody"]) == ["ada", "ben", "eve", "hugo"]
    assert await meant(desk, deal, ["department:sales"]) == ["ada", "ben", "hugo"]
    assert await meant(desk, deal, ["department:board"]) == ["eve"], "not those of the departments below"
    assert await meant(desk, deal, ["employee:eve", "employee:ben"]) == ["eve", "ben"]


async def test_the_order_is_the_one_written_and_nobody_comes_twice(desk: Desk) -> None:
    deal = await desk.deal(responsible="ben")
    written = ["employee:hugo", "responsible", "department:sales", "supervisor", "employee:ben"]
    assert await meant(desk, deal, written) == ["hugo", "ben", "ada"]


async def test_inactive_and_unknown_ones_are_left_out(desk: Desk) -> None:
    await desk.run(lambda tx: builders.employee(tx, "zoe", department="sales", active=False))
    deal = await desk.deal(responsible="zoe")
    written = ["responsible", "employee:zoe", "employee:nobody", "department:nowhere", "ada@client.example"]
    assert await meant(desk, deal, written) == []
    assert await meant(desk, deal, ["responsible"]) == []
    assert await meant(desk, deal, ["everybody"]) == ["ada", "ben", "eve", "hugo"]


async def test_absent_ones_are_left_out_where_that_is_asked(desk: Desk) -> None:
    deal = await desk.deal(responsible="ada")
    await away(desk, "ada")
    assert await meant(desk, deal, ["responsible", "employee:ben"], skip_absent=True) == ["ben"]
    assert await meant(desk, deal, ["responsible"], skip_absent=True) == []
    assert await meant(desk, deal, ["responsible"]) == ["ada"]


async def test_an_absence_ends_where_its_end_says(desk: Desk) -> None:
    deal = await desk.deal()
    await desk.run(
        lambda tx: builders.absence(tx, "ada", NOON - DAY, NOON),
        lambda tx: builders.absence(tx, "ben", NOON, NOON + DAY),
    )
    assert await meant(desk, deal, ["employee:ada", "employee:ben"], skip_absent=True) == ["ada"]


# -- the supervisor ----------------------------------------------------------------------------------
async def test_the_supervisor_is_the_head_of_the_responsibles_department(desk: Desk) -> None:
    assert await above(desk, await desk.deal(responsible="ben")) == "hugo"


async def test_if_that_is_the_responsible_it_is_one_level_up(desk: Desk) -> None:
    assert await above(desk, await desk.deal(responsible="hugo")) == "eve"


async def test_if_the_head_is_absent_it_is_one_level_up(desk: Desk) -> None:
    deal = await desk.deal(responsible="ada")
    await away(desk, "hugo")
    assert await above(desk, deal) == "eve"


async def test_if_all_are_absent_it_is_the_nearest(desk: Desk) -> None:
    deal, heads = await desk.deal(responsible="ada"), await desk.deal(responsible="hugo")
    await away(desk, "hugo", "eve")
    assert await above(desk, deal) == "hugo"
    assert await above(desk, heads) == "eve"


async def test_a_department_without_an_active_head_is_passed_over(desk: Desk) -> None:
    deal = await desk.deal(responsible="ada")
    await desk.run("update employee set active = false where id = 'hugo'")
    assert await above(desk, deal) == "eve"
    await desk.run("update department set head_id = null where id = 'sales'")
    assert await above(desk, deal) == "eve"


async def test_there_may_be_nobody_above(desk: Desk) -> None:
    assert await above(desk, await desk.deal(responsible="eve")) is None
    assert await above(desk, await desk.deal(responsible=None)) is None
    await desk.run(lambda tx: builders.employee(tx, "zoe"))
    assert await above(desk, await desk.deal(responsible="zoe")) is None


async def test_departments_that_lie_in_a_ring_have_an_end(desk: Desk) -> None:
    await desk.run("update department set parent_id = 'sales' where id = 'board'")
    assert await above(desk, await desk.deal(responsible="eve")) == "hugo"


# -- cost and saving ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("written", "statements"),
    [(["responsible"], 0), (["responsible", "supervisor", "department:a", "everybody", "employee:ben"], 1)],
)
async def test_they_are_read_with_one_statement_at_most(
    desk: Desk, written: list[str], statements: int
) -> None:
    deal = await desk.deal()
    async with desk.locked(deal) as locked:
        ran: list[str] = []
        event.listen(locked.tx.sync_connection, "after_cursor_execute", lambda *seen: ran.append(seen[2]))
        await employees(locked, written, NOON)
        assert len(ran) == statements


def test_addresses_may_stand_only_where_there_is_mail() -> None:
    written = ["responsible", "{{ contact.email }}", "office@client.example"]
    assert list(problems(written, setting(), "/to", addresses=True)) == []
    assert [problem.place for problem in problems(written, setting(), "/to")] == ["/to/1", "/to/2"]
