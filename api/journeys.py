"""Whether a journey is under way, and what came of what an operator asked of it.

No query: who reads a record needs no worker, and gives its journey nothing to do (decision 0024).
"""

from __future__ import annotations

import asyncio
from itertools import chain, repeat
from typing import Final, NamedTuple

from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from api.problems import Away
from api.service import Service
from db import operations
from db.engine import Database
from domain.errors import Refused
from domain.journey import workflow_id

_LOOKED_FOR: Final = 2.0  # seconds a reader waits for what Temporal says of a journey
_OPERATED_FOR: Final = 10.0
_LOOKS: Final = (0.02, 0.02, 0.03, 0.05, 0.1, 0.2)
"""Seconds between two looks for the answer to an operation; the last one on and on."""
_AWAY = (RuntimeError, OSError, TimeoutError)


class Seen(NamedTuple):
    """Whether a journey is under way; `lost`: there is none. Neither: Temporal does not answer."""

    under_way: bool = False
    lost: bool = False


async def look(service: Service, record_type: str, record_id: int) -> Seen:
    """What Temporal says of the journey of a record, for two seconds; the journey itself is not asked."""
    try:
        async with asyncio.timeout(_LOOKED_FOR):
            client = await service.connect()
            found = await client.get_workflow_handle(workflow_id(record_type, record_id)).describe()
    except RPCError as error:
        return Seen(lost=error.status == RPCStatusCode.NOT_FOUND)
    except _AWAY:
        return Seen()
    running = found.status == WorkflowExecutionStatus.RUNNING
    return Seen(under_way=running, lost=not running)


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
