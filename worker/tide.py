"""A mark in Temporal that rises with one in PostgreSQL: whichever is behind the other is not what it was.

The mark is an execution that nobody works on and that never begins: it has a memo and a start in ten years.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final, NamedTuple

from temporalio.api.enums.v1 import WorkflowIdConflictPolicy
from temporalio.api.workflowservice.v1 import StartWorkflowExecutionRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from db.engine import Database
from db.healing import AllReason, raise_tide, tide

MARK: Final = "JalonMark"
_NEVER: Final = timedelta(days=3650)
_PATIENCE: Final = timedelta(seconds=5)


class Tides(NamedTuple):
    """How often either side has been looked at. `temporal` is None where there is no mark."""

    temporal: int | None
    database: int

    @property
    def wrong(self) -> AllReason | None:
        """What is not what it was. One look apart is one that broke off."""
        if self.temporal is None:
            return "temporal_lost" if self.database > 1 else None
        if self.temporal > self.database:
            return "database_restored"
        return "temporal_restored" if self.temporal < self.database - 1 else None


async def compared(client: Client, database: Database, queue: str) -> Tides:
    """Both tides. The database, which rises first, is asked between two questions to Temporal."""
    while True:
        before = await _marked(client, queue)
        async with database.transaction() as tx:
            own = await tide(tx)
        if await _marked(client, queue) == before:
            return Tides(before, own)


async def rise(client: Client, database: Database, queue: str, found: Tides) -> None:
    """Raise both, the database first; what broke off before is made good."""
    broke_off = found.temporal is not None and found.temporal == found.database - 1
    to = found.database if broke_off else max(found.database, found.temporal or 0) + 1
    async with database.transaction() as tx:
        await raise_tide(tx, to)
    request = StartWorkflowExecutionRequest(
        namespace=client.namespace,
        workflow_id=_mark_of(queue),
        request_id=f"{queue}/{to}",
        identity=client.identity,
        workflow_id_conflict_policy=WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING,
    )
    request.workflow_type.name, request.task_queue.name = MARK, f"{queue}-mark"
    request.workflow_start_delay.FromTimedelta(_NEVER)
    request.memo.fields["tide"].CopyFrom((await client.data_converter.encode([to]))[0])
    service = client.workflow_service
    await service.start_workflow_execution(request, retry=False, timeout=_PATIENCE)


async def _marked(client: Client, queue: str) -> int | None:
    try:
        handle = client.get_workflow_handle(_mark_of(queue))
        return int(await (await handle.describe(rpc_timeout=_PATIENCE)).memo_value("tide", 0, type_hint=int))
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
        return None


def _mark_of(queue: str) -> str:
    return f"{queue}-mark"
