"""What the reconciler puts right: journeys that were ended before their time, rows nobody needs any more."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import uuid4

from sqlalchemy import text

from db.engine import Database
from db.outbox import prune
from db.rows import Rows, write
from tests.builders import NOON
from tests.journeys.product import PATIENCE, Product, utc_now
from tests.journeys.rules import comment, rules
from worker.reconciler import ring_ended


async def test_a_journey_that_was_terminated_is_taken_up_without_any_event(product: Product) -> None:
    deal = await product.deal({"new": rules([comment("later", after={"hours": 2})])})
    await deal.handle.terminate("an administrator pressed the button")
    async with asyncio.timeout(PATIENCE):
        rung: list[object] = []
        while not rung:  # visibility lags behind
            ended = utc_now() - timedelta(hours=1)
            tried = await ring_ended(product.database, product.environment.client, product.queue, ended)
            rung = list(tried.rung)
            await asyncio.sleep(0.1)
    shown = await deal.rest()
    assert shown.progress.step(1, "later").status == "armed"
    await deal.pass_time(hours=3)
    assert await deal.outcomes() == {"later": "done"}


async def test_what_nobody_needs_any_more_is_deleted(database: Database) -> None:
    def bell(delivered: object) -> dict[str, object]:
        own = {"id": uuid4(), "record_id": 1, "kind": "entered", "created_at": NOON}
        return own | {"delivered_at": delivered}

    def answer(key: str, at: object) -> dict[str, object]:
        return {"key": key, "body_hash": "", "at": at}

    soon = NOON + timedelta(days=1)
    async with database.transaction() as tx:
        await write(tx, [Rows("outbox", [bell(None), bell(NOON), bell(soon)])])
        await write(tx, [Rows("request", [answer("old", NOON), answer("young", soon)])])
        await prune(tx, NOON + timedelta(hours=1))
        left = await tx.execute(text("select delivered_at from outbox order by delivered_at nulls first"))
        assert left.scalars().all() == [None, soon]
        assert (await tx.execute(text("select key from request"))).scalars().all() == ["young"]
