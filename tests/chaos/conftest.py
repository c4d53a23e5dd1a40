"""One PostgreSQL and one Temporal for all kills; a database, a queue and programs for each."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from db.migrate import ensure_database
from db.settings import Settings
from db.temporal import connect
from tests import failed_tasks
from tests.chaos.scene import Scene
from tests.chaos.servers import PATIENCE, Servers, program
from tests.histories import all_replay
from tests.smtp_sink import SmtpSink

TEMPLATE = "jalon_chaos"


@pytest.fixture(scope="package")
async def servers() -> AsyncIterator[Servers]:
    """Both servers, and the template of a migrated database, as the product's own `migrate` makes it.

    At the end every run of every journey is replayed, whatever was killed meanwhile.
    """
    failed_tasks.listen()
    home = _open_folder()
    both = Servers(home)
    try:
        both.start_temporal()
        both.cluster.start()
        await _keep_commit_times(both)
        url = await ensure_database(both.cluster.dsn(), TEMPLATE)
        where = {"JALON_DATABASE_URL": url, "JALON_TEMPORAL_ADDRESS": both.temporal.address}
        migration = program(home, "migrate", "migrate", where)
        await asyncio.to_thread(migration.process.wait, PATIENCE)
        assert migration.process.returncode == 0, migration.tail()
        yield both
        settings = Settings(temporal_address=both.temporal.address)
        await all_replay(await connect(settings))
    finally:
        both.stop()
        shutil.rmtree(home, ignore_errors=True)


def _open_folder() -> Path:
    """As root PostgreSQL runs as nobody, who has to come in."""
    home = Path(tempfile.mkdtemp(prefix="jalon-chaos-"))
    home.chmod(0o755)
    return home


async def _keep_commit_times(servers: Servers) -> None:
    """The checker orders by them."""
    connection = await asyncpg.connect(servers.cluster.dsn())
    await connection.execute("alter system set track_commit_timestamp = on")
    await connection.close()
    servers.cluster.stop()
    servers.cluster.start()


@pytest.fixture
async def scene(servers: Servers, smtp: SmtpSink, tmp_path: Path) -> AsyncIterator[Scene]:
    """A company in a database of its own, with ids that no other test has given a journey."""
    name = f"chaos_{uuid4().hex}"
    connection = await asyncpg.connect(servers.cluster.dsn())
    await connection.execute(f"create database {name} template {TEMPLATE}")
    await connection.close()
    url = servers.cluster.dsn(name)
    connection = await asyncpg.connect(url)
    first = uuid4().int % 2**40
    await connection.execute("select setval(pg_get_serial_sequence('record', 'id'), $1)", first)
    await connection.close()
    opened = Scene(servers, url, smtp, tmp_path)
    await opened.found()
    yield opened
    await opened.close()
