"""How a worker bears that the database or Temporal is away: it says so, waits, and tries again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import asyncpg
import structlog
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from temporalio.service import RPCError

log = structlog.get_logger()
T = TypeVar("T")

DATABASE_AWAY: Final = (OSError, SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError)
TEMPORAL_AWAY: Final = (OSError, RPCError, RuntimeError)  # what the client's core says is a RuntimeError
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 10.0


async def stopped_within(stop: asyncio.Event, seconds: float) -> bool:
    """Wait until it is time to stop, at most so long; whether it is."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return False
    return True


class Patience:
    """Pauses that double up to 10 seconds, and begin anew when what was away is back."""

    def __init__(self, trouble: str, stop: asyncio.Event) -> None:
        self._trouble, self._stop, self._next = trouble, stop, FIRST_PAUSE

    async def pause(self, error: BaseException) -> None:
        """Say what is wrong in one line, and wait; not longer than until it is time to stop."""
        seconds, self._next = self._next, min(self._next * 2, LONGEST_PAUSE)
        log.warning(self._trouble, error=in_words(error), again_in=seconds)
        await stopped_within(self._stop, seconds)

    def over(self) -> None:
        """It answers."""
        self._next = FIRST_PAUSE


async def until_it_answers(
    what: str, ask: Callable[[], Awaitable[T]], away: tuple[type[Exception], ...], stop: asyncio.Event
) -> T | None:
    """What `ask` answers, as soon as it does; None when it is time to stop."""
    patience = Patience(f"{what} does not answer", stop)
    while not stop.is_set():
        try:
            return await ask()
        except away as error:
            await patience.pause(error)
    return None


def in_words(error: BaseException) -> str:
    """The kind of an error and its first line, without the statement and the values it was about."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    first = next(iter(str(cause).splitlines()), "")
    return f"{type(cause).__name__}: {first[:200]}" if first else type(cause).__name__
