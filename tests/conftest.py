"""Real servers for the tests that ask for one: each is started at most once a run."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.smtp_sink import SmtpSink

if TYPE_CHECKING:  # unit tests load neither the database nor Temporal
    from temporalio.testing import WorkflowEnvironment

    from cli.embedded_postgres import Cluster
    from db.engine import Database

TEMPLATE = "jalon_template"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A server of its own, which forces nothing to disk."""
    from cli.embedded_postgres import Cluster

    folder = Path(tempfile.mkdtemp(prefix="jalon-tests-"))
    folder.chmod(0o755)  # as root the server runs as nobody, who has to come in
    cluster = Cluster(folder / "postgres", durable=False)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
async def template_url(postgres: Cluster) -> str:
    """A migrated database to copy; nothing may stay connected to it."""
    from db.migrate import ensure_database, upgrade

    url = await ensure_database(postgres.dsn(), TEMPLATE)
    await asyncio.to_thread(upgrade, url)
    return url


@pytest.fixture
async def database_url(postgres: Cluster, template_url: str) -> AsyncIterator[str]:
    """A migrated, empty database of the test's own."""
    import asyncpg

    name = f"test_{uuid4().hex}"
    server = await asyncpg.connect(postgres.dsn())
    try:
        # file_copy: with nothing forced to disk it is quicker than the log
        await server.execute(f"create database {name} template {TEMPLATE} strategy file_copy")
        yield postgres.dsn(name)
        await server.execute(f"drop database {name} with (force)")
    finally:
        await server.close()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    from db.engine import Database

    opened = Database(database_url)
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
async def temporal() -> AsyncIterator[WorkflowEnvironment]:
    """Temporal's development server under virtual time: `temporal.fast_forward(handle, delta)`."""
    from temporalio.common import SearchAttributeKey
    from temporalio.testing import TimeSkippingConfig, WorkflowEnvironment

    from db.temporal import DATA_CONVERTER
    from domain.journey import SEARCH_ATTRIBUTES

    dynamic = ("frontend.WorkflowTimeSkippingEnabled=true", 'history.timerProcessorMaxTimeShift="1ms"')
    key_of = {
        "Keyword": SearchAttributeKey.for_keyword,
        "KeywordList": SearchAttributeKey.for_keyword_list,
        "Datetime": SearchAttributeKey.for_datetime,
    }
    environment = await WorkflowEnvironment.start_time_skipping_v2(
        ts_config=TimeSkippingConfig(enabled=False),
        data_converter=DATA_CONVERTER,
        search_attributes=[key_of[kind](name) for name, kind in SEARCH_ATTRIBUTES.items()],
        dev_server_existing_path=str(Path(sys.executable).parent / "temporal"),
        dev_server_log_level="error",
        dev_server_startup_timeout=timedelta(seconds=60),
        dev_server_extra_args=[part for value in dynamic for part in ("--dynamic-config-value", value)],
    )
    async with environment:
        yield environment


@pytest.fixture
def smtp() -> Iterator[SmtpSink]:
    """A mail server on the loopback, empty and obliging."""
    sink = SmtpSink()
    sink.start()
    yield sink
    sink.stop()
