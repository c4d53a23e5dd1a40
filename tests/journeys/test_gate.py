"""The gate is alive: a journey that would be poisoned fails the test, and the run of all tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from temporalio import activity, workflow
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from domain.journey import WORKFLOW, JourneyState
from tests import failed_tasks
from tests.histories import all_replay, look
from tests.servers import temporal_server

QUEUE = "gate"
SOON = timedelta(seconds=5)


@activity.defn(name="another")
async def another() -> None:
    """What no journey asks for."""


@workflow.defn(name=WORKFLOW)
class Other:
    """Code of another mind: what it asked for, the journey's would not."""

    replayed = 0

    @workflow.run
    async def run(self, _: JourneyState) -> None:
        await workflow.execute_activity("another", start_to_close_timeout=SOON)


@workflow.defn(name=WORKFLOW)
class Fickle:
    """Each time it is asked it wants something else, and once it raises."""

    told, asked = False, 0

    @workflow.signal
    def entered(self) -> None:
        self.told = True

    @workflow.run
    async def run(self, state: JourneyState) -> None:
        if state.wanted:  # it raises
            await workflow.wait_condition(lambda: self.told)
            raise ValueError("of the journey's own")
        Fickle.asked += 1
        if Fickle.asked == 1:
            await workflow.execute_activity("another", start_to_close_timeout=SOON)
        else:
            await workflow.sleep(1)
        await workflow.wait_condition(lambda: self.told)


@pytest.fixture
async def server() -> AsyncIterator[WorkflowEnvironment]:
    """One of its own: what is poisoned here must not be found at the end of the run."""
    async with await temporal_server() as environment:
        yield environment


def works(environment: WorkflowEnvironment, other: type) -> Worker:
    return Worker(
        environment.client, task_queue=QUEUE, workflows=[other], activities=[another],
        workflow_runner=UnsandboxedWorkflowRunner(), max_cached_workflows=0,
    )  # fmt: skip


@pytest.mark.fails_tasks
async def test_a_history_that_does_not_replay_fails_the_run_of_all_tests(server: WorkflowEnvironment) -> None:
    async with works(server, Other):
        await server.client.execute_workflow(
            WORKFLOW, JourneyState(record_id=1), id="deal-1", task_queue=QUEUE
        )
    looked = await look(server.client)
    assert looked.runs == 1
    (wrong,) = looked.wrong
    assert "deal-1 does not replay" in wrong
    with pytest.raises(AssertionError, match="deal-1 does not replay"):
        await all_replay(server.client)


@pytest.mark.fails_tasks
@pytest.mark.parametrize("raises", [False, True], ids=["not deterministic", "raises"])
async def test_a_task_that_fails_is_heard_of_and_stands_in_the_history(
    server: WorkflowEnvironment, raises: bool
) -> None:
    Fickle.asked = 0
    async with works(server, Fickle):
        state = JourneyState(record_id=2, wanted=int(raises))
        handle = await server.client.start_workflow(WORKFLOW, state, id="deal-2", task_queue=QUEUE)
        await handle.signal("entered")
        wrong: list[str] = []
        async with asyncio.timeout(30):
            while not failed_tasks.so_far() or not wrong:
                await asyncio.sleep(0.05)
                wrong = [line for line in (await look(server.client)).wrong if "task failed at event" in line]
        await handle.terminate()
    assert all(failed_tasks.failed(line) for line in failed_tasks.so_far())
