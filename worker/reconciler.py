"""Does what nobody else would: for journeys that are behind or were ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import structlog
from temporalio.client import Client
from temporalio.service import RPCError

from db.engine import Database
from db.outbox import behind, of_records
from domain.journey import WORKFLOW
from worker.patience import DATABASE_AWAY, in_words, stopped_within
from worker.relay import Round, ring

log = structlog.get_logger()

EVERY = 30.0
GRACE: Final = timedelta(seconds=30)
"""So long a journey may take to open a visit before it is rung again."""
LOOK_BACK: Final = timedelta(hours=1)
"""How long ago a journey may have been ended to be taken up again."""


async def reconcile(
    database: Database,
    client: Client,
    task_queue: str,
    stop: asyncio.Event,
    now: Callable[[], datetime],
) -> None:
    """Look every 30 seconds, until it is time to stop. `now`: the clock (UTC)."""
    while not await stopped_within(stop, EVERY):
        try:
            _say(
                "rang for journeys that are behind",
                await ring_behind(database, client, task_queue, now() - GRACE),
            )
            _say(
                "took up journeys that were ended",
                await ring_ended(database, client, task_queue, now() - LOOK_BACK),
            )
        except DATABASE_AWAY as error:
            log.warning("the database does not answer", error=in_words(error), again_in=EVERY)
        except RPCError as error:
            log.warning("Temporal does not say which journeys were ended", error=in_words(error))


async def ring_behind(database: Database, client: Client, task_queue: str, before: datetime) -> Round:
    """One round, for records that entered their stage before `before`."""
    async with database.transaction() as tx:
        bells = await behind(tx, before)
    return await ring(client, bells, task_queue)


async def ring_ended(database: Database, client: Client, task_queue: str, since: datetime) -> Round:
    """Ring for records whose journey was terminated, or failed, since then: what is pending must not be lost.

    Whoever wants a journey to stand still suspends it. Raises `RPCError`.
    """
    ours = f"WorkflowType = '{WORKFLOW}' and TaskQueue = '{task_queue}'"
    asked = f"{ours} and {_ENDED} and CloseTime > '{since.isoformat()}'"
    ended = {run.id.rpartition("-")[2]: run.run_id async for run in client.list_workflows(asked, limit=1000)}
    if not ended:
        return Round([], [])
    async with database.transaction() as tx:
        bells = await of_records(tx, {int(record_id): run for record_id, run in ended.items()})
    return await ring(client, bells, task_queue)


def _say(what: str, tried: Round) -> None:
    if tried.rung or tried.away:
        log.info(what, bells=len(tried.rung), error=in_words(tried.away) if tried.away else None)


_ENDED: Final = "ExecutionStatus in ('Terminated', 'Failed', 'TimedOut', 'Canceled')"
