"""The whole product over one database: the API, a worker and a relay; Temporal is the tests'."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx2
from sqlalchemy import text
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from api.app import create_app
from db.engine import Database
from tests import builders
from tests.stories.conftest import SETTINGS, Api
from worker.relay import relay
from worker.running import running


@asynccontextmanager
async def living(database: Database, temporal: WorkflowEnvironment, **settings: Any) -> AsyncIterator[Api]:
    """The company of `builders.company`, with a task queue of its own and these settings."""
    async with database.transaction() as tx:
        await builders.company(tx)
        # ids that no other test has given a journey
        first = {"first": uuid4().int % 2**40}
        await tx.execute(text("select setval(pg_get_serial_sequence('record', 'id'), :first)"), first)
    chosen = SETTINGS.model_copy(update={"task_queue": f"story-{uuid4().hex}"} | settings)

    async def connect() -> Client:
        return temporal.client

    app = create_app(chosen, clock=lambda: datetime.now(UTC), database=database, connect=connect)
    async with app.router.lifespan_context(app), running(temporal.client, database, chosen):
        stop = asyncio.Event()
        relaying = asyncio.create_task(relay(database, temporal.client, chosen.task_queue, stop))
        async with Api(httpx2.ASGITransport(app=app, raise_app_exceptions=False)) as caller:
            yield caller
        stop.set()
        await relaying
