"""Deletes what nobody needs any more, as fast as it comes: batch after batch, until there is no more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import structlog

from db.engine import Database
from db.recycle_bin import forget_answers, purge
from worker.patience import DATABASE_AWAY, in_words, stopped_within

log = structlog.get_logger()

EVERY = 30.0
KEPT: Final = timedelta(days=7)
"""So long answers to an `Idempotency-Key` are kept."""
BIN: Final = timedelta(days=30)
"""So long a deleted record may be restored."""
BREATH: Final = 0.05
"""Seconds between two batches, which leave the database to others."""


async def clean(database: Database, stop: asyncio.Event, now: Callable[[], datetime]) -> None:
    """Look every 30 seconds, until it is time to stop. `now`: the clock (UTC)."""
    while not await stopped_within(stop, EVERY):
        try:
            while await clean_once(database, now()) and not await stopped_within(stop, BREATH):
                pass
        except DATABASE_AWAY as error:
            log.warning("what nobody needs could not be deleted", error=in_words(error), again_in=EVERY)


async def clean_once(database: Database, now: datetime) -> bool:
    """One batch of each; whether there was anything."""
    async with database.transaction() as tx:
        forgotten = await forget_answers(tx, now - KEPT)
    async with database.transaction() as tx:
        purged = await purge(tx, now - BIN)
    return bool(forgotten or purged)
