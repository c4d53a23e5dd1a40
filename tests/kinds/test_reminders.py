"""Reminders: of a meeting, whoever works here and is to come, in time and once."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from activities.act import NOBODY
from activities.house import House
from activities.meetings import Changes, cancel_meeting, move_meeting
from db.doorbell import Doorbell
from db.records import By
from db.reminders import remind
from tests.builders import NOON
from tests.kinds.conftest import Desk
from tests.stories.conftest import away
from worker import clock

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
TWO = NOON + HOUR
"""When the meeting begins: 14:00 in Paris."""


async def planned(desk: Desk, **more: Any) -> int:
    """A meeting of Ada with Ben and a guest."""
    people = ["employee:ben", "guest@elsewhere.example"]
    given = {"participants": people, "reminders": [{"minutes": 15}]} | more
    await desk.does(await desk.deal(), "schedule_meeting", subject="Measure", **given)
    return int((await desk.row("meeting"))["id"])


async def reminded(desk: Desk, *instants: datetime) -> list[tuple[str, datetime]]:
    """Who has been told when, after looks at those instants."""
    for now in instants:
        async with desk.database.transaction() as tx:
            await remind(tx, now)
    rows = await desk.rows("notification", "body like 'Reminder%'", order="at, employee_id")
    return [(row["employee_id"], row["at"]) for row in rows]


async def test_the_responsible_and_the_participants_are_notified_at_each_reminder_once(desk: Desk) -> None:
    await planned(desk, reminders=[{"minutes": 30}, {"minutes": 15}])
    assert await reminded(desk, TWO - 31 * MINUTE) == []
    half, quarter = TWO - 30 * MINUTE, TWO - 15 * MINUTE
    told = [("ada", half), ("ben", half), ("ada", quarter), ("ben", quarter)]
    assert await reminded(desk, half, half + MINUTE, quarter, TWO) == told
    (one, *_) = await desk.rows("notification", "body like 'Reminder%'")
    assert (one["body"], one["rule"]) == ("Reminder: Measure, 2026-03-02 14:00", "the-rule")


async def test_everybody_is_told_the_time_of_their_own_zone(desk: Desk) -> None:
    await planned(desk)
    await desk.run(
        "update employee set zone = 'America/New_York' where id = 'ben'",
        "update employee set zone = 'Nowhere/At_All' where id = 'ada'",  # by hand: UTC is left
    )
    await reminded(desk, TWO)
    rows = await desk.rows("notification", "body like 'Reminder%'", order="employee_id")
    assert [row["body"][-5:] for row in rows] == ["13:00", "08:00"]


async def test_they_follow_a_meeting_that_is_moved_and_end_with_one_that_is_cancelled(desk: Desk) -> None:
    meeting = await planned(desk)
    deal = (await desk.row("record"))["id"]
    later = Changes(starts_at=TWO + HOUR, ends_at=TWO + 2 * HOUR)
    async with desk.locked(deal) as locked:
        await move_meeting(locked, meeting, later, By("ada", NOON + MINUTE), NOBODY)
    quarter = TWO + 45 * MINUTE
    assert await reminded(desk, TWO, quarter) == [("ada", quarter), ("ben", quarter)]
    async with desk.locked(deal) as locked:
        once_more = Changes(starts_at=TWO + 3 * HOUR, ends_at=TWO + 4 * HOUR)
        await move_meeting(locked, meeting, once_more, By("ada", quarter), NOBODY)
    async with desk.locked(deal) as locked:
        await cancel_meeting(locked, meeting, By("ada", quarter), NOBODY)
    assert await desk.rows("meeting_reminder") == []
    assert len(await reminded(desk, TWO + 5 * HOUR)) == 2


async def test_a_reminder_that_was_past_when_the_meeting_was_planned_does_not_come(desk: Desk) -> None:
    await planned(desk, reminders=[{"hours": 2}])
    assert await reminded(desk, NOON, TWO) == []


async def test_who_has_left_the_company_is_not_reminded(desk: Desk) -> None:
    await planned(desk)
    await desk.run("update employee set active = false where id = 'ben'")
    assert await reminded(desk, TWO) == [("ada", TWO)]


async def test_workers_that_look_at_once_remind_once(desk: Desk) -> None:
    await planned(desk)
    await asyncio.gather(*(reminded(desk, TWO) for _ in range(5)))
    assert len(await reminded(desk)) == 2


async def test_a_worker_reminds_at_each_of_its_looks_at_the_clock(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "EVERY", 0.01)
    await planned(desk)
    deal = (await desk.row("record"))["id"]
    soon = {"deadline": {"after": {"hours": 1}}, "reminder": {"minutes": 1}}
    await desk.does(deal, "create_todo", subject="Call", **soon)
    stop = asyncio.Event()
    doorbell = Doorbell(desk.database, away, "jalon")
    watching = asyncio.create_task(
        clock.watch_the_clock(desk.database, doorbell, House(), stop, lambda: TWO)
    )
    try:
        async with asyncio.timeout(30):
            while len(await reminded(desk)) < 3:  # noqa: ASYNC110 - the worker brings it about
                await asyncio.sleep(0.05)
    finally:
        stop.set()
        await watching
    assert sorted(who for who, _ in await reminded(desk)) == ["ada", "ada", "ben"]
