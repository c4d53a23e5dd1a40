"""Temporal as every process of the product reaches it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from pydantic_core import SchemaSerializer
from pydantic_core.core_schema import any_schema
from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.contrib.pydantic import PydanticJSONPlainPayloadConverter
from temporalio.converter import (
    CompositePayloadConverter,
    DataConverter,
    DefaultPayloadConverter,
    JSONPlainPayloadConverter,
)
from temporalio.envconfig import ClientConfig

from db.settings import Settings

_ANSWERS_WITHIN = timedelta(seconds=5)


class _WithoutDefaults(PydanticJSONPlainPayloadConverter):
    """Leaves out what equals its default, so that histories stay small.

    The converter's own option leaves out what was never *assigned* instead, and so loses what was appended
    to a list that began as a default.
    """

    def __init__(self) -> None:
        super().__init__()
        self._serializer = SchemaSerializer(any_schema())

    def to_payload(self, value: object) -> Payload | None:
        data = self._serializer.to_json(value, exclude_defaults=True)
        return Payload(metadata={"encoding": self.encoding.encode()}, data=data)


class PayloadConverter(CompositePayloadConverter):
    """Pydantic models as JSON without defaults, everything else as Temporal's own converter has it."""

    def __init__(self) -> None:
        theirs = DefaultPayloadConverter.default_encoding_payload_converters
        ours = _WithoutDefaults()
        super().__init__(*(ours if isinstance(c, JSONPlainPayloadConverter) else c for c in theirs))


DATA_CONVERTER = DataConverter(payload_converter_class=PayloadConverter)


async def connect(settings: Settings) -> Client:
    """A client of Temporal. TLS, API key and the like come from Temporal's own environment configuration.

    Tries once. Raises `RuntimeError` or `RPCError` when Temporal does not answer.
    """
    config = ClientConfig.load_client_connect_config()
    config["target_host"] = settings.temporal_address
    if "temporal_namespace" in settings.model_fields_set or not config.get("namespace"):
        config["namespace"] = settings.temporal_namespace
    return await Client.connect(**config, data_converter=DATA_CONVERTER, connect_timeout=_ANSWERS_WITHIN)


class Connection:
    """Connects when it is first called, and hands out the same client from then on.

    A call raises what `connect` raises; the next one tries again.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: Client | None = None
        self._one_try = asyncio.Lock()

    async def __call__(self) -> Client:
        if self._client is None:
            async with self._one_try:
                if self._client is None:
                    self._client = await connect(self._settings)
        return self._client
