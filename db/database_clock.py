"""PostgreSQL's clock as a process knows it: what several machines write is told by one clock.

It is read every ten seconds, and carried on in between by a clock that only runs, so that a machine whose own
is wrong, or is set while it works, writes no other times than its neighbours.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import structlog
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from db.engine import Database, Transaction

log = structlog.get_logger()

EVERY: Final = 10.0  # seconds
TOLERATED: Final = timedelta(seconds=1)
"""So far the machine's own clock may be off before it is said."""
_TRIES: Final = 3


class _Reading(NamedTuple):
    at: datetime
    ticks: float
    skew: timedelta
    uncertain: float  # seconds, half of what the answer took


class DatabaseClock:
    """The present instant of PostgreSQL, UTC, without asking it each time.

    `machine` is the clock of this machine, which is only compared; `ticks` counts seconds from anywhere.
    """

    def __init__(
        self, machine: Callable[[], datetime] | None = None, ticks: Callable[[], float] = time.monotonic
    ) -> None:
        self._machine, self._ticks = machine or _machine_clock, ticks
        self._reading: _Reading | None = None

    def now(self) -> datetime:
        """Raises `ConnectionError` before the clock was read: no time that is a guess is written."""
        if self._reading is None:
            raise ConnectionError("PostgreSQL's clock has not been read yet")
        return self._reading.at + timedelta(seconds=self._ticks() - self._reading.ticks)

    @property
    def skew(self) -> timedelta | None:
        """How far the machine's clock is ahead of PostgreSQL's; None before it was read."""
        return self._reading.skew if self._reading else None

    @property
    def is_off(self) -> bool:
        """Whether the machine's own clock is wrong by more than a second."""
        return self.skew is not None and abs(self.skew) > TOLERATED

    async def read(self, database: Database) -> None:
        """Ask PostgreSQL; of three answers the quickest counts. Raises what a transaction raises."""
        was_off = self.is_off
        async with database.transaction() as tx:
            found = [await self._ask(tx) for _ in range(_TRIES)]
        self._reading = min(found, key=lambda reading: reading.uncertain)
        if self.is_off and not was_off:
            ahead = self._reading.skew.total_seconds()
            log.error("the clock of this machine is wrong; PostgreSQL's counts", seconds_ahead=ahead)

    async def keep(self, database: Database, stop: asyncio.Event) -> None:
        """Read it again and again until it is time to stop; each second while there is no reading yet."""
        while not stop.is_set():
            try:
                await self.read(database)
            except (SQLAlchemyError, OSError) as error:
                log.warning("PostgreSQL's clock cannot be read", error=type(error).__name__)
            try:
                await asyncio.wait_for(stop.wait(), EVERY if self._reading else 1.0)
            except TimeoutError:
                continue

    async def _ask(self, tx: Transaction) -> _Reading:
        began = self._ticks()
        at: datetime = (await tx.execute(_CLOCK)).scalar_one()
        ended, machine = self._ticks(), self._machine()
        half = (ended - began) / 2
        return _Reading(at, began + half, machine - at - timedelta(seconds=half), half)


def _machine_clock() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - compared with PostgreSQL's, and nothing else


_CLOCK = text("select clock_timestamp()")
