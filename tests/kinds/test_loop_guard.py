"""*Loops*: of ten automatic moves within an hour, or fifty within a week, the next is not made."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from activities.house import House
from activities.operators import operate
from activities.runner import Runner
from db.records import By, TooManyMoves, change_pipeline, delete, move, restore, suspend_for_loop
from db.rows import write
from domain.journey import Operation
from domain.progress import Progress
from tests.builders import NOON
from tests.kinds.conftest import Desk

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


async def moves(desk: Desk, deal: int, at: datetime = NOON, *, automatic: bool = True) -> bool:
    """Move it to and fro; whether the move was made. One that is not suspends the record."""
    async with desk.locked(deal) as locked:
        stage = "new" if locked.record.stage_id == "offer" else "offer"
        try:
            await move(locked, stage, By("system", at, automatic=automatic))
        except TooManyMoves as many:
            await write(locked.tx, await suspend_for_loop(locked, at, str(many), "eve"))
            return False
        return True


async def resumes(desk: Desk, deal: int) -> None:
    asked = Operation(id="resume", verb="resume", who="eve")
    async with desk.locked(deal) as locked:
        await operate(Runner(locked, House(), desk.ids, NOON), Progress(visit_no=1), asked)


async def test_ten_within_an_hour_are_made_and_the_eleventh_is_not(desk: Desk) -> None:
    deal = await desk.deal()
    made = [await moves(desk, deal, NOON + n * HOUR / 20) for n in range(11)]
    assert made == [True] * 10 + [False]
    assert "10 automatic moves within an hour" in (await desk.record(deal))["suspended"]
    assert [row["employee_id"] for row in await desk.rows("notification")] == ["eve"]


async def test_fifty_within_a_week_are_made_and_the_next_is_not(desk: Desk) -> None:
    deal = await desk.deal()
    made = [await moves(desk, deal, NOON + n * 3 * HOUR) for n in range(51)]
    assert made == [True] * 50 + [False]


async def test_an_hour_later_they_no_longer_count(desk: Desk) -> None:
    deal = await desk.deal()
    assert all([await moves(desk, deal) for _ in range(10)])  # each is made
    assert await moves(desk, deal, NOON + HOUR)


async def test_what_a_person_or_an_api_client_asked_for_by_name_does_not_count(desk: Desk) -> None:
    deal = await desk.deal()
    assert all([await moves(desk, deal, automatic=False) for _ in range(20)])  # each is made
    assert await moves(desk, deal)


@pytest.mark.parametrize("times", [1, 3])
async def test_resuming_sets_the_counts_to_zero_though_the_clock_stands_still(desk: Desk, times: int) -> None:
    deal = await desk.deal()
    for _ in range(times):
        assert [await moves(desk, deal) for _ in range(11)] == [True] * 10 + [False]
        await resumes(desk, deal)
    assert await moves(desk, deal)


async def test_a_deletion_and_a_restore_are_no_moves_and_a_pipeline_change_is_one(desk: Desk) -> None:
    deal = await desk.deal()
    by = By("system", NOON, automatic=True)
    for _ in range(6):
        async with desk.locked(deal) as locked:
            await delete(locked, by)
        async with desk.locked(deal) as locked:
            await restore(locked, by)
    for pipeline in ["service", "sales"] * 5:
        async with desk.locked(deal) as locked:
            await change_pipeline(locked, pipeline, None, by)
    assert not await moves(desk, deal)
