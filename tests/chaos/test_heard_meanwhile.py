"""A move that a journey hears of while it opens a visit, as when a worker dies at the worst moment."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from uuid import uuid4

from sqlalchemy import select, text
from sqlmodel import col
from temporalio import activity
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.catalogue import nature
from activities.providers.console import ConsoleMail
from activities.work import Activities
from db.creation import create
from db.doorbell import Doorbell, deliver
from db.engine import Database
from db.locked import Locked
from db.records import By, move
from db.rows import Ids
from db.rulebook import Rulebook
from db.settings import Settings
from db.tables import Record
from domain.journey import Driven, EnterStage, workflow_id
from tests.chaos.company import deal, found
from tests.chaos.servers import PATIENCE
from workflows.journey import Journey

SIGNALED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED


class Slow(Activities):
    """The product's activities; once it has opened a visit, it takes its time to say so."""

    def hold_back(self) -> None:
        self.opened, self.released = asyncio.Event(), asyncio.Event()

    @activity.defn
    async def enter_stage(self, asked: EnterStage) -> Driven:
        driven = await super().enter_stage(asked)
        self.opened.set()
        await self.released.wait()
        return driven


async def test_a_move_heard_between_the_opening_of_a_visit_and_its_completion_is_followed(
    database: Database, temporal: WorkflowEnvironment
) -> None:
    client, queue = temporal.client, f"meanwhile-{uuid4().hex}"
    by = By("eve", datetime.now(UTC))
    async with database.transaction() as tx:
        contact = await found(tx)
        first = {"first": uuid4().int % 2**40}  # an id that no other test has given a journey
        await tx.execute(text("select setval(pg_get_serial_sequence('record', 'id'), :first)"), first)
        created = await create(tx, Ids(), deal(1, contact), by)
    record = created.record.id
    journey = client.get_workflow_handle(workflow_id("deal", record))

    async def connected() -> Client:
        return client

    slow = Slow(database, Doorbell(database, connected, queue), ConsoleMail(), Settings())
    slow.hold_back()
    async with (
        asyncio.timeout(PATIENCE),
        Worker(client, task_queue=queue, workflows=[Journey], activities=slow.database_queue()),
    ):
        await deliver(client, created.bell, queue)
        await slow.opened.wait()
        async with database.transaction() as tx:
            locked = await Locked.take(tx, Rulebook(nature), record)
            assert locked is not None
            bell = await move(locked, "lost", by)
        assert bell is not None
        await deliver(client, bell, queue)
        await _signaled(journey)
        slow.released.set()
        while await _opened(database, record) < 2:  # noqa: ASYNC110 - the journey brings it about
            await asyncio.sleep(0.05)


async def _signaled(journey: WorkflowHandle) -> None:
    async def heard() -> list[int]:
        return [event.event_type for event in (await journey.fetch_history()).events]

    while SIGNALED not in await heard():  # noqa: ASYNC110 - the server brings it about
        await asyncio.sleep(0.02)


async def _opened(database: Database, record: int) -> int:
    """The last visit that the journey has opened."""
    async with database.transaction() as tx:
        asked = select(col(Record.journey_visit)).where(col(Record.id) == record)
        return int((await tx.execute(asked)).scalar_one())
