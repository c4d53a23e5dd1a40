"""What a journey itself says, and what an operator asks of it."""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

from temporalio.client import (
    Client,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import QueryRejectCondition
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from api.problems import Away
from api.service import Service
from domain.errors import Refused
from domain.journey import JourneyState, Operation, Verb, workflow_id

_ASKED_FOR: Final = 2.0  # seconds a reader waits for what the journey says
_OPERATED_FOR: Final = 10.0
_RUN_ENDED: Final = "AcceptedUpdateCompletedWorkflow"
"""What Temporal says of an update that was accepted by a run which ended before it was answered."""
_AWAY = (RPCError, RuntimeError, OSError, TimeoutError)


class Asked(NamedTuple):
    """What a journey knows; None when it does not answer. `lost`: there is none under way."""

    state: JourneyState | None
    lost: bool = False


async def ask(service: Service, record_type: str, record_id: int) -> Asked:
    """Ask the journey of a record, for two seconds."""
    try:
        async with asyncio.timeout(_ASKED_FOR):
            handle = _handle(await service.connect(), record_type, record_id)
            open_ones = QueryRejectCondition.NOT_OPEN  # one that was ended has nothing more to say
            found: JourneyState = await handle.query(
                "state", result_type=JourneyState, reject_condition=open_ones
            )
            return Asked(found)
    except WorkflowQueryRejectedError:
        return Asked(None, lost=True)
    except RPCError as error:
        return Asked(None, lost=error.status == RPCStatusCode.NOT_FOUND)
    except (*_AWAY, WorkflowQueryFailedError):
        return Asked(None)


async def operate(
    service: Service, record_type: str, record_id: int, verb: Verb, operation: Operation
) -> None:
    """Have the journey do it. Raises `Refused` when it will not, `Away` when Temporal does not answer."""
    try:
        async with asyncio.timeout(_OPERATED_FOR):
            handle = _handle(await service.connect(), record_type, record_id)
            while not await operated(handle, verb, operation):
                pass  # that run ended meanwhile; the next one knows the operation by its id
    except WorkflowUpdateFailedError as failed:
        raise Refused("operation_refused", str(failed.cause), 409) from failed
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            what = "the journey of this record has not begun, or is over"
            raise Refused("no_journey", what, 409) from error
        raise Away("temporal_away", "Temporal does not answer") from error
    except (*_AWAY, WorkflowUpdateRPCTimeoutOrCancelledError) as error:
        raise Away("temporal_away", "Temporal does not answer") from error


async def operated(handle: WorkflowHandle[object, object], verb: Verb, operation: Operation) -> bool:
    """Ask once; False if the run ended before it had answered: then the next one is to be asked the same."""
    try:
        await handle.execute_update(verb, operation, id=operation.id)
    except WorkflowUpdateFailedError as failed:
        if not (isinstance(failed.cause, ApplicationError) and failed.cause.type == _RUN_ENDED):
            raise
        return False
    return True


def _handle(client: Client, record_type: str, record_id: int) -> WorkflowHandle[object, object]:
    return client.get_workflow_handle(workflow_id(record_type, record_id))
