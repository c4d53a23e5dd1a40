"""Rings bells: a signal each, which starts the journey where there is none, with the bell's id as request id.

`Client.start_workflow` always makes a fresh request id, so the requests are made by hand. The server knows a
request id within one run; after continue-as-new a second ringing is one more signal, which `visit_no` and the
ids a journey has seen make harmless. Interceptors of the client do not see these calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID

import structlog
from temporalio.api.common.v1 import Payloads
from temporalio.api.enums.v1 import WorkflowIdConflictPolicy
from temporalio.api.workflowservice.v1 import (
    SignalWithStartWorkflowExecutionRequest,
    SignalWorkflowExecutionRequest,
    StartWorkflowExecutionRequest,
)
from temporalio.client import Client
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from temporalio.converter import encode_search_attributes
from temporalio.service import RPCError, RPCStatusCode

from db.engine import Database
from db.outbox import Bell, mark_rung
from domain.journey import WORKFLOW, Entered, Face, JourneyState, workflow_id

log = structlog.get_logger()
Connect = Callable[[], Awaitable[Client]]
_USE_EXISTING = WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING
_PATIENCE = timedelta(seconds=5)
_A_MOMENT = (0.05, 0.2, 0.8)
_MARK_EVERY = 0.2


class Doorbell:
    """Rings at once, and marks what it rang a little later, many bells a statement.

    `connect` answers a client of Temporal, the same one each time it can. What cannot be rung is left to the
    relay.
    """

    def __init__(self, database: Database, connect: Connect, task_queue: str) -> None:
        self._database, self._connect, self._task_queue = database, connect, task_queue
        self._rung: list[UUID] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._marking: asyncio.Task[None] | None = None

    def ring(self, *bells: Bell | None) -> None:
        """Ring in the background, each record's bells in order; returns at once."""
        ringing = [bell for bell in bells if bell is not None]
        if ringing:
            task = asyncio.create_task(self._ring(ringing))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def settle(self) -> None:
        """Wait until everything has been rung, or given up, and marked."""
        while self._tasks or self._marking:
            await asyncio.wait([*self._tasks, *([self._marking] if self._marking else [])])

    async def _ring(self, bells: list[Bell]) -> None:
        try:
            client = await asyncio.wait_for(self._connect(), _PATIENCE.total_seconds())
            for bell in bells:
                await self._deliver(client, bell)
                self._rung.append(bell.id)
        except (RPCError, RuntimeError, OSError, TimeoutError) as away:
            log.warning("Temporal does not answer; the relay will ring", bells=len(bells), error=str(away))
        if self._rung and self._marking is None:
            self._marking = asyncio.create_task(self._mark())

    async def _deliver(self, client: Client, bell: Bell) -> None:
        """A run that is about to end hears nothing for a moment; the next one does."""
        for pause in _A_MOMENT:
            try:
                return await deliver(client, bell, self._task_queue)
            except RPCError as error:
                if error.status != RPCStatusCode.RESOURCE_EXHAUSTED:
                    raise
                await asyncio.sleep(pause)
        await deliver(client, bell, self._task_queue)

    async def _mark(self) -> None:
        try:
            while self._rung:
                await asyncio.sleep(_MARK_EVERY)
                ids, self._rung = self._rung, []
                async with self._database.transaction() as tx:
                    await mark_rung(tx, ids)
        except Exception as error:  # noqa: BLE001 - unmarked bells are rung again, which is harmless
            log.warning("bells were rung and not marked", error=str(error))
        finally:
            self._marking = None


async def deliver(client: Client, bell: Bell, task_queue: str) -> None:
    """Ring one bell. Raises `RPCError` when Temporal refuses or is away."""
    journey = workflow_id(bell.face.record_type, bell.record_id)
    signal = bell.signal()
    begins = isinstance(signal, Entered) and signal.visit_no == 1
    told = await _payloads(client, signal)
    if not begins and await _signalled(client, journey, bell, told):
        return
    state = JourneyState(record_id=bell.record_id, wanted=bell.visit_no, face=bell.face)
    if begins:
        start = StartWorkflowExecutionRequest(  # a journey begins with its first visit: no signal
            namespace=client.namespace,
            workflow_id=journey,
            request_id=str(bell.id),
            identity=client.identity,
            workflow_id_conflict_policy=_USE_EXISTING,
            input=await _payloads(client, state),
        )
        _say_what(start, bell.face, task_queue)
        await client.workflow_service.start_workflow_execution(start, retry=False, timeout=_PATIENCE)
        return
    request = SignalWithStartWorkflowExecutionRequest(
        namespace=client.namespace,
        workflow_id=journey,
        request_id=str(bell.id),
        identity=client.identity,
        workflow_id_conflict_policy=_USE_EXISTING,
        input=await _payloads(client, state),
        signal_name=bell.kind,
        signal_input=told,
    )
    _say_what(request, bell.face, task_queue)
    service = client.workflow_service
    await service.signal_with_start_workflow_execution(request, retry=False, timeout=_PATIENCE)


async def _signalled(client: Client, journey: str, bell: Bell, told: Payloads) -> bool:
    """Ring at a journey that is under way, which is what most are; False if there is none."""
    request = SignalWorkflowExecutionRequest(
        namespace=client.namespace,
        request_id=str(bell.id),
        identity=client.identity,
        signal_name=bell.kind,
        input=told,
    )
    request.workflow_execution.workflow_id = journey
    try:
        await client.workflow_service.signal_workflow_execution(request, retry=False, timeout=_PATIENCE)
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
        return False
    return True


def _say_what(
    request: StartWorkflowExecutionRequest | SignalWithStartWorkflowExecutionRequest,
    face: Face,
    task_queue: str,
) -> None:
    request.workflow_type.name, request.task_queue.name = WORKFLOW, task_queue
    encode_search_attributes(search_attributes(face), request.search_attributes)


def search_attributes(face: Face) -> TypedSearchAttributes:
    """The search attributes that follow from what a record is."""
    known = {
        "JalonRecordType": face.record_type,
        "JalonPipeline": face.pipeline,
        "JalonStage": face.stage,
        "JalonResponsible": face.responsible,
    }
    key = SearchAttributeKey.for_keyword
    pairs = [SearchAttributePair(key(name), value) for name, value in known.items() if value]
    return TypedSearchAttributes(pairs)


async def _payloads(client: Client, value: object) -> Payloads:
    return Payloads(payloads=await client.data_converter.encode([value]))
