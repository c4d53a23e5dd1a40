"""What is compared: one operation each, the product's and bare Temporal's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Protocol

from temporalio.client import Client, WorkflowHandle

from activities.catalogue import nature
from db.creation import NewRecord, create
from db.doorbell import deliver
from db.engine import Transaction
from db.locked import Locked
from db.outbox import Bell, mark_rung
from db.records import By, move
from db.rows import Ids
from db.rulebook import Rulebook
from domain.journey import workflow_id
from tests.bench.ground import Ground

DELAY = 1.0  # seconds from the call to what is delayed
SHORTEST = 60.0  # seconds: the shortest delay a rule may have
AT_ONCE = 20
PATIENCE = 60


class Took(NamedTuple):
    """Seconds from the call to the commit, the ring, the first effect, and the last."""

    written: float
    rung: float
    effect: float
    end: float


class Subject(Protocol):
    name: str
    worker: int

    async def open(self, records: int) -> None: ...
    async def operate(self, k: int) -> Took: ...
    def handle(self, k: int) -> WorkflowHandle: ...


class Bare:
    """signal → [timer →] `count` activities, all at once."""

    def __init__(self, on: Ground, name: str, worker: int, queue: str, count: int, delay: float = 0) -> None:
        self.on, self.name, self.worker, self.queue = on, name, worker, queue
        self.count, self.delay, self._turn = count, delay, 0

    async def open(self, records: int) -> None:
        for k in range(records):
            await self.on.bare_client.start_workflow("Bare", id=self._id(k), task_queue=self.queue)

    async def operate(self, k: int) -> Took:
        self._turn += 1
        who = f"{self._id(k)}.{self._turn}"
        expected, start = self.on.listener.expect("noop", who, self.count), time.monotonic()
        await self.handle(k).signal("go", [who, self.count, self.delay])
        rung = time.monotonic() - start
        end = await asyncio.wait_for(expected.last, PATIENCE) - start
        return Took(0, rung, expected.first - start, end)

    def handle(self, k: int) -> WorkflowHandle:
        return self.on.bare_client.get_workflow_handle(self._id(k))

    def _id(self, k: int) -> str:
        return f"{self.name}-{k}"


class Product:
    """A record moves to the other stage of its case, as by the API: write path, then the bell."""

    def __init__(self, on: Ground, name: str, worker: int, queue: str, contact: int, stage: str = "") -> None:
        self.on, self.name, self.worker, self.queue, self.contact = on, name, worker, queue, contact
        self.late, self._stage = name == "late", stage or f"{name}-a"
        self.records: list[int] = []
        self._book, self._ids = Rulebook(nature), Ids()
        self._side: dict[int, str] = {}

    async def open(self, records: int) -> None:
        at = datetime.now(UTC)
        new = NewRecord(
            type="deal", pipeline="bench", stage=self._stage, title="A roof for Klein", responsible="ada",
            contact=self.contact, fields={"reference": "R-1"},
        )  # fmt: skip
        async with self.on.database.transaction() as tx:
            made = [await create(tx, self._ids, new, By("api", at)) for _ in range(records)]
        self.records += [created.record.id for created in made]
        await self._ring([created.bell for created in made])

    async def _ring(self, bells: Sequence[Bell]) -> None:
        """Ring, a few at once, and wait until the visits are open."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def ring(bell: Bell) -> None:
            async with gate:
                opened = self.on.listener.expect("entered", f"{bell.record_id}.1")
                await deliver(self.on.client, bell, self.queue)
                await asyncio.wait_for(opened.last, PATIENCE)

        await asyncio.gather(*(ring(bell) for bell in bells))
        async with self.on.database.transaction() as tx:
            await mark_rung(tx, [bell.id for bell in bells])

    async def operate(self, k: int) -> Took:
        self._side[k] = "b" if self._side.get(k, "a") == "a" else "a"
        record_id, stage = self.records[k], f"{self.name}-{self._side[k]}"
        start, at = time.monotonic(), datetime.now(UTC)
        if self.late:
            at -= timedelta(seconds=SHORTEST - DELAY)  # so that it is due soon

        async def moved(tx: Transaction) -> Bell:
            locked = await Locked.take(tx, self._book, record_id)
            assert locked
            bell = await move(locked, stage, By("api", at))
            assert bell
            return bell

        async with self.on.database.transaction() as tx:
            bell = await moved(tx)
        written = time.monotonic() - start
        expected = self.on.listener.expect("done", f"{record_id}.{bell.payload['visit_no']}")
        await deliver(self.on.client, bell, self.queue)
        rung = time.monotonic() - start
        end = await asyncio.wait_for(expected.last, PATIENCE) - start
        return Took(written, rung, expected.first - start, end)

    def handle(self, k: int) -> WorkflowHandle:
        client: Client = self.on.client
        return client.get_workflow_handle(workflow_id("deal", self.records[k]))


class Size(NamedTuple):
    """Events and bytes of a history."""

    events: float
    bytes: float


async def size(handle: WorkflowHandle) -> Size:
    """Of the present run, once nothing more happens to it."""
    last, same = Size(0, 0), 0
    while same < 8:
        found = (await handle.describe()).raw_description.workflow_execution_info
        now = Size(found.history_length, found.history_size_bytes)
        same = same + 1 if now == last else 0
        last = now
        await asyncio.sleep(0.05)
    return last


async def size_of_operation(subject: Subject, k: int, times: int = 3) -> Size:
    """What one operation adds, on the average, to the history of a fresh journey."""
    before = await size(subject.handle(k))
    for _ in range(times):
        await subject.operate(k)
        after = await size(subject.handle(k))
    return Size((after.events - before.events) / times, (after.bytes - before.bytes) / times)
