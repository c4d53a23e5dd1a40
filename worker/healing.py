"""Begins journeys anew that cannot go on: PostgreSQL knows all that they knew (decision 0014).

One worker of all looks, every 10 seconds. What a look costs does not grow with what there is: Temporal is
asked for the journeys that have a problem, for its mark, and for those of some records, each time the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import uuid4

import structlog
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from db import healing
from db.doorbell import deliver
from db.engine import Database
from db.healing import All, Followed
from db.outbox import Bell
from worker import standing, tide
from worker.patience import DATABASE_AWAY, in_words, stopped_within
from worker.standing import AT_ONCE, Trouble

log = structlog.get_logger()

EVERY: Final = timedelta(seconds=10)
ABORTED: Final = timedelta(hours=1)
"""So long ago a journey may have been terminated; what ended earlier is found by its record."""
COMPLETED: Final = timedelta(minutes=5)
NOT_OPENED: Final = timedelta(minutes=1)
"""So long a visit may be unopened, though it is rung for, before its journey is asked what it knows."""
PROBED: Final = 500
"""Records whose journeys are asked for in a look, 10 at once: all of them within a minute up to 3,000."""
SAMPLE: Final = 20
BEGUN: Final = 500
"""Journeys that are begun in a look when all are, 50 a second: what a worker does beside its calls."""
_PAUSE: Final = 0.2


async def heal(
    database: Database, client: Client, task_queue: str, stop: asyncio.Event, now: Callable[[], datetime]
) -> None:
    """Look every 10 seconds, until it is time to stop. `now`: the clock (UTC)."""
    healer = Healer(database, client, task_queue)
    while not await stopped_within(stop, EVERY.total_seconds()):
        try:
            async with database.transaction() as tx:
                mine = await healing.whose_turn(tx, EVERY * 0.9)
            if mine:
                await healer.look(now())
        except DATABASE_AWAY as error:
            log.warning("the database does not answer", error=in_words(error))
        except RPCError as error:
            log.warning("Temporal does not say how journeys stand", error=in_words(error))


class Healer:
    """Finds journeys that cannot go on, and begins them anew."""

    def __init__(self, database: Database, client: Client, task_queue: str) -> None:
        self._database, self._client, self._queue = database, client, task_queue

    async def look(self, now: datetime) -> int:
        """One look at everything; how many journeys it began anew. Raises `RPCError`."""
        await self.compare_tides()
        begun = await self.go_on_with_all()
        begun += await self.begin_anew(await self.reported(now))
        begun += await self.begin_anew(await self.not_opened())
        begun += await self.begin_anew(await self.probed())
        return begun

    # -- all of them -------------------------------------------------------------------------------
    async def compare_tides(self) -> None:
        """Whether Temporal's database and ours are still the ones they were; if not, all begin anew."""
        found = await tide.compared(self._client, self._database, self._queue)
        wrong = found.wrong
        if wrong == "temporal_lost" and not await self._nobody_is_known():
            log.warning("Temporal has lost its mark, and knows journeys: it is set again")
            wrong = None
        if wrong:
            log.error("all journeys begin anew", because=healing.IN_WORDS[wrong], tides=found)
            async with self._database.transaction() as tx:
                await healing.all_begin_anew(tx, wrong)
        await tide.rise(self._client, self._database, self._queue, found)

    async def _nobody_is_known(self) -> bool:
        """Whether Temporal knows no journey of those it knew; what has been begun since does not count."""
        async with self._database.transaction() as tx:
            at, records = await healing.sample(tx, SAMPLE)
        runs = await asyncio.gather(*(standing.run_before(self._client, record, at) for record in records))
        return not any(runs)

    async def go_on_with_all(self) -> int:
        """Begin the next journeys, if all are to be begun anew."""
        async with self._database.transaction() as tx:
            under_way = await healing.under_way(tx)
            records = await healing.next_of_all(tx, under_way, BEGUN) if under_way else []
        if under_way is None:
            return 0
        begun = 0
        for first in range(0, len(records), AT_ONCE):
            some = records[first : first + AT_ONCE]
            made = sum(await asyncio.gather(*(self._of_all(under_way, record) for record in some)))
            async with self._database.transaction() as tx:
                await healing.reached(tx, under_way, some[-1].record_id, made)
            begun += made
            await asyncio.sleep(_PAUSE)
        log.info("journeys began anew", journeys=begun, because=healing.IN_WORDS[under_way.reason])
        if len(records) < BEGUN:
            async with self._database.transaction() as tx:
                await healing.all_begun(tx, under_way)
        return begun

    async def _of_all(self, under_way: All, record: Followed) -> bool:
        """Begin one of all anew, unless it was begun since."""
        run_id = await standing.run_before(self._client, record, under_way.at)
        if run_id is None:
            return False
        await self._begin(record, run_id)
        return True

    # -- some of them ------------------------------------------------------------------------------
    async def reported(self, now: datetime) -> list[Trouble]:
        """What Temporal reports by itself: journeys whose tasks fail, and those that have ended."""
        failing = {_record_of(journey) async for journey in standing.failing(self._client, self._queue)}
        since = now - ABORTED, now - COMPLETED
        ended = {_record_of(one) async for one in standing.ended(self._client, self._queue, *since)}
        if not failing | ended:
            return []
        async with self._database.transaction() as tx:
            records = await healing.followed(tx, failing | ended)
        return await standing.troubled(self._client, records, failing=failing)

    async def not_opened(self) -> list[Trouble]:
        """Journeys that say they have opened a visit which the database does not know to be opened."""
        found = [await standing.ahead(self._client, record) for record in await self._behind()]
        still = {record.record_id for record in await self._behind()} if any(found) else set()
        return [trouble for trouble in found if trouble and trouble.record.record_id in still]

    async def _behind(self) -> list[Followed]:
        async with self._database.transaction() as tx:
            return await healing.still_behind(tx, NOT_OPENED, SAMPLE)

    async def probed(self) -> list[Trouble]:
        """Those of the next records: a journey that somebody deleted leaves nothing to be listed."""
        async with self._database.transaction() as tx:
            records = await healing.next_to_probe(tx, PROBED)
        return await standing.troubled(self._client, records)

    async def begin_anew(self, troubles: Sequence[Trouble]) -> int:
        """Begin these anew: written down and told first, so that nothing of it is silent."""
        begun = 0
        for trouble in troubles:
            record = trouble.record
            async with self._database.transaction() as tx:
                may = await healing.begins_anew(tx, record, trouble.reason, trouble.run_id)
            say = log.warning if may else log.error
            what = "a journey begins anew" if may else "a journey cannot go on, however often it begins anew"
            say(what, journey=record.journey, because=healing.IN_WORDS[trouble.reason], run=trouble.run_id)
            if may:
                await self._begin(record, trouble.run_id if trouble.runs else "")
                begun += 1
        return begun

    async def _begin(self, record: Followed, run_id: str) -> None:
        """End that run, if there is one, and ring: where no journey is under way, that begins one."""
        if run_id:
            try:
                handle = self._client.get_workflow_handle(record.journey, run_id=run_id)
                await handle.terminate("it cannot go on and begins anew from the database")
            except RPCError as error:
                if error.status != RPCStatusCode.NOT_FOUND:
                    raise
        payload = {"visit_no": record.visit_no}
        bell = Bell(uuid4(), record.record_id, "entered", {**payload}, record.visit_no, record.face)
        await deliver(self._client, bell, self._queue)


def _record_of(journey: str) -> int:
    """17 of `deal-17`."""
    return int(journey.rpartition("-")[2])
