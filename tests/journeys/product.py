"""The running product as tests see it: records, what is done to them, and their journeys under virtual time.

Each workflow has a clock of its own that starts with the machine's and can only run on. What people, clients
and the API do to a record happens at the time its journey has reached.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from pydantic import BaseModel
from sqlalchemy import BigInteger, bindparam, text
from temporalio.client import WorkflowHandle, WorkflowHistory
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment

from activities import client
from activities.announcing import facts_changed
from activities.catalogue import nature
from activities.house import House
from api.journeys import operated
from api.view import record
from db import operations, records
from db.creation import NewRecord, create
from db.doorbell import Doorbell, search_attributes
from db.edits import edit
from db.engine import Database
from db.locked import Locked
from db.outbox import Bell
from db.records import By
from db.rows import Ids
from db.rulebook import Rulebook
from domain.journey import (
    WORKFLOW,
    ClientActivity,
    Entered,
    FactsChanged,
    JourneyState,
    Move,
    Operation,
    Shown,
    Verb,
    workflow_id,
)
from tests import builders
from tests.journeys.gates import Gates
from tests.journeys.left import Traces
from tests.journeys.rebuilt import difference, known, rebuilt
from tests.stack import ASK_AGAIN

NEARLY = timedelta(milliseconds=40)
"""The server may run past a target that is also the time of a timer."""
PATIENCE = 90  # seconds for what must come
SIGNAL_OF: dict[type[BaseModel], str] = {
    Entered: "entered", ClientActivity: "client_activity", FactsChanged: "facts_changed", Move: "move",
    Operation: "operate",
}  # fmt: skip
Rules = Mapping[str, Sequence[dict[str, Any]]]
Triggers = Sequence[Mapping[str, Any]]
Write = Callable[[Locked, By], Awaitable[Bell | None]]


class Product:
    """The product over one database and one task queue."""

    def __init__(
        self,
        environment: WorkflowEnvironment,
        database: Database,
        doorbell: Doorbell,
        gates: Gates,
        queue: str,
        pause: float,
    ) -> None:
        """`pause`: seconds between two questions to a journey."""
        self.environment, self.database, self.doorbell = environment, database, doorbell
        self.gates, self.queue, self.pause = gates, queue, pause
        self.book, self.ids = Rulebook(nature), Ids()

    async def pipeline(self, stages: Rules, *, triggers: Triggers = (), **more: Any) -> str:
        """A pipeline of sales with these rules."""
        name = f"p{uuid4().hex[:12]}"
        async with self.database.transaction() as tx:
            await builders.pipeline(tx, name, builders.SALES, **more)
            await builders.rule_set(tx, stages, pipeline=name, at=utc_now(), triggers=triggers)
        return name

    async def made(self, pipeline: str, **record: Any) -> tuple[int, Bell]:
        """A deal at the time of the machine, and the bell that nobody has rung."""
        new = NewRecord(type="deal", pipeline=pipeline, **{"title": "A roof", "responsible": "ada"} | record)
        async with self.database.transaction() as tx:
            made = await create(tx, self.ids, new, By("eve", utc_now()))
        return made.record.id, made.bell

    async def deal(
        self, stages: Rules, *, most_events: int = 0, triggers: Triggers = (), **record: Any
    ) -> Deal:
        """A deal in a pipeline with these rules, whose journey has done what is due at once.

        `most_events`: so soon its journey continues as new.
        """
        record_id, bell = await self.made(await self.pipeline(stages, triggers=triggers), **record)
        deal = Deal(self, record_id)
        if most_events:
            await deal.start(face=bell.face, wanted=1, most_events=most_events)
        else:
            self.doorbell.ring(bell)
        await deal.rest()
        return deal

    async def rows(self, query: str, **asked: Any) -> list[dict[str, Any]]:
        """What a query finds; `:id` is a record's."""
        statement = text(query)
        if "id" in asked:
            statement = statement.bindparams(bindparam("id", type_=BigInteger))
        async with self.database.transaction() as tx:
            return [dict(row) for row in (await tx.execute(statement, asked)).mappings()]

    async def rows_changed(self, statement: str, **asked: Any) -> None:
        """Change rows behind the product's back; `:id` is a record's."""
        async with self.database.transaction() as tx:
            await tx.execute(text(statement).bindparams(bindparam("id", type_=BigInteger)), asked)

    async def rung(self) -> None:
        """Wait until every bell that was to be rung has been rung."""
        while self.doorbell._tasks:
            await asyncio.wait([*self.doorbell._tasks])


class Deal(Traces):
    """One record and its journey."""

    def __init__(self, product: Product, record_id: int) -> None:
        super().__init__(product.rows, record_id)
        self.product = product
        self.handle: WorkflowHandle[Any, Any] = product.environment.client.get_workflow_handle(
            workflow_id("deal", record_id)
        )

    # -- time ----------------------------------------------------------------------------------
    async def now(self) -> datetime:
        """What time it is for the journey; before there is one, for the machine."""
        try:
            return await self.product.environment.get_current_time(self.handle)
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
            return utc_now()

    async def reach(self, at: datetime) -> None:
        """Let time run on; whatever is due by then is done, one instant after the other."""
        while (due := (await self.rest()).progress.next_due) and due <= at:
            await self.forward(due)
            await asyncio.sleep(NEARLY.total_seconds() + self.product.pause)
        await self.forward(at)

    async def heard(self) -> None:
        """Wait until the journey has taken what it was told."""
        await self.product.rung()
        await self.state()  # a query is answered after what was told before

    async def while_in_flight(self, kind: str, meanwhile: Callable[[], Awaitable[Any]]) -> None:
        """Let time run on to what is due next; while its act is in flight, something happens."""
        due = (await self.rest()).progress.next_due
        assert due is not None
        gate = self.product.gates.close(self.handle.id, kind)
        await self.forward(due)
        await gate.reached.wait()
        await meanwhile()
        await self.heard()
        gate.open.set()

    async def pass_time(self, **period: int) -> None:
        """Let a period pass: `hours=3`."""
        await self.reach(await self.now() + timedelta(**period))

    async def forward(self, to: datetime) -> None:
        """Bring the journey's clock to just before an instant; nothing may be due earlier."""
        try:
            left = to - NEARLY - await self.now()
            if left > timedelta(0):
                async with asyncio.timeout(PATIENCE):
                    await self.product.environment.fast_forward(self.handle, left)
        except RPCError as error:  # one that has ended has no clock
            if error.status != RPCStatusCode.NOT_FOUND:
                raise

    # -- what the journey says -----------------------------------------------------------------
    async def rest(self) -> Shown:
        """Wait until the journey has heard of everything and nothing is under way."""
        pause = self.product.pause
        async with asyncio.timeout(PATIENCE):
            while True:
                await self.product.rung()
                (row,) = await self.product.rows("select visit_no from record where id = :id", id=self.id)
                shown = await self.state()
                heard = shown.progress.visit_no >= row["visit_no"]
                if heard and shown.at_rest and not self.product.doorbell._tasks:
                    await self._could_be_rebuilt(shown)
                    return shown
                await asyncio.sleep(pause)
                pause = min(1.6 * pause, 0.5)

    async def _could_be_rebuilt(self, shown: Shown) -> None:
        """Whatever a journey at rest knows, the database tells one that begins anew.

        What it has yet to hear of, the database knows before it.
        """
        async with asyncio.timeout(PATIENCE):
            while True:
                now = await self.now()
                if (due := shown.progress.next_due) and due <= now + NEARLY:
                    return  # it acts at this moment
                anew, knew = known(await rebuilt(self.product, self.id, now)), known(shown.progress)
                if anew == knew:
                    return
                if await self.product.rows(_UNHEARD, id=self.id):
                    return
                again = await self.state()
                if known(again.progress) == knew and again.at_rest and again.seen == shown.seen:
                    raise AssertionError(difference(anew, knew))
                shown = again

    async def state(self) -> Shown:
        """What the journey answers; between two runs it has to be asked again."""
        while True:
            try:
                return await self.handle.query("state", result_type=Shown, rpc_timeout=timedelta(seconds=5))
            except RPCError as error:
                if error.status not in ASK_AGAIN:
                    raise
                await asyncio.sleep(0.01)

    async def start(self, **state: Any) -> None:
        """Start the journey by hand."""
        known = JourneyState(record_id=self.id, **state)
        start = self.product.environment.client.start_workflow
        told = search_attributes(known.face)
        queue = self.product.queue
        await start(WORKFLOW, known, id=self.handle.id, task_queue=queue, search_attributes=told)

    async def signal(self, message: BaseModel) -> None:
        """Tell the journey directly, as a client of Temporal may."""
        await self.handle.signal(SIGNAL_OF[type(message)], message)

    async def histories(self) -> list[WorkflowHistory]:
        """The histories of all runs that led to the present one, the first run first."""
        client, run_id = self.product.environment.client, (await self.handle.describe()).run_id
        found: list[WorkflowHistory] = []
        while run_id:
            handle = client.get_workflow_handle(self.handle.id, run_id=run_id)
            found.insert(0, await handle.fetch_history())
            run_id = found[0].events[0].workflow_execution_started_event_attributes.continued_execution_run_id
        return found

    async def runs(self) -> int:
        """How many runs the journey has had so far, by continue-as-new."""
        return len(await self.histories())

    async def scheduled(self) -> Counter[str]:
        """How often each activity was scheduled in all runs."""
        return Counter(
            event.activity_task_scheduled_event_attributes.activity_type.name
            for history in await self.histories()
            for event in history.events
            if event.HasField("activity_task_scheduled_event_attributes")
        )

    async def opened(self, visit_no: int) -> None:
        """Wait until the journey has opened that visit."""
        async with asyncio.timeout(PATIENCE):
            while (await self.state()).progress.visit_no < visit_no:  # noqa: ASYNC110 - of others
                await asyncio.sleep(self.product.pause)

    async def over(self) -> None:
        """Wait until the journey has ended by itself."""
        async with asyncio.timeout(PATIENCE):
            await self.handle.result()

    # -- what is done to the record ------------------------------------------------------------
    async def write(self, work: Write, *, at: datetime | None = None, ring: bool = True) -> None:
        """Do something through the write path, as Eve; its bell is rung, unless nobody is to ring."""
        at = at or await self.now()
        async with self.product.database.transaction() as tx:
            locked = await Locked.take(tx, self.product.book, self.id)
            assert locked is not None
            bell = await work(locked, By("eve", at))
        if ring:
            self.product.doorbell.ring(bell)

    async def move(self, stage: str, *, at: datetime | None = None, ring: bool = True) -> None:
        await self.write(lambda locked, by: records.move(locked, stage, by), at=at, ring=ring)

    async def change_pipeline(self, pipeline: str) -> None:
        await self.write(lambda locked, by: records.change_pipeline(locked, pipeline, None, by))

    async def delete(self, *, ring: bool = True) -> None:
        await self.write(records.delete, ring=ring)

    async def restore(self) -> None:
        await self.write(records.restore)

    async def edit(self, **changes: object) -> None:
        async def change(locked: Locked, by: By) -> Bell | None:
            return await facts_changed(locked, (await edit(locked, changes, by)).changed, by.at)

        await self.write(change)

    async def edit_and_move(self, stage: str, **changes: object) -> None:
        """Set fields and move the record in one transaction, and ring for both."""

        async def change(locked: Locked, by: By) -> Bell | None:
            bell = await facts_changed(locked, (await edit(locked, changes, by)).changed, by.at)
            self.product.doorbell.ring(bell)
            return await records.move(locked, stage, by)

        await self.write(change)

    async def client(self, kind: str = "call", at: datetime | None = None) -> str:
        """The client does something, and the API records it; answers what happened."""
        now = await self.now()
        heard = client.Heard(uuid4().hex, kind, at or now, record=self.id)
        async with self.product.database.transaction() as tx:
            told = await client.record_activity(tx, self.product.book, self.product.ids, House(), heard, now)
        self.product.doorbell.ring(*told.bells)
        return told.happened

    async def operate(self, verb: Verb, rule: str = "", why: str = "", **more: Any) -> None:
        """What an operator, Eve, asks for; raises `Refused` when it is refused."""
        key = uuid4().hex
        asked = Operation(**{"id": "", "key": key, "verb": verb, "who": "eve", "rule": rule} | more)
        asked.at = asked.at or utc_now()
        async with self.product.database.transaction() as tx:
            bell = await operations.ask(tx, await record(tx, self.id), asked, why)
        self.product.doorbell.ring(bell)
        await operated(self.product.database, asked.key)


_UNHEARD = "select 1 from outbox where record_id = :id"


def utc_now() -> datetime:
    """The clock of the machine, where a journey's own begins."""
    return datetime.now(UTC)
