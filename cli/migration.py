"""Database schema and search attributes: what must be there before a worker starts."""

import asyncio
from datetime import UTC, datetime

from temporalio.client import Client
from temporalio.service import RPCError

from cli.errors import Trouble
from db import migrate as schema
from db import temporal
from db.settings import Settings
from worker import search_attributes

PATIENCE = 60.0
"""Seconds that Temporal may take to come up."""


async def migrate(settings: Settings, *, sample: bool = False) -> bool:
    """Upgrade the schema and register the search attributes; load the sample company if it is asked for.

    The sample goes only into a database without pipelines; the answer is whether it did now. Safe to repeat,
    and to run twice at once. Raises `Trouble` if Temporal, or the store of documents, does not answer, or
    refuses.
    """
    # alembic runs a loop of its own
    await asyncio.to_thread(schema.upgrade, settings.database_url)
    client = await connect(settings)
    try:
        await search_attributes.register(client)
    except (RPCError, ValueError, TimeoutError) as refused:
        raise Trouble(f"the search attributes could not be registered: {refused}") from refused
    if not sample:
        return False
    from activities.documents import blobs_of
    from activities.providers.blobs import StoreAway
    from cli.sample.loading import load

    at = datetime.now(UTC)  # noqa: TID251 - the edge
    try:
        return await load(settings.database_url, at, blobs_of(settings))
    except StoreAway as away:
        raise Trouble(f"the template of the sample could not be kept: {away.message}") from away


async def connect(settings: Settings) -> Client:
    """A client of Temporal, as soon as it answers. Raises `Trouble` after a minute."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE
    while True:
        try:
            return await temporal.connect(settings)
        except (RuntimeError, RPCError) as refused:
            if loop.time() > deadline:
                address = settings.temporal_address
                raise Trouble(f"Temporal at {address} does not answer: {refused}") from refused
            await asyncio.sleep(0.1)
