"""What the reconciler puts right: journeys that were ended before their time."""

from __future__ import annotations

import asyncio
from datetime import timedelta

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
