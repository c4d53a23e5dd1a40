"""Rings the bells that nobody has rung: their writer died, or Temporal was away.

Any number of relays may run at once: what one has in hand the others pass over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Final, NamedTuple
from uuid import UUID

import structlog
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from db.doorbell import deliver
from db.engine import Database
from db.fail_points import fail_point
from db.outbox import CHANNEL, Bell, left_over, mark_failed, mark_rung
from worker.patience import DATABASE_AWAY, Patience, in_words

log = structlog.get_logger()

NO_DATABASE = "the database does not answer"
POLL_EVERY = 1.0
YOUNG: Final = timedelta(seconds=1)
"""So long a bell is left to whoever wrote it."""
ROUND: Final = 4.0
"""Seconds after which a round begins no more bell; with one slow answer it stays below the 10 that the
database lets a transaction idle."""
AT_ONCE = 10
THE_BELL_ITSELF: Final = {
    RPCStatusCode.INVALID_ARGUMENT,
    RPCStatusCode.FAILED_PRECONDITION,
    RPCStatusCode.ALREADY_EXISTS,
    RPCStatusCode.OUT_OF_RANGE,
    RPCStatusCode.RESOURCE_EXHAUSTED,  # also said of a single busy workflow
}
"""What Temporal says of a bell rather than of itself."""


class Round(NamedTuple):
    """What became of some bells. `away`: why the rest was not tried."""

    rung: list[UUID]
    failed: list[UUID]
    away: RPCError | None = None


async def relay(database: Database, client: Client, task_queue: str, stop: asyncio.Event) -> None:
    """Ring what is left over each second, and what is notified at once, until it is time to stop."""
    heard = asyncio.Event()
    async with asyncio.TaskGroup() as both:
        listening = both.create_task(_listen(database, heard, stop))
        try:
            await _poll(database, client, task_queue, heard, stop)
        finally:
            listening.cancel()


async def _poll(
    database: Database, client: Client, task_queue: str, heard: asyncio.Event, stop: asyncio.Event
) -> None:
    temporal, postgres = Patience("Temporal does not answer", stop), Patience(NO_DATABASE, stop)
    more, older_than = False, None
    while not stop.is_set():
        if not more:
            await _wake(heard, stop)
            older_than = None if heard.is_set() else YOUNG
            heard.clear()
        more = False
        try:
            tried = await ring_left_over(database, client, task_queue, older_than)
        except DATABASE_AWAY as error:
            await postgres.pause(error)
            continue
        postgres.over()
        if tried.rung:
            log.info("rang what was left over", bells=len(tried.rung))
        if tried.away:
            await temporal.pause(tried.away)
        else:
            temporal.over()
            more = bool(tried.rung)


async def ring_left_over(
    database: Database, client: Client, task_queue: str, older_than: timedelta | None = None
) -> Round:
    """One round: take what is left over, ring it, and mark it in the same transaction."""
    async with database.transaction() as tx:
        bells = await left_over(tx, older_than)
        tried = await ring(client, bells, task_queue)
        if tried.rung:
            fail_point("relay.rung")
            await mark_rung(tx, tried.rung)
        if tried.failed:
            await mark_failed(tx, tried.failed)
    return tried


async def ring(client: Client, bells: Sequence[Bell], task_queue: str) -> Round:
    """Ring bells, several records at once, each record's in order.

    A bell that fails holds up no other. When Temporal is away, no more are begun.
    """
    loop = asyncio.get_running_loop()
    ends, slots = loop.time() + ROUND, asyncio.Semaphore(AT_ONCE)
    rung: list[UUID] = []
    failed: list[UUID] = []
    away: list[RPCError] = []

    async def ring_those_of_one_record(its: Sequence[Bell]) -> None:
        async with slots:
            for bell in its:
                if away or loop.time() > ends:
                    return
                try:
                    await deliver(client, bell, task_queue)
                except RPCError as refused:
                    if refused.status not in THE_BELL_ITSELF:
                        away.append(refused)
                        return
                    failed.append(bell.id)
                    log.error("a bell was refused", bell=str(bell.id), error=in_words(refused))
                except Exception as error:  # noqa: BLE001 - whatever is wrong with one bell, the others are rung
                    failed.append(bell.id)  # what the error says may quote the bell
                    log.error("a bell cannot be rung", bell=str(bell.id), error=type(error).__name__)
                else:
                    rung.append(bell.id)

    of_record: dict[int, list[Bell]] = {}
    for bell in bells:
        of_record.setdefault(bell.record_id, []).append(bell)
    await asyncio.gather(*(ring_those_of_one_record(its) for its in of_record.values()))
    return Round(rung, failed, away[0] if away else None)


async def _wake(heard: asyncio.Event, stop: asyncio.Event) -> None:
    """Wait for a notification, for the time to poll, or for the time to stop."""
    waiting = [asyncio.create_task(heard.wait()), asyncio.create_task(stop.wait())]
    try:
        await asyncio.wait(waiting, timeout=POLL_EVERY, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()


async def _listen(database: Database, heard: asyncio.Event, stop: asyncio.Event) -> None:
    """Set `heard` at each notification; a lost connection is made again."""
    patience = Patience(NO_DATABASE, stop)
    while not stop.is_set():
        try:
            async for _ in database.listen(CHANNEL):
                patience.over()
                heard.set()
        except DATABASE_AWAY as error:
            await patience.pause(error)
