"""How Temporal is reached, and what it is told."""

from __future__ import annotations

import asyncio

import pytest
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.testing import WorkflowEnvironment

from db.settings import Settings
from db.temporal import DATA_CONVERTER, Connection
from domain.events import Closing
from domain.journey import SEARCH_ATTRIBUTES, JourneyState
from domain.progress import Progress
from worker import search_attributes

NOTHING = "127.0.0.1:1"


async def test_a_connection_is_made_when_temporal_answers_and_then_stays(
    temporal: WorkflowEnvironment,
) -> None:
    with pytest.raises(RuntimeError):
        await Connection(Settings(temporal_address=NOTHING))()
    connection = Connection(Settings(temporal_address=temporal.client.service_client.config.target_host))
    assert await connection() is await connection()


async def test_payloads_carry_no_defaults_and_lose_nothing() -> None:
    progress = Progress(visit_no=1)
    progress.closing.append(Closing(visit_no=1, rule="remind", n=2))  # appended, never assigned
    state = JourneyState(record_id=7, progress=progress)
    [payload] = await DATA_CONVERTER.encode([state])
    told = b'{"record_id":7,"progress":{"visit_no":1,"closing":[{"visit_no":1,"rule":"remind","n":2}]}}'
    assert payload.data == told
    assert await DATA_CONVERTER.decode([payload], [JourneyState]) == [state]


async def test_search_attributes_are_registered_once(temporal: WorkflowEnvironment) -> None:
    client = temporal.client
    await asyncio.gather(search_attributes.register(client), search_attributes.register(client))
    listed = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )
    assert set(SEARCH_ATTRIBUTES) <= set(listed.custom_attributes)
