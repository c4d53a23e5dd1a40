"""The database and its transactions: the only place that commits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import asyncpg
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from domain.errors import Refused

Transaction = AsyncConnection
"""An open transaction: Core statements by `execute`, savepoints by `begin_nested`. Whoever is handed one
neither commits nor rolls back."""

LIMITS: Final[Mapping[str, str]] = {
    "lock_timeout": "8s",
    "statement_timeout": "9s",  # below the 10 s an activity on the database has
    "idle_in_transaction_session_timeout": "10s",
}


class Database:
    """A pool of connections to one PostgreSQL database.

    `url` is `postgresql://…` or `postgresql+asyncpg://…`, with the parameters libpq knows (`sslmode`).
    At most `pool_size` transactions are open at once; a further one waits up to 8 seconds for its turn.
    Nothing is connected before the first transaction.
    """

    def __init__(self, url: str, pool_size: int = 10) -> None:
        self._dsn = _dsn(url)
        self._engine = open_engine(url, limits=LIMITS, pool_size=pool_size)
        self._discarding: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Commit when the block ends; roll back when it raises or is cancelled.

        The connection of a failed or cancelled block is thrown away, not put back: after a cancellation
        nobody knows what is still on its wire (SQLAlchemy issue 6592). One that raises `Refused` is undone
        and keeps its connection. A cancellation during the commit leaves its fate unknown: ask the ledger.
        """
        connection = await self._engine.connect()
        try:
            yield connection
            await connection.commit()
        except Refused:
            await self._undo(connection)
            raise
        except BaseException:
            await self._discard(connection)
            raise
        await connection.close()

    async def listen(self, channel: str) -> AsyncIterator[str]:
        """The payloads notified on `channel`, on a connection of its own, until the caller stops.

        The first is an empty one, when listening has begun: what was written before is to be looked for.

        Raises ConnectionError when the connection is lost; what was notified since is lost too.
        """
        queue: asyncio.Queue[str | None] = asyncio.Queue()
        connection = await asyncpg.connect(self._dsn, server_settings={"application_name": "jalon listen"})
        try:
            connection.add_termination_listener(lambda _: queue.put_nowait(None))
            await connection.add_listener(channel, lambda *heard: queue.put_nowait(str(heard[-1])))
            yield ""
            while (payload := await queue.get()) is not None:
                yield payload
            raise ConnectionError(f"the connection listening on {channel!r} was lost")
        finally:
            connection.terminate()

    async def close(self) -> None:
        """Close every connection; transactions under way are not waited for."""
        if self._discarding:
            await asyncio.wait(self._discarding)
        await self._engine.dispose()

    async def _undo(self, connection: AsyncConnection) -> None:
        """No statement is under way: the connection is as good as ever."""
        try:
            await connection.rollback()
            await connection.close()
        except BaseException:
            await self._discard(connection)
            raise

    async def _discard(self, connection: AsyncConnection) -> None:
        """Ends also when the task is cancelled once more: it is a task of its own."""

        async def discard() -> None:
            await connection.invalidate()
            await connection.close()

        task = asyncio.create_task(discard())
        self._discarding.add(task)
        task.add_done_callback(self._discarding.discard)
        await asyncio.shield(task)


def open_engine(url: str, limits: Mapping[str, str], pool_size: int) -> AsyncEngine:
    """An engine whose sessions run in UTC and under `limits` (settings of PostgreSQL)."""
    return create_async_engine(
        "postgresql+asyncpg://",
        connect_args={
            "dsn": _dsn(url),  # read by asyncpg itself, which knows libpq's parameters
            "server_settings": {"application_name": "jalon", "timezone": "UTC", **limits},
            "prepared_statement_cache_size": 500,
        },
        hide_parameters=True,  # what rows say belongs neither in logs nor in Temporal
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=8,
    )


def _dsn(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
