"""Rings the bells that nobody has rung: their writer died, or Temporal was away.

Any number of relays may run at once: what one has in hand the others pass over. A bell is in somebody's hand
by a lease, not by a lock, so that no transaction is open while Temporal is asked.
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
from db.outbox import CHANNEL, Bell, mark_failed, mark_rung, mark_unanswered, put_back, take_waiting
from worker.patience import DATABASE_AWAY, Patience, in_words

log = structlog.get_logger()

NO_DATABASE = "the database does not answer"
POLL_EVERY = 1.0
YOUNG: Final = timedelta(seconds=1)
"""So long a bell is left to whoever wrote it."""
AT_ONCE: Final = 20
"""Records whose bells one relay rings at once, and bells it has in hand."""
_TOGETHER: Final = 0.02
"""Seconds after one call has ended, so that what ends with it is written in one transaction."""
ENOUGH: Final = 20.0
"""Seconds after which the rest of one record's bells is put back: well before their lease is over."""
THE_BELL_ITSELF: Final = {
    RPCStatusCode.INVALID_ARGUMENT,
    RPCStatusCode.FAILED_PRECONDITION,
    RPCStatusCode.ALREADY_EXISTS,
    RPCStatusCode.OUT_OF_RANGE,
}
"""What Temporal says of a bell rather than of itself."""
ONE_CALL: Final = {
    RPCStatusCode.DEADLINE_EXCEEDED,
    RPCStatusCode.CANCELLED,  # how the client's core calls its own time-out
    RPCStatusCode.ABORTED,
    RPCStatusCode.RESOURCE_EXHAUSTED,  # also said of a single busy workflow
}
"""What it says of one call, while others may well be answered."""


class Round(NamedTuple):
    """What became of some bells. `unanswered`: some may have been heard. `away`: why not all were tried."""

    rung: list[UUID]
    failed: list[UUID]
    away: RPCError | None = None
    unanswered: list[UUID] = []
    untried: list[UUID] = []


async def relay(database: Database, client: Client, task_queue: str, stop: asyncio.Event) -> None:
    """Ring what is left over each second, and what is notified at once, until it is time to stop."""
    heard = asyncio.Event()
    async with asyncio.TaskGroup() as both:
        listening = both.create_task(_listen(database, heard, stop))
        try:
            await Relay(database, client, task_queue, stop, heard).run()
        finally:
            listening.cancel()


class Relay:
    """Rings for several records at once; a call that hangs keeps its own place and no other."""

    def __init__(
        self, database: Database, client: Client, task_queue: str, stop: asyncio.Event, heard: asyncio.Event
    ) -> None:
        self._database, self._client, self._task_queue = database, client, task_queue
        self._stop, self._heard = stop, heard
        self._temporal = Patience("Temporal does not answer", stop)
        self._postgres = Patience(NO_DATABASE, stop)
        self._ringing: set[asyncio.Task[Round]] = set()

    async def run(self) -> None:
        """Until it is time to stop; what is being rung then is rung to its end."""
        while not self._stop.is_set():
            try:
                if await self._take():
                    continue
                await self._wait()
                away = await self._collect()
            except DATABASE_AWAY as error:
                await self._postgres.pause(error)
                continue
            self._postgres.over()
            if away:
                await self._temporal.pause(away)
        if self._ringing:
            await asyncio.wait(self._ringing)
            await self._collect()

    async def _take(self) -> bool:
        """Begin to ring what waits longest, as far as there are hands; whether there was something."""
        free = AT_ONCE - len(self._ringing)
        if not free:
            return False
        older_than = None if self._heard.is_set() else YOUNG
        self._heard.clear()
        async with self._database.transaction() as tx:
            bells = await take_waiting(tx, free, older_than)
        for its in _by_record(bells):
            self._ringing.add(asyncio.create_task(ring(self._client, its, self._task_queue)))
        if older_than is None and len(bells) == free:
            self._heard.set()  # there may be more of what was notified
        return bool(bells)

    async def _wait(self) -> None:
        """For a notification if a hand is free, for one to get free, for the time to poll or to stop."""
        idle = asyncio.Event() if len(self._ringing) >= AT_ONCE else self._heard
        waiting = [asyncio.create_task(idle.wait()), asyncio.create_task(self._stop.wait())]
        try:
            first = asyncio.FIRST_COMPLETED
            await asyncio.wait([*waiting, *self._ringing], timeout=POLL_EVERY, return_when=first)
            if self._ringing:
                await asyncio.sleep(_TOGETHER)
        finally:
            for task in waiting:
                task.cancel()

    async def _collect(self) -> RPCError | None:
        """Write down what became of what has ended; answers why Temporal is away, if nothing came through."""
        ended = {task for task in self._ringing if task.done()}
        self._ringing -= ended
        if not ended:
            return None
        tried = _together([task.result() for task in ended])
        await _settle(self._database, tried)
        if not tried.rung:
            return tried.away
        log.info("rang what was left over", bells=len(tried.rung))
        self._temporal.over()
        return None


async def ring_left_over(
    database: Database, client: Client, task_queue: str, older_than: timedelta | None = None, most: int = 100
) -> Round:
    """One round, awaited: take what is left over, ring it, and write down what became of it."""
    async with database.transaction() as tx:
        bells = await take_waiting(tx, most, older_than)
    tried = await ring(client, bells, task_queue)
    await _settle(database, tried)
    return tried


async def ring(client: Client, bells: Sequence[Bell], task_queue: str) -> Round:
    """Ring bells, several records at once, each record's in order.

    A bell that fails holds up no other, one that is not answered only those of its record. When Temporal is
    away, no more are begun.
    """
    ends, slots = asyncio.get_running_loop().time() + ENOUGH, asyncio.Semaphore(AT_ONCE)
    away: list[RPCError] = []

    async def of_one_record(its: Sequence[Bell]) -> Round:
        async with slots:
            return await _ring_in_order(client, its, task_queue, ends, away)

    rounds = await asyncio.gather(*(of_one_record(its) for its in _by_record(bells)))
    return _together(rounds)


async def _ring_in_order(
    client: Client, its: Sequence[Bell], task_queue: str, ends: float, away: list[RPCError]
) -> Round:
    """The bells of one record. `away`: what is found, here or beside, that keeps all from being answered."""
    rung: list[UUID] = []
    failed: list[UUID] = []
    for place, bell in enumerate(its):
        rest = [one.id for one in its[place:]]
        if away or asyncio.get_running_loop().time() > ends:
            return Round(rung, failed, untried=rest)
        try:
            await deliver(client, bell, task_queue)
        except RPCError as refused:
            if refused.status in ONE_CALL:
                log.warning("Temporal did not answer one call", bell=str(bell.id), error=in_words(refused))
                return Round(rung, failed, unanswered=rest[:1], untried=rest[1:])
            if refused.status not in THE_BELL_ITSELF:
                away.append(refused)
                return Round(rung, failed, refused, untried=rest)
            failed.append(bell.id)
            log.error("a bell was refused", bell=str(bell.id), error=in_words(refused))
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one bell, the others are rung
            failed.append(bell.id)  # what the error says may quote the bell
            log.error("a bell cannot be rung", bell=str(bell.id), error=type(error).__name__)
        else:
            rung.append(bell.id)
    return Round(rung, failed)


async def _settle(database: Database, tried: Round) -> None:
    """Write down what became of bells that were taken. What cannot be written is rung again, harmlessly."""
    if tried.rung:
        fail_point("relay.rung")
    async with database.transaction() as tx:
        for ids, said in (
            (tried.rung, mark_rung), (tried.failed, mark_failed), (tried.unanswered, mark_unanswered),
            (tried.untried, put_back),
        ):  # fmt: skip
            if ids:
                await said(tx, ids)


def _together(rounds: Sequence[Round]) -> Round:
    return Round(
        [one for tried in rounds for one in tried.rung],
        [one for tried in rounds for one in tried.failed],
        next((tried.away for tried in rounds if tried.away), None),
        [one for tried in rounds for one in tried.unanswered],
        [one for tried in rounds for one in tried.untried],
    )


def _by_record(bells: Sequence[Bell]) -> list[list[Bell]]:
    of_record: dict[int, list[Bell]] = {}
    for bell in bells:
        of_record.setdefault(bell.record_id, []).append(bell)
    return list(of_record.values())


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
