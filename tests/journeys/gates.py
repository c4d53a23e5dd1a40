"""Holds back what an activity answers, after it has committed, until a test lets it go."""

from __future__ import annotations

import asyncio
from typing import Any

import temporalio.client
import temporalio.worker
from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput


class Gate:
    """`reached`: the activity has committed. `open`: its answer may go."""

    def __init__(self) -> None:
        self.reached, self.open = asyncio.Event(), asyncio.Event()


class Gates(temporalio.client.Interceptor, temporalio.worker.Interceptor):
    """The gates of one worker."""

    def __init__(self) -> None:
        self._closed: dict[tuple[str, str], Gate] = {}

    def close(self, journey: str, activity_type: str) -> Gate:
        """Hold back the next answer of such an activity to a journey."""
        self._closed[journey, activity_type] = gate = Gate()
        return gate

    async def pass_through(self) -> None:
        info = activity.info()
        if gate := self._closed.pop((info.workflow_id or "", info.activity_type), None):
            gate.reached.set()
            await gate.open.wait()

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002  # named by the SDK
        return _Inbound(next, self)


class _Inbound(ActivityInboundInterceptor):
    def __init__(self, inner: ActivityInboundInterceptor, gates: Gates) -> None:
        super().__init__(inner)
        self._gates = gates

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002  # named by the SDK
        answer = await super().execute_activity(input)
        await self._gates.pass_through()
        return answer
