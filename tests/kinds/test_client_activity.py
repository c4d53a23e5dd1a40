"""*Client activity*: what a client does just before or while a wait opens ends it all the same."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from activities.client import Answer, Heard, record_activity
from activities.house import House
from activities.runner import Run, Runner
from activities.steps import act
from db.locked import Locked
from domain.events import Outcome
from tests import builders
from tests.builders import NOON
from tests.kinds.conftest import Desk

SECOND = timedelta(seconds=1)
SOON = NOON + 0.3 * SECOND
"""When the journey opens what was due at noon; it is on time, and is booked at noon."""


async def waiting(desk: Desk, **params: Any) -> int:
    """A deal whose wait is due to open at noon, and has not opened yet."""
    until = {"after": {"hours": 3}}
    rule = {"id": "patience", "kind": "wait", "params": {"until": until, **params}}
    await desk.run(lambda tx: builders.rule_set(tx, {"new": [rule]}))
    return await desk.deal()


async def opens(desk: Desk, locked: Locked, at: datetime = SOON) -> Outcome:
    runner = Runner(locked, House(), desk.ids, at)
    outcome = await act(runner, Run(1, "patience", turn=NOON, due=NOON))
    await runner.flush()
    return outcome


async def hears(desk: Desk, deal: int, at: datetime, received: datetime | None = None) -> Answer:
    heard = Heard(f"call {at}", "call", at, record=deal)
    async with desk.database.transaction() as tx:
        return await record_activity(tx, desk.book, desk.ids, House(), heard, received or at)


async def blocked(desk: Desk) -> None:
    """Wait until somebody waits for a lock of this database."""
    asked = text("select count(*) from pg_stat_activity where datname = current_database()"
                 " and wait_event_type = 'Lock'")  # fmt: skip
    async with asyncio.timeout(20):
        async with desk.database.transaction() as tx:
            while not (await tx.execute(asked)).scalar_one():
                await tx.execute(text("select pg_stat_clear_snapshot()"))


async def test_activity_between_the_time_a_wait_was_due_and_its_opening_ends_it_as_it_opens(
    desk: Desk,
) -> None:
    deal = await waiting(desk)
    assert (await hears(desk, deal, NOON + 0.2 * SECOND)).happened == "no_match"
    async with desk.locked(deal) as locked:
        outcome = await opens(desk, locked)
    assert (outcome.result, outcome.reason) == ("done", "client")
    assert (await desk.row("hold"))["ended_by"] == "client:call"


@pytest.mark.parametrize(
    ("at", "received"),
    [(NOON - SECOND, NOON - SECOND), (NOON, NOON), (NOON - SECOND, NOON + 0.2 * SECOND),
     (NOON + 2 * SECOND, NOON)],
    ids=["before", "at the entry", "before, but told late", "at the entry, by a clock that is ahead"],
)  # fmt: skip
async def test_activity_before_the_wait_was_due_to_open_does_not_end_it(
    desk: Desk, at: datetime, received: datetime
) -> None:
    deal = await waiting(desk)
    await hears(desk, deal, at, received)
    async with desk.locked(deal) as locked:
        assert (await opens(desk, locked)).result == "open"


async def test_activity_that_is_recorded_while_the_wait_opens_ends_it(desk: Desk) -> None:
    deal = await waiting(desk)
    async with desk.locked(deal) as locked:
        assert (await opens(desk, locked)).result == "open"
        told = asyncio.create_task(hears(desk, deal, NOON + 0.5 * SECOND))
        await blocked(desk)
    assert (await told).happened == "ended_wait"
    assert (await desk.row("hold"))["outcome"] == "done"


async def test_a_wait_that_opens_while_activity_is_recorded_ends_as_it_opens(desk: Desk) -> None:
    deal = await waiting(desk)

    async def opening() -> Outcome:
        async with desk.locked(deal) as locked:
            return await opens(desk, locked, NOON)

    async with desk.database.transaction() as tx:
        heard = Heard("call", "call", NOON + 0.2 * SECOND, record=deal)
        await record_activity(tx, desk.book, desk.ids, House(), heard, NOON + 0.2 * SECOND)
        opened = asyncio.create_task(opening())
        await blocked(desk)
    assert (await opened).reason == "client"
