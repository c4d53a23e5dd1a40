"""Activities that take longer than a workflow task may."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from typing import Any

import temporalio.client
import temporalio.worker
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

TASK = timedelta(seconds=1)
"""What a workflow task may take; what a local activity adds beyond 80 % of it completes the task early."""


class Slow(temporalio.client.Interceptor, temporalio.worker.Interceptor):
    """One activity in ten takes longer than a task may, before it begins or before it answers."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002  # named by the SDK
        return _Inbound(next, self._dice)


class _Inbound(ActivityInboundInterceptor):
    def __init__(self, inner: ActivityInboundInterceptor, dice: random.Random) -> None:
        super().__init__(inner)
        self._dice = dice

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002  # named by the SDK
        before, after = self._pause(), self._pause()
        await asyncio.sleep(before)
        answer = await super().execute_activity(input)
        await asyncio.sleep(after)
        return answer

    def _pause(self) -> float:
        roll = self._dice.random()
        if roll < 0.1:
            return self._dice.uniform(0.85, 1.3)
        return self._dice.uniform(0, 0.05) if roll < 0.4 else 0
