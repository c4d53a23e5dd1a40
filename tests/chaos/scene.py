"""One test's own database, task queue, records and programs; and what the test does in the API's place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import asyncpg
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.client import WorkflowExecutionDescription, WorkflowExecutionStatus
from temporalio.service import RPCError

from activities.act import NOBODY
from activities.catalogue import nature
from activities.recycling import delete
from db.creation import create
from db.engine import Database, Transaction
from db.locked import Locked
from db.outbox import Bell
from db.records import By, move
from db.rows import Ids
from db.rulebook import Rulebook
from db.settings import Settings
from db.temporal import Connection
from tests.chaos.checker import check, owed
from tests.chaos.checker_world import Journey, Log
from tests.chaos.company import deal, found
from tests.chaos.servers import PATIENCE, Program, Servers, free_port, program
from tests.failed_tasks import failed
from tests.smtp_sink import SmtpSink

MANY = 10
API_KEY = "the key of the chaos"
READY = "the worker works"


class Scene:
    """What one test needs. Rule sets and clients are there, records are not yet."""

    def __init__(self, servers: Servers, url: str, sink: SmtpSink, folder: Path) -> None:
        self.servers, self.url, self.sink, self.folder = servers, url, sink, folder
        self.queue, self.client = f"chaos-{uuid4().hex}", 0
        self.database = Database(url)
        self.programs: list[Program] = []
        self.told: list[tuple[int, int, str]] = []
        """Entries that were acknowledged: record, visit, stage."""
        self._connect = Connection(Settings(temporal_address=servers.temporal.address))
        self._ids, self._book = Ids(), Rulebook(nature)

    async def found(self) -> None:
        async with self.database.transaction() as tx:
            self.client = await found(tx)

    # -- programs ------------------------------------------------------------------------------
    @property
    def settings(self) -> dict[str, str]:
        return {
            "JALON_DATABASE_URL": self.url,
            "JALON_TEMPORAL_ADDRESS": self.servers.temporal.address,
            "JALON_TASK_QUEUE": self.queue,
            "JALON_SMTP_HOST": self.sink.host,
            "JALON_SMTP_PORT": str(self.sink.port),
            "JALON_API_KEY": API_KEY,
            "JALON_HOME": str(self.folder),
        }

    async def worker(self, dies_at: str = "", more: dict[str, str] | None = None) -> Program:
        """A worker that works; it kills itself at the fail-point. `more` is added to its environment."""
        dies = {"JALON_FAIL_POINT": dies_at} if dies_at else {}
        started = self._start("worker", dies | (more or {}))
        await self.until(lambda: started.says(READY), "the worker works")
        return started

    async def workers(self, many: int) -> list[Program]:
        return list(await asyncio.gather(*(self.worker() for _ in range(many))))

    async def api(self, dies_at: str = "", port: int = 0) -> tuple[Program, str]:
        """The API, and where it listens: at a free port, or this one."""
        port = port or free_port()
        more = {"JALON_API_PORT": str(port)} | ({"JALON_FAIL_POINT": dies_at} if dies_at else {})
        started = self._start("api", more)

        async def listens() -> bool:
            assert started.running, started.tail()
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                return False
            writer.close()
            return True

        await self.until(listens, "the API listens")
        return started, f"http://127.0.0.1:{port}/api/v1"

    def _start(self, verb: str, more: dict[str, str]) -> Program:
        name = f"{verb}-{len(self.programs)}"
        self.programs.append(program(self.folder, name, verb, self.settings | more))
        return self.programs[-1]

    async def death(self, of: Program, at: str) -> int:
        """Wait until it has killed itself, at this place; answers how many steps were owed then."""
        await self.until(lambda: not of.running, f"it dies at {at}")
        assert of.died_at() == [at], of.tail()
        assert of.process.returncode == -9
        return await self.owed()

    # -- in the API's place --------------------------------------------------------------------
    async def create(self, many: int = MANY) -> list[int]:
        """Records whose bells are left to the relay."""
        made = []
        for number in range(many):
            async with self.database.transaction() as tx:
                created = await create(tx, self._ids, deal(number, self.client), By("eve", _now()))
            made.append(created.record.id)
            self.told.append((created.record.id, 1, "new"))
        return made

    async def move(self, record_id: int, stage: str) -> None:
        await self._write(record_id, lambda locked: move(locked, stage, By("eve", _now())))

    async def delete(self, record_id: int) -> None:
        await self._write(record_id, lambda locked: delete(locked, By("eve", _now()), NOBODY))

    async def _write(self, record_id: int, what: Callable[[Locked], Awaitable[Bell | None]]) -> None:
        async with self.database.transaction() as tx:
            locked = await self._take(tx, record_id)
            bell = await what(locked)
        if bell:
            self.told.append((record_id, locked.record.visit_no, locked.record.stage_id))

    async def _take(self, tx: Transaction, record_id: int) -> Locked:
        locked = await Locked.take(tx, self._book, record_id)
        assert locked is not None
        return locked

    # -- looking -------------------------------------------------------------------------------
    async def owed(self) -> int:
        async with self.connection() as connection:
            return await owed(connection)

    async def count(self, query: str, *values: object) -> int:
        async with self.connection() as connection:
            return int(await connection.fetchval(query, *values))

    async def rows(self, query: str, *values: object) -> list[asyncpg.Record]:
        async with self.connection() as connection:
            return await connection.fetch(query, *values)

    async def sending(self) -> list[tuple[str, str]]:
        """Message-ID and rule of what is committed as on its way to the mail server."""
        query = "select message_id, rule from message where state = 'sending'"
        return [(row["message_id"], row["rule"]) for row in await self.rows(query)]

    async def under_way(self) -> None:
        """Wait until something has been done and something is still to be done."""

        async def begun() -> bool:
            done = await self.count("select count(*) from ledger where outcome <> ''")
            return done > 0 and await self.owed() > 0

        await self.until(begun, "work is under way")

    async def journeys(self, records: Sequence[int]) -> dict[int, WorkflowExecutionDescription]:
        """What Temporal knows of the records that have a journey."""
        client, there = await self._connect(), {}
        for record in records:
            with suppress(RPCError):
                there[record] = await client.get_workflow_handle(f"deal-{record}").describe()
        return there

    async def in_hand(self, worker: Program, records: Sequence[int]) -> set[str]:
        """The types of activities that Temporal believes this process to be doing for these records."""
        found = set()
        for described in (await self.journeys(records)).values():
            for pending in described.raw_description.pending_activities:
                its = pending.last_worker_identity.partition("@")[0] == str(worker.pid)
                if its and pending.state == PendingActivityState.PENDING_ACTIVITY_STATE_STARTED:
                    found.add(pending.activity_type.name)
        return found

    async def rest(self) -> None:
        """Wait until every step of every plan has its outcome and every bell is rung."""
        await self.until(self._rests, "everything comes to rest")

    async def _rests(self) -> bool:
        return not await self.owed() and not await self.count(_UNHEARD)

    async def wrong(self, log: Log | None = None) -> list[str]:
        """What the checker finds. `log`: what others than this scene know beside it."""
        mails = [(mail.message_id, mail.content) for mail in self.sink.messages]
        log = log or Log()
        log.told = [*log.told, *self.told]
        log.journeys, log.failed_tasks = await self._standing(), self._failed_tasks()
        async with self.connection() as connection:
            return await check(connection, mails, log)

    async def _standing(self) -> dict[int, Journey]:
        """What Temporal says of the journey of each record that there is."""
        records = [row["id"] for row in await self.rows("select id from record")]
        found = {}
        for record, described in (await self.journeys(records)).items():
            task = described.raw_description.pending_workflow_task
            runs = described.status == WorkflowExecutionStatus.RUNNING
            found[record] = Journey(runs, task.attempt or 1)
        return found

    def _failed_tasks(self) -> list[str]:
        logs = [one.log.read_text(errors="replace").splitlines() for one in self.programs]
        return [line[:600] for lines in logs for line in lines if failed(line)]

    async def until(self, holds: Callable[[], bool | Awaitable[bool]], what: str) -> None:
        """Wait for something that must come; nothing else is waited for."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not (await met if isinstance(met := holds(), Awaitable) else met):  # noqa: ASYNC110 - of others
                    await asyncio.sleep(0.1)
        except TimeoutError:
            logs = "\n".join(f"--- {p.log.name}\n{p.tail()}" for p in self.programs)
            raise AssertionError(f"did not happen: {what}\n{logs}") from None

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(self.url)
        try:
            yield connection
        finally:
            await connection.close()

    async def reconnect(self) -> None:
        """After the server was started again."""
        await self.database.close()
        self.database = Database(self.url)

    async def close(self) -> None:
        """End all programs. None may have failed a workflow task, whoever killed what."""
        for started in self.programs:
            started.kill()
        await self.database.close()
        assert self._failed_tasks() == []


def _now() -> datetime:
    return datetime.now(UTC)


_UNHEARD = """
select (select count(*) from outbox)
  + (select count(*) from record where journey_visit < visit_no)
"""
