"""How the journeys of some records stand: under way, gone, or failing one task after the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryReverseRequest
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowQueryFailedError
from temporalio.common import QueryRejectCondition
from temporalio.service import RPCError, RPCStatusCode

from db.healing import Followed, Reason
from domain.journey import WORKFLOW, Shown

AT_ONCE: Final = 10
FAILS: Final = 3
"""So many attempts at one workflow task are not one worker's bad moment."""
_PATIENCE: Final = timedelta(seconds=5)


class Trouble(NamedTuple):
    """A record whose journey cannot go on, why, and the run that cannot."""

    record: Followed
    reason: Reason
    run_id: str
    runs: bool = False


async def troubled(
    client: Client, records: Sequence[Followed], failing: Collection[int] = ()
) -> list[Trouble]:
    """Those whose journey is not there, has ended, or fails. Raises `RPCError` while Temporal is away.

    `failing`: records of whose journey Temporal has said so.
    """
    slots = asyncio.Semaphore(AT_ONCE)

    async def look(record: Followed) -> Trouble | None:
        async with slots:
            return await _look(client, record, 2 if record.record_id in failing else FAILS)

    return [found for found in await asyncio.gather(*map(look, records)) if found]


async def failing(client: Client, queue: str) -> AsyncIterator[str]:
    """The ids of journeys whose tasks fail again and again, as Temporal reports them itself."""
    asked = (
        f"WorkflowType = '{WORKFLOW}' and TaskQueue = '{queue}' and ExecutionStatus = 'Running' "
        "and TemporalReportedProblems in ('category=WorkflowTaskFailed')"
    )
    async for run in client.list_workflows(asked, limit=_MOST):
        yield run.id


async def ended(client: Client, queue: str, aborted: datetime, completed: datetime) -> AsyncIterator[str]:
    """The ids of journeys that were ended since `aborted`, or ended by themselves since `completed`."""
    ours = f"WorkflowType = '{WORKFLOW}' and TaskQueue = '{queue}'"
    for status, since in ((_ABORTED, aborted), (_COMPLETED, completed)):
        asked = f"{ours} and {status} and CloseTime > '{since.isoformat()}'"
        async for run in client.list_workflows(asked, limit=_MOST):
            yield run.id


async def ahead(client: Client, record: Followed) -> Trouble | None:
    """A journey that says it has opened the present visit; the database was read before."""
    handle = client.get_workflow_handle(record.journey)
    try:
        run_id = (await handle.describe(rpc_timeout=_PATIENCE)).run_id
        shown: Shown = await handle.query(
            "state", result_type=Shown, reject_condition=QueryRejectCondition.NOT_OPEN, rpc_timeout=_PATIENCE
        )
    except (RPCError, WorkflowQueryFailedError):
        return None  # it is not there, is busy, or fails: others see to that
    if shown.progress.visit_no < record.visit_no:
        return None
    return Trouble(record, "not_opened", run_id, runs=True)


async def run_before(client: Client, record: Followed, at: datetime) -> str | None:
    """The run a journey is in that began before `at`; empty if it is in none, None if it was begun since."""
    try:
        found = await client.get_workflow_handle(record.journey).describe(rpc_timeout=_PATIENCE)
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
        return ""
    if found.status != WorkflowExecutionStatus.RUNNING:
        return ""
    first = found.raw_description.workflow_execution_info.first_run_id == found.run_id
    return None if first and found.start_time >= at else found.run_id


async def _look(client: Client, record: Followed, fails: int) -> Trouble | None:
    try:
        found = await client.get_workflow_handle(record.journey).describe(rpc_timeout=_PATIENCE)
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
        return Trouble(record, "missing", "")
    if found.status != WorkflowExecutionStatus.RUNNING:
        return Trouble(record, "ended", found.run_id)
    task = found.raw_description.pending_workflow_task
    if task.attempt >= fails and await _failed(client, record.journey, found.run_id):
        return Trouble(record, "tasks_fail", found.run_id, runs=True)
    return None


async def _failed(client: Client, journey: str, run_id: str) -> bool:
    """Whether the task in question failed, rather than that no worker was there for it."""
    request = GetWorkflowExecutionHistoryReverseRequest(namespace=client.namespace, maximum_page_size=1)
    request.execution.workflow_id, request.execution.run_id = journey, run_id
    service = client.workflow_service
    told = await service.get_workflow_execution_history_reverse(request, timeout=_PATIENCE)
    return any(e.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED for e in told.history.events)


_MOST: Final = 1000
_ABORTED: Final = "ExecutionStatus in ('Terminated', 'Failed', 'TimedOut', 'Canceled')"
_COMPLETED: Final = "ExecutionStatus = 'Completed'"
