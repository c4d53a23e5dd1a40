"""Bare Temporal for comparison, as a worker process: signal → [timer →] N activities that do nothing."""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import PollerBehaviorAutoscaling, Worker

with workflow.unsafe.imports_passed_through():
    from tests.bench import beacon


@activity.defn
async def noop(who: str) -> str:
    beacon.tell("noop", who)
    return "ok"


@workflow.defn
class Bare:
    def __init__(self) -> None:
        self._queue: list[list] = []

    @workflow.signal
    def go(self, message: list) -> None:
        self._queue.append(message)

    @workflow.run
    async def run(self) -> None:
        while True:
            await workflow.wait_condition(lambda: bool(self._queue))
            who, count, delay = self._queue.pop(0)
            if delay:
                await asyncio.sleep(delay)
            limit = timedelta(seconds=60)
            acts = [workflow.execute_activity(noop, who, start_to_close_timeout=limit) for _ in range(count)]
            await asyncio.gather(*acts)


async def main() -> None:
    client = await Client.connect(os.environ["JALON_TEMPORAL_ADDRESS"])
    queue = os.environ["JALON_TASK_QUEUE"]
    pollers = PollerBehaviorAutoscaling(minimum=2, maximum=30, initial=5)
    async with Worker(
        client, task_queue=queue, workflows=[Bare], activities=[noop],
        workflow_task_poller_behavior=pollers, activity_task_poller_behavior=pollers,
    ):  # fmt: skip
        beacon.tell("ready", queue)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
