"""Watches the clock: for triggers (a date is reached, a record has been idle) and for reminders."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Final

import structlog

from activities.catalogue import nature
from activities.clock_triggers import ClockTriggers
from activities.house import House
from db.doorbell import Doorbell
from db.engine import Database
from db.reminders import AT_ONCE as REMINDERS_AT_ONCE
from db.reminders import remind
from db.rows import Ids
from db.rulebook import Rulebook
from worker.patience import DATABASE_AWAY, in_words, stopped_within

log = structlog.get_logger()

EVERY: Final = 5.0
AT_ONCE: Final = 0.1  # seconds that leave the database to others


async def watch_the_clock(
    database: Database, doorbell: Doorbell, house: House, stop: asyncio.Event, now: Callable[[], datetime]
) -> None:
    """Look every 5 seconds, at once where there is more, until it is time to stop. `now`: the clock (UTC)."""
    clock = ClockTriggers(database, Rulebook(nature), Ids(), house)
    pause = EVERY
    while not await stopped_within(stop, pause):
        pause = EVERY
        try:
            doorbell.ring(*await clock.look(now()))
            pause = AT_ONCE if clock.more else EVERY
        except DATABASE_AWAY as error:
            log.warning("triggers could not be looked for", error=in_words(error), again_in=EVERY)
        try:
            async with database.transaction() as tx:
                if await remind(tx, now()) >= REMINDERS_AT_ONCE:
                    pause = AT_ONCE
        except DATABASE_AWAY as error:
            log.warning("nobody could be reminded", error=in_words(error), again_in=EVERY)
