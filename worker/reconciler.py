"""Does what nobody else would: for journeys that are behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import structlog
from temporalio.client import Client

from db.engine import Database
from db.outbox import behind
from worker.patience import DATABASE_AWAY, in_words, stopped_within
from worker.relay import Round, ring

log = structlog.get_logger()

EVERY = 30.0
GRACE: Final = timedelta(seconds=30)
"""So long a journey may take to open a visit before it is rung again."""


async def reconcile(
    database: Database,
    client: Client,
    task_queue: str,
    stop: asyncio.Event,
    now: Callable[[], datetime],
) -> None:
    """Look every 30 seconds, until it is time to stop. `now`: the clock (UTC)."""
    while not await stopped_within(stop, EVERY):
        try:
            _say(
                "rang for journeys that are behind",
                await ring_behind(database, client, task_queue, now() - GRACE),
            )
        except DATABASE_AWAY as error:
            log.warning("the database does not answer", error=in_words(error), again_in=EVERY)


async def ring_behind(database: Database, client: Client, task_queue: str, before: datetime) -> Round:
    """One round, for records that entered their stage before `before`."""
    async with database.transaction() as tx:
        bells = await behind(tx, before)
    return await ring(client, bells, task_queue)


def _say(what: str, tried: Round) -> None:
    if tried.rung or tried.away:
        log.info(what, bells=len(tried.rung), error=in_words(tried.away) if tried.away else None)
