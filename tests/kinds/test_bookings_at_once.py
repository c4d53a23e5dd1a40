"""Many book the same resources at once: nothing overlaps, nobody waits in a circle or hears of locks."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta

import pytest
from sqlalchemy import text

from activities.bookings import Wanted, book, cancel
from activities.resources import OutOfTurn, take_turns
from db.engine import Database
from db.locked import Locked
from db.records import By
from domain.errors import Refused
from domain.period import Period
from tests import builders
from tests.builders import NOON
from tests.kinds.conftest import Desk

TRIES, RESOURCES, RECORDS, CALLERS = 5_000, 10, 40, 20
_OVERLAPS = text("""
select count(*) from booking_resource a join booking_resource b
  on a.resource = b.resource and a.booking_id < b.booking_id and a.during && b.during
where a.active and b.active
""")
_HALF = text("""
select count(*) from booking b join booking_resource r on r.booking_id = b.id
where r.active <> (b.state = 'active') or r.during <> tstzrange(b.starts_at, b.ends_at)
""")


async def test_five_thousand_bookings_of_ten_resources_at_once(desk: Desk, database_url: str) -> None:
    """Every tenth try cancels what the record has for the field: cancelling and booking race too."""
    chance = random.Random(62)
    for n in range(RESOURCES):
        await desk.run(lambda tx, n=n: builders.resource(tx, f"r{n}"))
    records = [await desk.deal() for _ in range(RECORDS)]
    crowd = Database(database_url, pool_size=CALLERS)
    tries = iter([_try(chance, records) for _ in range(TRIES)])
    ended: list[str] = []

    async def caller() -> None:
        for record, wanted in tries:
            ended.append(await _attempt(desk, crowd, record, wanted))

    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    await crowd.close()
    async with desk.database.transaction() as tx:
        assert (await tx.execute(_OVERLAPS)).scalar_one() == 0
        assert (await tx.execute(_HALF)).scalar_one() == 0
        made = (await tx.execute(text("select count(*) from booking"))).scalar_one()
    assert set(ended) == {"booked", "cancelled", "conflict"}
    assert len(ended) == TRIES
    assert made == ended.count("booked") > 500
    assert ended.count("conflict") > 500


def _try(chance: random.Random, records: list[int]) -> tuple[int, Wanted | None]:
    record = chance.choice(records)
    if chance.random() < 0.1:
        return record, None
    resources = [f"resource:r{n}" for n in chance.sample(range(RESOURCES), chance.randint(1, 3))]
    start = NOON + timedelta(minutes=15 * chance.randint(0, 4 * 24 * 30))
    length = Period(minutes=15 * chance.randint(1, 16))
    return record, Wanted("visit", start, length, resources, replace=chance.random() < 0.05)


async def _attempt(desk: Desk, crowd: Database, record: int, wanted: Wanted | None) -> str:
    by = By("ada", NOON)
    try:
        async with crowd.transaction() as tx:
            locked = await Locked.take(tx, desk.book, record)
            assert locked is not None
            if wanted is None:
                await cancel(locked, "visit", by)
                return "cancelled"
            await book(locked, desk.ids, wanted, by, locked.record.visit_no)
            return "booked"
    except Refused as refused:
        return refused.reason


async def test_who_has_had_turns_never_waits_for_an_earlier_one(desk: Desk) -> None:
    """Two transactions that want both resources, each the other's first: one of them is sent away."""
    async with desk.database.transaction() as tx:
        first, second = await _in_order(tx, "resource:a", "resource:b")
        await take_turns(tx, [second])
        async with desk.database.transaction() as other:
            await take_turns(other, [first])
            with pytest.raises(OutOfTurn):
                await take_turns(tx, [first])
        await take_turns(tx, [first, second])  # the other is gone
        await take_turns(tx, [first])


async def _in_order(tx: object, *resources: str) -> list[str]:
    asked = text("select r from unnest(cast(:all as text[])) r order by hashtextextended(r, 0)")
    return list((await tx.execute(asked, {"all": list(resources)})).scalars())  # type: ignore[attr-defined]
