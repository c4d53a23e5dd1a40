"""Real servers for the tests that ask for one: each is started at most once a run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests import failed_tasks
from tests.servers import postgres_server, temporal_server
from tests.sms_fake import SmsFake
from tests.smtp_sink import SmtpSink

if TYPE_CHECKING:  # unit tests load neither the database nor Temporal
    from temporalio.testing import WorkflowEnvironment

    from cli.embedded_postgres import Cluster
    from db.engine import Database

TEMPLATE = "jalon_template"


@pytest.fixture(autouse=True)
def no_workflow_task_fails(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that makes a workflow task fail fails; one that is `fails_tasks` fails unless it does."""
    yield
    if request.node.get_closest_marker("fails_tasks"):
        until = time.monotonic() + 5
        while not failed_tasks.so_far():
            assert time.monotonic() < until, "no workflow task failed"
            time.sleep(0.02)
        failed_tasks.forget(failed_tasks.take())
    elif failed := failed_tasks.take():
        pytest.fail("workflow tasks failed:\n" + "\n".join(failed))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A server of its own, which forces nothing to disk."""
    with postgres_server() as cluster:
        yield cluster


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
    """Temporal's development server under virtual time: `temporal.fast_forward(handle, delta)`.

    At its end every run of every journey is replayed: one that does not fails the run of the tests.
    """
    async with await temporal_server() as environment:
        yield environment
        from tests.histories import all_replay

        await all_replay(environment.client)


@pytest.fixture
def smtp() -> Iterator[SmtpSink]:
    """A mail server on the loopback, empty and obliging."""
    sink = SmtpSink()
    sink.start()
    yield sink
    sink.stop()


@pytest.fixture
async def sms() -> AsyncIterator[SmsFake]:
    """An SMS provider on the loopback, empty and obliging."""
    fake = SmsFake()
    await fake.start()
    yield fake
    await fake.stop()
