"""Triggers that the clock fires: a date is reached, a record has become idle."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

from activities.clock_triggers import ClockTriggers
from activities.house import House
from db.records import By, change_pipeline
from tests import builders
from tests.builders import NOON
from tests.kinds.conftest import Desk
from tests.kinds.test_client_activity import blocked
from tests.kinds.test_triggers import published, stage, trigger

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def clock(desk: Desk) -> ClockTriggers:
    """The clock of a worker of its own."""
    return ClockTriggers(desk.database, desk.book, desk.ids, House())


async def looks(desk: Desk, *instants: datetime) -> list[int]:
    """The records that looks at those instants, each by another worker, have moved."""
    moved = []
    for at in instants:
        moved += [bell.record_id for bell in await clock(desk).look(at)]
    return moved


def dated(trigger_id: str, to: str, basis: str = "record.visit_at", **date: Any) -> dict[str, Any]:
    return trigger(trigger_id, to, event="date_reached", date={"basis": basis} | date)


async def idle_deal(desk: Desk, **more: Any) -> int:
    return await desk.deal(journey_visit=1, **more)


async def test_a_record_moves_when_the_instant_of_its_date_field_is_reached_and_only_then(desk: Desk) -> None:
    await published(desk, dated("soon", "offer", before={"hours": 1}))
    deal = await desk.deal(fields={"visit_at": (NOON + 3 * HOUR).isoformat()})
    other = await desk.deal(fields={"visit_at": (NOON + 3 * DAY).isoformat()})
    await desk.deal()
    assert await looks(desk, NOON, NOON + 2 * HOUR - MINUTE) == []
    assert await looks(desk, NOON + 2 * HOUR, NOON + 3 * HOUR) == [deal]
    assert [await stage(desk, record) for record in (deal, other)] == ["offer", "new"]


async def test_a_bare_date_is_its_midnight_in_the_zone(desk: Desk) -> None:
    await published(desk, dated("due", "offer", "record.due_on"))
    deal = await desk.deal(fields={"due_on": "2026-03-03"})
    midnight = datetime.fromisoformat("2026-03-03T00:00:00+01:00")
    assert await looks(desk, NOON, midnight - MINUTE, midnight) == [deal]


async def test_a_date_that_was_past_before_anybody_looked_is_not_reached(desk: Desk) -> None:
    await published(desk, dated("due", "offer"))
    await desk.deal(fields={"visit_at": (NOON - HOUR).isoformat()})
    assert await looks(desk, NOON, NOON + HOUR) == []


async def test_what_came_while_no_worker_looked_fires_at_the_next_look(desk: Desk) -> None:
    await published(desk, dated("due", "offer"))
    deal = await desk.deal(fields={"visit_at": (NOON + HOUR).isoformat()})
    assert await looks(desk, NOON, NOON + 5 * DAY, NOON + 6 * DAY) == [deal]


async def test_it_follows_the_field_also_within_one_worker(desk: Desk) -> None:
    await published(desk, dated("due", "offer"))
    deal = await desk.deal(fields={"visit_at": (NOON + HOUR).isoformat()})
    own = clock(desk)
    assert await own.look(NOON) == []
    later = (NOON + 2 * HOUR).isoformat()
    await desk.does(deal, "edit_record", set=[{"field": "visit_at", "value": later}])
    assert await own.look(NOON + HOUR) == []
    assert [bell.record_id for bell in await own.look(NOON + 2 * HOUR)] == [deal]


async def test_a_record_whose_date_was_reached_before_is_not_touched_again(desk: Desk) -> None:
    poor = {"field": "record.amount", "op": "less", "value": 5}
    await published(desk, dated("due", "offer") | {"condition": poor})
    deal = await desk.deal(amount="10", fields={"visit_at": (NOON + HOUR).isoformat()})
    own = clock(desk)
    await own.look(NOON)
    await own.look(NOON + HOUR)
    async with desk.locked(deal):  # whoever wanted it now would wait, and be refused by the lock's time-out
        assert await own.look(NOON + HOUR + MINUTE) == []


async def test_two_workers_that_look_at_once_move_a_record_once(desk: Desk) -> None:
    await published(desk, dated("on", "offer"), dated("back", "new") | {"direction": "any"})
    deal = await desk.deal(fields={"visit_at": (NOON + HOUR).isoformat()})
    await looks(desk, NOON)
    bells = await asyncio.gather(*(clock(desk).look(NOON + HOUR) for _ in range(5)))
    assert [bell.record_id for found in bells for bell in found] == [deal]
    assert await stage(desk, deal) == "offer"


async def test_of_several_dates_reached_at_once_the_first_in_priority_moves(desk: Desk) -> None:
    await published(desk, dated("near", "offer"), dated("far", "deal") | {"priority": 1})
    deal = await desk.deal(fields={"visit_at": (NOON + HOUR).isoformat()})
    await looks(desk, NOON, NOON + HOUR)
    assert await stage(desk, deal) == "deal"


async def test_a_birthday_of_the_contact_is_a_date_too(desk: Desk) -> None:
    await published(desk, dated("birthday", "offer", "contact.birthday", before={"days": 1}, at="09:00"))
    async with desk.database.transaction() as tx:
        client = await builders.contact(tx, birthday=datetime(2026, 3, 4).date())  # noqa: DTZ001 - a date
    deal = await desk.deal(contact=client)
    nine = datetime.fromisoformat("2026-03-03T09:00:00+01:00")
    assert await looks(desk, NOON, nine - MINUTE, nine) == [deal]


async def test_an_open_record_with_nothing_to_do_is_idle_and_moves_once(desk: Desk) -> None:
    await published(desk, trigger("forgotten", "offer", event="idle", idle_for={"hours": 1}))
    deal = await idle_deal(desk)
    closed = await idle_deal(desk, stage="lost")
    unopened = await desk.deal()
    assert await looks(desk, NOON, NOON + HOUR - MINUTE) == []
    assert await looks(desk, NOON + HOUR, NOON + HOUR) == [deal]
    assert [await stage(desk, record) for record in (closed, unopened)] == ["lost", "new"]


async def test_a_todo_keeps_it_from_being_idle_until_it_is_completed(desk: Desk) -> None:
    await published(desk, trigger("forgotten", "offer", event="idle", idle_for={"hours": 1}))
    deal = await idle_deal(desk)
    await desk.does(deal, "create_todo", subject="Call")
    assert await looks(desk, NOON, NOON + 2 * HOUR) == []
    done = (NOON + 2 * HOUR).isoformat()
    await desk.run(f"update todo set completed_at = '{done}', completed_by = 'ada'")
    assert await looks(desk, NOON + 3 * HOUR - MINUTE) == []
    assert await looks(desk, NOON + 3 * HOUR) == [deal]


async def test_what_did_not_move_it_is_not_asked_again_for_the_same_idleness(desk: Desk) -> None:
    rich = {"field": "record.amount", "op": "greater", "value": 1000}
    await published(desk, trigger("forgotten", "offer", event="idle", condition=rich))
    deal = await idle_deal(desk)
    assert await looks(desk, NOON, NOON + HOUR) == []
    await desk.run(f"update record set amount = 2000 where id = {deal}")
    assert await looks(desk, NOON + 2 * HOUR) == []


async def test_a_record_that_changes_its_pipeline_meanwhile_is_moved_by_no_trigger_of_the_old_one(
    desk: Desk,
) -> None:
    await desk.run(lambda tx: builders.pipeline(tx, "second", builders.SALES))
    await published(desk, dated("soon", "offer"))
    deal = await desk.deal(fields={"visit_at": (NOON + HOUR).isoformat()})
    assert await looks(desk, NOON) == []
    async with desk.locked(deal) as locked:
        await change_pipeline(locked, "second", "new", By("eve", NOON + HOUR))
        looked = asyncio.create_task(looks(desk, NOON + HOUR))
        await blocked(desk)
    assert await looked == []
    assert await stage(desk, deal) == "new"
