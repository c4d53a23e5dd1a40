"""A document on the way of a record: everything real, the queue of what is slow included."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest
from sqlalchemy import text
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from api.app import create_app
from db.engine import Database
from tests import builders
from tests.stories.conftest import SETTINGS, Api
from tests.stories.test_api_and_journey import a_deal, until
from tests.stories.test_documents import RULE, furnished
from worker.relay import relay
from worker.running import running

SAID = {"id": "said", "kind": "add_comment", "after_previous": True,
        "params": {"text": "{{ steps.offer.number }}"}}  # fmt: skip


@pytest.fixture
async def api(database: Database, temporal: WorkflowEnvironment, tmp_path: Path) -> AsyncIterator[Api]:
    """The API, a worker and a relay, which keep documents in a folder of the test."""
    async with database.transaction() as tx:
        await builders.company(tx)
        # ids that no other test has given a journey
        first = {"first": uuid4().int % 2**40}
        await tx.execute(text("select setval(pg_get_serial_sequence('record', 'id'), :first)"), first)
    settings = SETTINGS.model_copy(update={"task_queue": f"documents-{uuid4().hex}", "home": tmp_path})

    async def connect() -> Client:
        return temporal.client

    app = create_app(settings, clock=lambda: datetime.now(UTC), database=database, connect=connect)
    async with app.router.lifespan_context(app), running(temporal.client, database, settings):
        stop = asyncio.Event()
        relaying = asyncio.create_task(relay(database, temporal.client, settings.task_queue, stop))
        async with Api(httpx2.ASGITransport(app=app, raise_app_exceptions=False)) as caller:
            yield caller
        stop.set()
        await relaying


async def test_a_chain_goes_on_with_the_number_of_its_document(api: Api) -> None:
    await furnished(api)
    deal = await a_deal(api, RULE, SAID)

    said: list[str] = []

    async def spoke() -> bool:
        comments = await api.seen(f"/records/{deal}/comments")
        said[:] = [row["body"] for row in comments["items"] if row["rule"] == "said"]
        return bool(said)

    await until(spoke)
    (document,) = (await api.seen(f"/records/{deal}/documents"))["items"]
    assert said == [document["number"]]
    assert (await api.get(f"/documents/{document['id']}/file")).content.startswith(b"%PDF")

