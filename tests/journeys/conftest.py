"""The product running on real servers under virtual time; every test that asks for it runs twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import text
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from cli.embedded_postgres import Cluster
from db.engine import Database
from db.settings import Settings
from tests import builders
from tests.conftest import TEMPLATE
from tests.journeys.gates import Gates
from tests.journeys.post import Post
from tests.journeys.product import Product
from worker.running import running


@pytest.fixture(scope="session", params=[1000, 0], ids=["cached", "replayed"])
async def product(
    request: pytest.FixtureRequest, postgres: Cluster, template_url: str, temporal: WorkflowEnvironment
) -> AsyncIterator[Product]:
    """The company of `builders.company`; once with the worker's workflow cache and once without.

    Ben alone has working time: what all others do does not depend on when the tests are run.
    """
    name = f"journeys_{uuid4().hex}"
    server = await asyncpg.connect(postgres.dsn())
    await server.execute(f"create database {name} template {TEMPLATE} strategy file_copy")
    database = Database(postgres.dsn(name))
    async with database.transaction() as tx:
        await builders.company(tx, calendar=None)
        await builders.calendar_of(tx, "office")
        await tx.execute(text("update employee set calendar_id = 'office' where id = 'ben'"))
        # ids that nobody else has given a journey
        first = {"first": uuid4().int % 2**40}
        await tx.execute(text("select setval(pg_get_serial_sequence('record', 'id'), :first)"), first)
    # the time an act is booked at is its due time, however slow the machine is
    settings = Settings(task_queue=name, punctual_seconds=30)
    known, gates = temporal.client.config(active_config=True), Gates()
    client = Client(**known | {"interceptors": [*known["interceptors"], gates]})
    cached = request.param
    work = running(
        client, database, settings, mail=Post(), max_cached_workflows=cached, sandboxed=True
    )
    async with work as doorbell:
        pause = 0.02 if request.param else 0.1  # without a cache each question costs a replay
        yield Product(temporal, database, doorbell, gates, settings.task_queue, pause)
    await database.close()
    await server.execute(f"drop database {name} with (force)")
    await server.close()
