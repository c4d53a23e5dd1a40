"""What happens to the processes while a crowd works: killed, frozen, cut off, started again."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress

from tests.chaos.lossy import Lossy
from tests.chaos.scene import Scene
from tests.chaos.servers import Program, free_port

FROZEN = 3.0
"""Seconds."""
OFTEN = 0.03
"""So likely is the answer to a write or to a commit lost."""
CALLS = 0.002
"""The same of a piece that a worker says to Temporal."""
WRITES = (b"POST", b"PATCH", b"DELETE")


class Machines:
    """Two workers, two APIs, and lossy ways from callers to APIs and from workers to both servers."""

    def __init__(self, scene: Scene, dice: random.Random) -> None:
        self.scene, self.dice = scene, dice
        self.workers: list[Program] = []
        self.apis: list[Program] = []
        self.ports = [free_port(), free_port()]
        self.ways = [Lossy(port, self._loses_answer) for port in self.ports]
        database = int(scene.url.rpartition(":")[2].partition("/")[0])
        self.database = Lossy(database, self._loses_commit)
        self.temporal = Lossy(scene.servers.temporal.port, self._loses_call)
        self.done: list[str] = []

    async def start(self) -> None:
        for way in self.all_ways:
            await way.__aenter__()
        self.workers = [*await asyncio.gather(self._worker(), self._worker())]
        self.apis = [(await self.scene.api(port=port))[0] for port in self.ports]
        self.lose(True)

    async def stop(self) -> None:
        for way in self.all_ways:
            await way.__aexit__(None, None, None)

    @property
    def all_ways(self) -> list[Lossy]:
        return [*self.ways, self.database, self.temporal]

    @property
    def addresses(self) -> list[str]:
        """Of the APIs: each by itself, and by the way on which answers are lost."""
        return [f"http://127.0.0.1:{port}/api/v1" for port in [*self.ports, *(w.port for w in self.ways)]]

    def lose(self, on: bool) -> None:
        for way in self.all_ways:
            way.on = on

    # -- what happens --------------------------------------------------------------------------
    async def strike(self) -> None:
        """Everything once, in an order of its own."""
        every: list[Callable[[], Awaitable[None]]] = [
            self.worker_dies, self.api_dies, self.worker_freezes, self.api_freezes, self.postgres_dies,
            self.temporal_dies, self.connections_end,
        ]  # fmt: skip
        self.dice.shuffle(every)
        for what in every:
            await what()
            self.done.append(what.__name__)
            await asyncio.sleep(self.dice.uniform(0.5, 1.5))

    async def worker_dies(self) -> None:
        place = self.dice.randrange(2)
        self.workers[place].kill()
        self.workers[place] = await self._worker()

    async def api_dies(self) -> None:
        place = self.dice.randrange(2)
        self.apis[place].kill()
        self.apis[place], _ = await self.scene.api(port=self.ports[place])

    async def worker_freezes(self) -> None:
        await self._freezes(self.dice.choice(self.workers))

    async def api_freezes(self) -> None:
        await self._freezes(self.dice.choice(self.apis))

    async def postgres_dies(self) -> None:
        await asyncio.to_thread(self.scene.servers.kill_postgres)
        await asyncio.to_thread(self.scene.servers.start_postgres)
        await self.scene.reconnect()

    async def temporal_dies(self) -> None:
        self.scene.servers.kill_temporal()
        await asyncio.sleep(self.dice.uniform(0, 1))
        self.scene.servers.start_temporal()

    async def connections_end(self) -> None:
        for way in self.all_ways:
            way.cut()
        ours = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'jalon'"
        with suppress(OSError):
            await self.scene.rows(ours)

    async def _freezes(self, program: Program) -> None:
        program.send(signal.SIGSTOP)
        await asyncio.sleep(FROZEN)
        program.send(signal.SIGCONT)

    async def _worker(self) -> Program:
        own, servers = str(self.database.port), self.scene.servers
        url = self.scene.url.replace(f":{self.database.to}/", f":{own}/")
        address = servers.temporal.address.replace(str(self.temporal.to), str(self.temporal.port))
        return await self.scene.worker(more={"JALON_DATABASE_URL": url, "JALON_TEMPORAL_ADDRESS": address})

    # -- what is lost --------------------------------------------------------------------------
    def _loses_answer(self, piece: bytes) -> bool:
        return piece.startswith(WRITES) and self.dice.random() < 3 * OFTEN

    def _loses_commit(self, piece: bytes) -> bool:
        return b"COMMIT" in piece and self.dice.random() < OFTEN

    def _loses_call(self, _: bytes) -> bool:
        return self.dice.random() < CALLS
