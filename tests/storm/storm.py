"""Drives journeys through stages while everything comes at once that may come between two activations.

Two workers, one with a cache and one without; workflow tasks of one second; activities that take longer than
a task may; operators, signals in bursts, moves quicker than they can be followed. Queries and updates come
when strangers are asked for: no caller of the product makes them (decision 0024).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import text
from temporalio.client import (
    Client,
    WorkflowHandle,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.service import RPCError

from activities.announcing import facts_changed
from activities.catalogue import nature
from activities.providers.console import ConsoleMail
from db import edits, operations, records
from db.creation import NewRecord, create
from db.doorbell import Doorbell, search_attributes
from db.engine import Database
from db.locked import Locked
from db.outbox import Bell
from db.records import By
from db.rows import Ids
from db.rulebook import Rulebook
from db.settings import Settings
from db.temporal import DATA_CONVERTER
from domain.journey import (
    WORKFLOW,
    ClientActivity,
    Entered,
    FactsChanged,
    JourneyState,
    Move,
    Operation,
    Shown,
    workflow_id,
)
from tests import builders
from tests.journeys.rules import comment, control, edit, move, rule, rules, wait
from tests.storm.slow import TASK, Slow
from worker.running import running

STAGES = ("new", "offer", "deal")
AT_ONCE = 60
"""Records that are driven at the same time."""
MET = {"field": "record.hot", "op": "equal", "value": True}


class Storm:
    """One company, two workers, and what has been done to its records."""

    def __init__(
        self, client: Client, database: Database, doorbell: Doorbell, queue: str, dice: random.Random,
        *, strangers: bool = False,
    ) -> None:  # fmt: skip
        self.client, self.database, self.doorbell = client, database, doorbell
        self.queue, self.dice, self.strangers = queue, dice, strangers
        self.book, self.ids = Rulebook(nature), Ids()
        self.pipeline, self.entries = f"p{uuid4().hex[:12]}", 0
        self.records: list[int] = []

    async def found(self) -> None:
        """The company and its rules: steps that are done at once, timers that come to nothing, holds."""
        soon = {"days": 1}
        stages = {
            "new": [
                comment("hello"), comment("later", after={"hours": 1}),
                comment("second", basis="record.visit_at"),
                wait("patience", {"hours": 3}, ends={"ends_on": ["call"]}), comment("then", below=True),
                comment("picky", condition=MET, if_false="wait"),
            ],
            "offer": [
                comment("thanks"), control("watch", {"basis": "record.visit_at"}),
                comment("kept", after=soon, on_exit="keep"),
                edit("heat", "hot", True, basis="record.visit_at"),
                rule("send_email", "mail", {"subject": "news", "text": "there is news"}),
            ],
            "deal": [
                comment("welcome"), comment("third", basis="record.visit_at"),
                comment("choosy", condition=MET, if_false="wait"),
                move("back", "new", basis="record.visit_at"),
            ],
        }  # fmt: skip
        async with self.database.transaction() as tx:
            await builders.company(tx, calendar=None)
            await builders.pipeline(tx, self.pipeline, builders.SALES)
            listed = {stage: rules(of) for stage, of in stages.items()}
            await builders.rule_set(tx, listed, pipeline=self.pipeline, at=now())

    async def blow(self, entries: int) -> None:
        """Drive records until so many stages have been entered."""
        while self.entries < entries:
            await asyncio.gather(*(self._record(min(12, entries // AT_ONCE)) for _ in range(AT_ONCE)))

    async def behind(self, within: float) -> list[int]:
        """Records whose journeys have not caught up after so many seconds."""
        left = self.records
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self.doorbell.settle()
                while left:
                    await asyncio.sleep(0.5)
                    async with self.database.transaction() as tx:
                        rows = await tx.execute(text("select id from record where journey_visit < visit_no"))
                        left = [row.id for row in rows]
        return left

    # -- one record ----------------------------------------------------------------------------
    async def begin(self, most_events: int) -> tuple[int, WorkflowHandle[Any, Any]]:
        """A record whose journey has tasks of a second, and begins a new run so soon."""
        new = NewRecord(
            type="deal", pipeline=self.pipeline, title="A roof", responsible="ada",
            fields={"visit_at": self._soon()},
        )  # fmt: skip
        async with self.database.transaction() as tx:
            made = await create(tx, self.ids, new, By("eve", now()))
        record = made.record.id
        state = JourneyState(record_id=record, wanted=1, face=made.bell.face, most_events=most_events)
        handle: WorkflowHandle[Any, Any] = await self.client.start_workflow(
            WORKFLOW, state, id=workflow_id("deal", record), task_queue=self.queue, task_timeout=TASK,
            search_attributes=search_attributes(state.face),
        )
        self.records.append(record)
        self.entries += 1
        return record, handle

    async def move(self, record: int) -> None:
        """Move it to whatever stage."""
        stage = self.dice.choice(STAGES)
        await self._write(record, lambda locked, by: records.move(locked, stage, by))
        self.entries += 1

    async def _record(self, entries: int) -> None:
        record, handle = await self.begin(self.dice.choice((40, 100, 400)))
        for _ in range(entries):
            await asyncio.gather(*(what(record, handle) for what in self._at_once()))
            await asyncio.sleep(self.dice.choice((0, 0, 0.02, 0.1, 0.3)))

    def _soon(self) -> str:
        return (now() + timedelta(seconds=self.dice.uniform(0, 3))).isoformat()

    def _at_once(self) -> list[Callable[[int, WorkflowHandle[Any, Any]], Awaitable[None]]]:
        every = [
            self._operate, self._signals, self._signals, self._edit, self._again, self._suspend, self._move,
        ]  # fmt: skip
        if self.strangers:
            every += [self._query, self._query, self._update]
        return [self._move, *self.dice.choices(every, k=self.dice.randint(0, 4))]

    async def _move(self, record: int, _: WorkflowHandle[Any, Any]) -> None:
        await asyncio.sleep(self.dice.choice((0, 0.01, 0.05)))
        await self.move(record)

    async def _edit(self, record: int, _: WorkflowHandle[Any, Any]) -> None:
        async def change(locked: Locked, by: By) -> Bell | None:
            changes = {"hot": self.dice.random() < 0.5, "visit_at": self._soon()}
            return await facts_changed(locked, (await edits.edit(locked, changes, by)).changed, by.at)

        await self._write(record, change)

    async def _write(self, record: int, work: Callable[[Locked, By], Awaitable[Bell | None]]) -> None:
        async with self.database.transaction() as tx:
            locked = await Locked.take(tx, self.book, record)
            assert locked is not None
            bell = await work(locked, By("eve", now()))
        self.doorbell.ring(bell)

    async def _query(self, _: int, handle: WorkflowHandle[Any, Any]) -> None:
        with suppress(RPCError):  # nobody has to answer in a storm
            await handle.query("state", result_type=Shown, rpc_timeout=timedelta(seconds=3))

    async def _operate(self, record: int, _: WorkflowHandle[Any, Any]) -> None:
        verb = self.dice.choice(("skip", "run_now", "reschedule"))
        step = self.dice.choice(("later", "patience", "kept", "picky", "choosy", "third"))
        due = now() + timedelta(seconds=self.dice.choice((1, 600)))
        await self._ask(record, verb, rule=step, due=due)

    async def _suspend(self, record: int, _: WorkflowHandle[Any, Any]) -> None:
        if self.dice.random() < 0.2:
            await self._ask(record, "suspend")
            await self._ask(record, "resume")

    async def _ask(self, record: int, verb: str, **more: Any) -> None:
        asked = Operation.model_validate(
            {"id": "", "key": uuid4().hex, "verb": verb, "who": "eve", "at": now()} | more
        )
        async with self.database.transaction() as tx:
            locked = await Locked.take(tx, self.book, record)
            assert locked is not None
            bell = await operations.ask(tx, locked.record, asked, "")
        self.doorbell.ring(bell)

    async def _update(self, _: int, handle: WorkflowHandle[Any, Any]) -> None:
        """A stranger's: there are none that a journey knows."""
        with suppress(*_NO_ANSWER):
            async with asyncio.timeout(3):
                await handle.execute_update("skip", "later", id=uuid4().hex)

    async def _signals(self, _: int, handle: WorkflowHandle[Any, Any]) -> None:
        burst: list[Awaitable[None]] = []
        for _ in range(self.dice.randint(1, 8)):
            roll, fresh = self.dice.random(), uuid4().hex
            if roll < 0.4:
                facts = FactsChanged(id=fresh, at=now(), fields=["record.hot"])
                burst.append(handle.signal("facts_changed", facts))
            elif roll < 0.7:
                burst.append(handle.signal("client_activity", ClientActivity(id=fresh, type="call")))
            elif roll < 0.8:
                burst.append(handle.signal("move", Move(id=fresh, stage=self.dice.choice(STAGES))))
            else:
                burst.append(handle.signal("entered", Entered(id=fresh, visit_no=self.dice.randint(1, 3))))
        await asyncio.gather(*burst, return_exceptions=True)

    async def _again(self, _: int, handle: WorkflowHandle[Any, Any]) -> None:
        """A visit that is heard of before it is there: the journey looks, and finds none."""
        with suppress(RPCError):
            await handle.signal("entered", Entered(id=uuid4().hex, visit_no=10**6))


@asynccontextmanager
async def storm(
    client: Client, database: Database, seed: int, caches: tuple[int, ...], *, slow: bool = True,
    strangers: bool = False,
) -> AsyncIterator[Storm]:  # fmt: skip
    """A storm over one database: a worker for each size of cache, all on one queue.

    `slow`: some activities take longer than a workflow task may.
    """
    dice, queue = random.Random(seed), f"storm-{uuid4().hex}"
    settings = Settings(task_queue=queue, punctual_seconds=30)
    async with AsyncExitStack() as stack:
        doorbells = []
        for cache in caches:
            config = client.service_client.config
            own = await Client.connect(
                config.target_host, namespace=client.namespace, data_converter=DATA_CONVERTER,
                interceptors=[Slow(dice)] if slow else [],
            )  # fmt: skip
            work = running(own, database, settings, mail=ConsoleMail(), max_cached_workflows=cache)
            doorbells.append(await stack.enter_async_context(work))
        made = Storm(client, database, doorbells[0], queue, dice, strangers=strangers)
        await made.found()
        yield made


_NO_ANSWER = (RPCError, WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError, TimeoutError)


def now() -> datetime:
    """The clock of the machine."""
    return datetime.now(UTC)
