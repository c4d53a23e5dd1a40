"""Database schema, search attributes and sample: what must be there before a worker starts."""

import asyncio

from temporalio.client import Client
from temporalio.envconfig import ClientConfig
from temporalio.service import RPCError

from cli.errors import Trouble
from db.settings import Settings

PATIENCE = 60.0
"""Seconds that Temporal may take to come up."""


async def migrate(settings: Settings, *, sample: bool) -> None:
    """Upgrade the schema, register the search attributes, load the sample once.

    Safe to repeat. Raises `Trouble` if Temporal does not answer.
    """
    from db import migrate as schema
    from db import sample as samples
    from worker import search_attributes

    # alembic runs a loop of its own
    await asyncio.to_thread(schema.upgrade, settings.database_url)
    await search_attributes.register(await connect(settings))
    if sample:
        await samples.load(settings.database_url)


async def connect(settings: Settings) -> Client:
    """A client of Temporal, as soon as it answers; TLS and keys come from Temporal's own settings."""
    config = ClientConfig.load_client_connect_config()
    config["target_host"] = settings.temporal_address
    config["namespace"] = settings.temporal_namespace
    address, deadline = settings.temporal_address, asyncio.get_running_loop().time() + PATIENCE
    while True:
        try:
            return await Client.connect(**config)
        except (RuntimeError, RPCError) as refused:
            if asyncio.get_running_loop().time() > deadline:
                raise Trouble(f"Temporal at {address} does not answer: {refused}") from refused
            await asyncio.sleep(0.1)
