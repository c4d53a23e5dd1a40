"""What a journey itself says, and what came of what an operator asked of it."""

from __future__ import annotations

import asyncio
from itertools import chain, repeat
from typing import Final, NamedTuple

from temporalio.client import (
    Client,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
)
from temporalio.common import QueryRejectCondition
from temporalio.service import RPCError, RPCStatusCode

from api.problems import Away
from api.service import Service
from db import operations
from db.engine import Database
from domain.errors import Refused
from domain.journey import JourneyState, workflow_id

_ASKED_FOR: Final = 2.0  # seconds a reader waits for what the journey says
_OPERATED_FOR: Final = 10.0
_LOOKS: Final = (0.02, 0.02, 0.03, 0.05, 0.1, 0.2)
"""Seconds between two looks for the answer to an operation; the last one on and on."""
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


async def operated(database: Database, key: str) -> None:
    """Wait until the journey has done what was asked under a key; after ten seconds it is withdrawn.

    Raises `Refused` when it will not do it, `Away` when it has not answered, and does not do it any more.
    """
    clock, pauses = asyncio.get_running_loop().time, chain(_LOOKS, repeat(_LOOKS[-1]))
    until = clock() + _OPERATED_FOR
    for pause in pauses:
        late = clock() > until
        async with database.transaction() as tx:
            if late:  # answered or withdrawn, one of the two
                await operations.withdraw(tx, key)
            answer = await operations.answered(tx, key)
        if late and answer is None:
            raise Away("journey_away", "the journey does not answer; what was asked is withdrawn")
        if answer and answer.refused:
            raise Refused("operation_refused", answer.refused, 409)
        if answer:
            return
        await asyncio.sleep(pause)


def _handle(client: Client, record_type: str, record_id: int) -> WorkflowHandle[object, object]:
    return client.get_workflow_handle(workflow_id(record_type, record_id))
