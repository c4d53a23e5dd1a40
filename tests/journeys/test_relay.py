"""The entry is never lost: what nobody rang, a relay rings, once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert, text
from temporalio import workflow
from temporalio.api.workflowservice.v1 import SignalWorkflowExecutionRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode, WorkflowService
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from db.doorbell import Doorbell, deliver
from db.engine import Database
from db.outbox import LEASE, Bell, bell_rows, mark_unanswered, notify, take_waiting
from db.rows import Rows, write
from db.tables import Record
from db.temporal import DATA_CONVERTER
from domain.journey import ClientActivity, Entered, Face, FactsChanged, JourneyState
from worker.reconciler import ring_behind
from worker.relay import relay, ring_left_over

LONG_AGO = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
FACE = Face(record_type="deal", pipeline="sales", stage="new")


@workflow.defn(name="Journey")
class Ear:
    """Hears, in the place of a journey, and writes down what."""

    @workflow.init
    def __init__(self, state: JourneyState) -> None:
        self.heard = [f"start {state.wanted}"]

    @workflow.run
    async def run(self, _: JourneyState) -> None:
        await workflow.wait_condition(lambda: False)

    @workflow.signal
    def entered(self, message: Entered) -> None:
        self.heard.append(f"entered {message.visit_no}")

    @workflow.signal
    def client_activity(self, message: ClientActivity) -> None:
        self.heard.append(message.type)

    @workflow.signal
    def facts_changed(self, message: FactsChanged) -> None:
        self.heard.append(",".join(message.fields))

    @workflow.query
    def all_heard(self) -> list[str]:
        return self.heard


class OneHangs(Client):
    """Temporal, of whose journeys one does not answer until it is told to, or answers with an error."""

    def __init__(self, client: Client, record_id: int, answers: RPCError | None = None) -> None:
        super().__init__(client.service_client, namespace=client.namespace, data_converter=DATA_CONVERTER)
        self.hanging, self.answers, self._error = asyncio.Event(), asyncio.Event(), answers
        self._journey = f"deal-{record_id}"

    @property
    def workflow_service(self) -> WorkflowService:
        service = WorkflowService(self.service_client)
        ask = service.signal_workflow_execution

        async def signal(request: SignalWorkflowExecutionRequest, **how: Any) -> object:
            if request.workflow_execution.workflow_id == self._journey:
                self.hanging.set()
                if self._error:
                    raise self._error
                await self.answers.wait()
            return await ask(request, **how)

        service.signal_workflow_execution = signal  # type: ignore[assignment,method-assign]  # one call of many
        return service


@asynccontextmanager
async def cable(address: str) -> AsyncIterator[tuple[str, Callable[[], Awaitable[None]]]]:
    """An address that leads to another until it is cut."""
    host, port = address.split(":")
    ends: list[asyncio.StreamWriter] = []

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def plugged_in(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        ends.extend((writer, far_writer))
        await asyncio.gather(carry(reader, far_writer), carry(far_reader, writer), return_exceptions=True)

    server = await asyncio.start_server(plugged_in, "127.0.0.1", 0)

    async def cut() -> None:
        server.close()
        for end in ends:
            end.transport.abort()

    try:
        yield "{}:{}".format(*server.sockets[0].getsockname()), cut
    finally:
        await cut()


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something that must come; a minute is for ever."""
    async with asyncio.timeout(60):
        while not await holds():  # noqa: ASYNC110 - another connection brings it about
            await asyncio.sleep(0.02)


class Ears:
    """A queue of the test's own, with ears on it; and the records that have something to say."""

    def __init__(self, client: Client, database: Database, queue: str) -> None:
        self.client, self.database, self.queue = client, database, queue

    async def record(self, visit_no: int = 1, journey_visit: int = 0, entered_at: datetime = LONG_AGO) -> int:
        # a number of its own: all tests share one Temporal
        record_id = uuid4().int >> 66
        record = Record(
            id=record_id, record_type="deal", pipeline_id="sales", stage_id="new", title="A deal",
            visit_no=visit_no, journey_visit=journey_visit, created_at=LONG_AGO, entered_at=entered_at,
        )  # fmt: skip
        async with self.database.transaction() as tx:
            await tx.execute(insert(Record).values(record.model_dump()))
        return record_id

    async def leave(self, *bells: Bell, at: datetime = LONG_AGO) -> None:
        async with self.database.transaction() as tx:
            for bell in bells:
                await write(tx, [bell_rows(bell, at)])

    async def heard(self, record_id: int) -> list[str]:
        return await self.client.get_workflow_handle(f"deal-{record_id}").query(Ear.all_heard)

    async def signals(self, record_id: int) -> int:
        history = await self.client.get_workflow_handle(f"deal-{record_id}").fetch_history()
        return sum(e.HasField("workflow_execution_signaled_event_attributes") for e in history.events)

    async def waiting(self) -> list[tuple[UUID, int]]:
        """The bells that nobody has rung, and how often it was tried."""
        asked = text("select id, attempts from outbox order by created_at")
        async with self.database.transaction() as tx:
            return [(row.id, row.attempts) for row in await tx.execute(asked)]

    async def take(self, most: int = 100) -> list[Bell]:
        """What a relay takes that does nothing with it."""
        async with self.database.transaction() as tx:
            return await take_waiting(tx, most)

    async def pass_time(self, span: timedelta) -> None:
        """What is not to be tried before long is so much nearer."""
        async with self.database.transaction() as tx:
            sooner = text("update outbox set next_at = next_at - cast(:span as interval)")
            await tx.execute(sooner, {"span": span})

    async def until_nothing_waits(self) -> None:
        async def nothing_waits() -> bool:
            return not await self.waiting()

        await until(nothing_waits)

    async def listener_ended(self) -> bool:
        """End the connections that listen; whether there was one."""
        ended = text(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name = 'jalon listen' and datname = current_database()"
        )
        async with self.database.transaction() as tx:
            return bool((await tx.execute(ended)).all())

    @asynccontextmanager
    async def relaying(
        self, database: Database | None = None, client: Client | None = None
    ) -> AsyncIterator[None]:
        stop = asyncio.Event()
        task = asyncio.create_task(
            relay(database or self.database, client or self.client, self.queue, stop)
        )
        try:
            yield
        finally:
            stop.set()
            await task


def activity(record_id: int, kind: str) -> Bell:
    return Bell(uuid4(), record_id, "client_activity", {"type": kind, "recorded": True}, 1, FACE)


def entry(record_id: int, visit_no: int) -> Bell:
    return Bell(uuid4(), record_id, "entered", {"visit_no": visit_no}, visit_no, FACE)


@pytest.fixture
async def ears(database: Database, temporal: WorkflowEnvironment) -> AsyncIterator[Ears]:
    async with database.transaction() as tx:
        await write(tx, [Rows("pipeline", [{"id": "sales", "title": "Sales", "record_type": "deal"}])])
        stage = {"pipeline_id": "sales", "id": "new", "title": "New", "meaning": "process", "position": 1}
        await write(tx, [Rows("stage", [stage])])
    queue = f"ears-{uuid4()}"
    # a sandbox would load this whole file for every ear
    runner = UnsandboxedWorkflowRunner()
    async with Worker(temporal.client, task_queue=queue, workflows=[Ear], workflow_runner=runner):
        yield Ears(temporal.client, database, queue)


# --- what is left over -----------------------------------------------------------------------------


async def test_two_relays_ring_every_bell_once(ears: Ears, database_url: str) -> None:
    records = [await ears.record() for _ in range(40)]
    for i, kind in enumerate(("call", "form")):
        await ears.leave(*(activity(record, kind) for record in records), at=LONG_AGO + timedelta(seconds=i))
    other = Database(database_url)
    async with ears.relaying(), ears.relaying(other):
        await ears.until_nothing_waits()
    await other.close()
    for record in records:
        assert await ears.heard(record) == ["start 1", "call", "form"]
        assert await ears.signals(record) == 2


async def test_what_one_relay_has_in_hand_another_passes_over(ears: Ears, database: Database) -> None:
    mine, free = activity(await ears.record(), "call"), activity(await ears.record(), "call")
    await ears.leave(mine)
    assert [bell.id for bell in await ears.take()] == [mine.id]
    await ears.leave(free)
    assert (await ring_left_over(database, ears.client, ears.queue)).rung == [free.id]
    assert [waiting for waiting, _ in await ears.waiting()] == [mine.id]


async def test_what_a_relay_that_died_had_in_hand_is_rung_by_another_later(ears: Ears) -> None:
    bell = activity(await ears.record(), "call")
    await ears.leave(bell)
    await ears.take()
    assert await ears.take() == []
    await ears.pass_time(LEASE)
    assert (await ring_left_over(ears.database, ears.client, ears.queue)).rung == [bell.id]


async def test_a_bell_waits_for_an_earlier_one_of_its_record(ears: Ears, database: Database) -> None:
    record = await ears.record()
    first, second = activity(record, "call"), activity(record, "form")
    await ears.leave(first)
    assert [bell.id for bell in await ears.take()] == [first.id]
    await ears.leave(second, at=LONG_AGO + timedelta(seconds=1))
    assert (await ring_left_over(database, ears.client, ears.queue)).rung == []
    await ears.pass_time(LEASE)
    assert (await ring_left_over(database, ears.client, ears.queue)).rung == [first.id, second.id]
    assert await ears.heard(record) == ["start 1", "call", "form"]


async def test_what_waits_longest_goes_first_however_much_there_is_of_one_record(ears: Ears) -> None:
    busy, other = await ears.record(), await ears.record()
    bells = [activity(busy, "call") for _ in range(10)]
    for age, bell in enumerate(bells):
        await ears.leave(bell, at=LONG_AGO + timedelta(seconds=age))
    later = activity(other, "form")
    await ears.leave(later, at=LONG_AGO + timedelta(hours=1))
    assert [bell.id for bell in await ears.take(most=4)] == [bell.id for bell in bells[:4]]
    assert [bell.id for bell in await ears.take(most=4)] == [later.id]


async def test_a_bell_from_a_clock_that_is_ahead_is_rung(ears: Ears) -> None:
    bell = activity(await ears.record(), "call")
    await ears.leave(bell, at=datetime.now(UTC) + timedelta(hours=1))
    tried = await ring_left_over(ears.database, ears.client, ears.queue, timedelta(seconds=1))
    assert tried.rung == [bell.id]


async def test_ringing_the_same_bell_again_is_not_heard_again(ears: Ears) -> None:
    bell = activity(await ears.record(), "call")
    for _ in range(3):
        await deliver(ears.client, bell, ears.queue)
    assert await ears.heard(bell.record_id) == ["start 1", "call"]
    assert await ears.signals(bell.record_id) == 1


async def test_a_journey_begins_with_its_first_visit_without_a_signal(ears: Ears) -> None:
    record = await ears.record()
    first = entry(record, 1)
    for bell in (first, first, entry(record, 2)):
        await deliver(ears.client, bell, ears.queue)
    assert await ears.heard(record) == ["start 1", "entered 2"]


async def test_a_young_bell_is_left_to_its_writer_unless_the_relay_is_told(ears: Ears) -> None:
    bell = activity(await ears.record(), "call")
    await ears.leave(bell, at=datetime.now(UTC))
    late = await ring_left_over(ears.database, ears.client, ears.queue, timedelta(minutes=1))
    assert late.rung == []
    async with ears.relaying():
        async with ears.database.transaction() as tx:
            await tx.execute(text(notify()))
        await ears.until_nothing_waits()
    assert await ears.heard(bell.record_id) == ["start 1", "call"]


async def test_a_lost_connection_is_made_again(ears: Ears) -> None:
    async with ears.relaying():
        for _ in range(2):
            await until(ears.listener_ended)
        await ears.leave(activity(await ears.record(), "call"))
        await ears.until_nothing_waits()


async def test_what_was_rung_is_kept_no_longer_whoever_rang_it(ears: Ears) -> None:
    async def connected() -> Client:
        return ears.client

    bells = [activity(await ears.record(), "call") for _ in range(3)]
    await ears.leave(*bells)
    doorbell = Doorbell(ears.database, connected, ears.queue)
    doorbell.ring(*bells[:2])
    await doorbell.settle()
    assert [waiting for waiting, _ in await ears.waiting()] == [bells[2].id]
    await ring_left_over(ears.database, ears.client, ears.queue)
    assert await ears.waiting() == []


# --- what goes wrong -------------------------------------------------------------------------------


async def test_a_bell_that_cannot_be_rung_holds_up_no_other_and_waits_longer_each_time(ears: Ears) -> None:
    record = await ears.record()
    broken = activity(record, "call")._replace(payload={"at": "whenever"})
    await ears.leave(broken, at=datetime.now(UTC))
    await ears.leave(activity(record, "form"), at=datetime.now(UTC))
    tried = await ring_left_over(ears.database, ears.client, ears.queue)
    assert tried.failed == [broken.id]
    assert await ears.waiting() == [(broken.id, 1)]
    assert await ears.heard(record) == ["start 1", "form"]
    async with ears.database.transaction() as tx:
        await tx.execute(text("update outbox set attempts = 11"))
    await ears.pass_time(timedelta(seconds=1))
    assert len((await ring_left_over(ears.database, ears.client, ears.queue)).failed) == 1
    await ears.pass_time(timedelta(minutes=9))
    assert (await ring_left_over(ears.database, ears.client, ears.queue)).failed == []


async def test_when_temporal_is_away_nothing_counts_as_tried(ears: Ears) -> None:
    bells = [activity(await ears.record(), "call") for _ in range(3)]
    await ears.leave(*bells)
    async with cable(ears.client.service_client.config.target_host) as (address, cut):
        client = await Client.connect(address, data_converter=DATA_CONVERTER)
        await cut()
        tried = await ring_left_over(ears.database, client, ears.queue)
        assert tried.away is not None
        assert tried.rung == tried.failed == []
        assert sorted(await ears.waiting()) == sorted((bell.id, 0) for bell in bells)
    assert sorted((await ring_left_over(ears.database, ears.client, ears.queue)).rung) == sorted(
        bell.id for bell in bells
    )


async def test_deliveries_go_on_beside_one_that_hangs(ears: Ears) -> None:
    stuck = activity(await ears.record(), "call")
    await ears.leave(stuck)
    client = OneHangs(ears.client, stuck.record_id)

    async def only_it_waits() -> bool:
        return [waiting for waiting, _ in await ears.waiting()] == [stuck.id]

    async with ears.relaying(client=client):
        await client.hanging.wait()
        await ears.leave(*[activity(await ears.record(), "form") for _ in range(50)])
        try:
            await until(only_it_waits)
        finally:
            client.answers.set()
        await ears.until_nothing_waits()
    assert await ears.heard(stuck.record_id) == ["start 1", "call"]


async def test_a_call_that_is_not_answered_holds_up_only_its_record_whose_order_is_kept(ears: Ears) -> None:
    record, other = await ears.record(), await ears.record()
    first, second, elsewhere = activity(record, "call"), activity(record, "form"), activity(other, "call")
    for age, bell in enumerate((first, second, elsewhere)):
        await ears.leave(bell, at=LONG_AGO + timedelta(seconds=age))
    client = OneHangs(ears.client, record, answers=RPCError("Timeout expired", RPCStatusCode.CANCELLED, b""))
    tried = await ring_left_over(ears.database, client, ears.queue)
    assert (tried.rung, tried.unanswered, tried.away) == ([elsewhere.id], [first.id], None)
    assert (await ring_left_over(ears.database, ears.client, ears.queue)).rung == []
    await ears.pass_time(timedelta(seconds=1))
    assert (await ring_left_over(ears.database, ears.client, ears.queue)).rung == [first.id, second.id]


async def test_one_that_is_never_answered_is_tried_less_often_each_time(ears: Ears) -> None:
    bell = activity(await ears.record(), "call")
    await ears.leave(bell)
    pauses = []
    for _ in range(9):
        assert [one.id for one in await ears.take()] == [bell.id]
        async with ears.database.transaction() as tx:
            await mark_unanswered(tx, [bell.id])
            left = await tx.execute(text("select extract(epoch from next_at - now()) from outbox"))
            pauses.append(int(left.scalar_one()))
        await ears.pass_time(timedelta(minutes=1))
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]


# --- journeys that are behind ----------------------------------------------------------------------


async def test_a_record_whose_journey_is_behind_is_rung_again(ears: Ears) -> None:
    behind = await ears.record(visit_no=3, journey_visit=2)
    await ears.record(visit_no=3, journey_visit=3)
    await ears.record(visit_no=3, journey_visit=2, entered_at=LONG_AGO + timedelta(hours=1))
    tried = await ring_behind(ears.database, ears.client, ears.queue, LONG_AGO + timedelta(minutes=1))
    assert len(tried.rung) == 1
    assert await ears.heard(behind) == ["start 3", "entered 3"]
