"""Bring a database to the newest schema. The migrations travel inside this package."""

from __future__ import annotations

import asyncio
from pathlib import Path
from threading import Lock

import asyncpg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, make_url

from db.engine import open_engine

_one_thread = Lock()  # Alembic keeps its context in a module


def upgrade(url: str) -> None:
    """Upgrade the database at `url` to the newest schema; nothing happens if it is there already.

    Any number of processes and threads may call this at once: they take turns. It is one transaction,
    so that a failed migration leaves the schema as it was. It runs a loop of its own: inside another,
    call it by `asyncio.to_thread`.
    """
    with _one_thread:
        asyncio.run(_upgrade(url))


async def ensure_database(admin_url: str, name: str) -> str:
    """Create the database `name` on the server of `admin_url` unless it exists; answers its URL."""
    server = make_url(admin_url).set(drivername="postgresql")
    connection = await asyncpg.connect(server.render_as_string(hide_password=False))
    try:
        if not await connection.fetchval("select true from pg_database where datname = $1", name):
            await connection.execute('create database "{}"'.format(name.replace('"', '""')))
    except (asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
        pass  # another process was quicker
    finally:
        await connection.close()
    return server.set(database=name).render_as_string(hide_password=False)


async def _upgrade(url: str) -> None:
    engine = open_engine(url, limits={}, pool_size=1)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_run)
    finally:
        await engine.dispose()


def _run(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
