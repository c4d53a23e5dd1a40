"""The search attributes by which administrators find journeys in the Temporal Web UI."""

from __future__ import annotations

import asyncio
import re

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from domain.journey import SEARCH_ATTRIBUTES

_VISIBLE_WITHIN = 60.0
_LOOK_EVERY = 0.1


async def register(client: Client) -> None:
    """Add those the namespace has not, and wait until they are there.

    Safe to repeat, and to run twice at once. Raises `RPCError` when Temporal refuses or is away, `ValueError`
    for one that is there with another type, `TimeoutError` when they do not come.
    """
    async with asyncio.timeout(_VISIBLE_WITHIN):
        while missing := await _missing(client):
            try:
                await client.operator_service.add_search_attributes(
                    AddSearchAttributesRequest(namespace=client.namespace, search_attributes=missing)
                )
            except RPCError as refused:
                if refused.status is not RPCStatusCode.ALREADY_EXISTS:  # someone else was quicker
                    raise
            await asyncio.sleep(_LOOK_EVERY)


async def _missing(client: Client) -> dict[str, IndexedValueType.ValueType]:
    listed = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )
    wanted = {name: _indexed_as(kind) for name, kind in SEARCH_ATTRIBUTES.items()}
    for name, kind in wanted.items():
        if listed.custom_attributes.get(name, kind) != kind:
            raise ValueError(f"the search attribute {name} is not of the type {SEARCH_ATTRIBUTES[name]}")
    return {name: kind for name, kind in wanted.items() if name not in listed.custom_attributes}


def _indexed_as(kind: str) -> IndexedValueType.ValueType:
    """KeywordList → INDEXED_VALUE_TYPE_KEYWORD_LIST."""
    return IndexedValueType.Value("INDEXED_VALUE_TYPE_" + re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind).upper())
