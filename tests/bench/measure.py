"""`python -m tests.bench.measure [profile]`: where the time goes, without Temporal and without noise.

Round trips, CPU-ms and wall-ms of the write path and of `enter_stage`, one record at a time; `profile` adds
where the CPU of `enter_stage` goes; `payloads` the bytes of one entry in a real history.
"""

from __future__ import annotations

import asyncio
import cProfile
import dataclasses
import io
import os
import pstats
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from sqlalchemy import event
from temporalio.testing import ActivityEnvironment

from activities.providers.console import ConsoleMail
from activities.work import Activities
from db.doorbell import Doorbell
from db.engine import Transaction
from db.locked import Locked
from db.records import By, move
from db.settings import Settings
from domain.journey import EnterStage
from domain.progress import Progress
from tests import builders
from tests.bench import company
from tests.bench.ground import Ground, cpu_of_tree, ground
from tests.bench.subjects import Product, size

ENTRIES = 300


class Bench:
    """One record that goes to and fro without a journey."""

    def __init__(self, on: Ground, case: str) -> None:
        self.on, self.case, self.side = on, case, "a"

        async def connected() -> None:
            raise RuntimeError("there is no Temporal here")

        settings = Settings()
        doorbell = Doorbell(on.database, connected, "nobody")
        self.acts = Activities(on.database, doorbell, ConsoleMail(), settings)
        self.environment = ActivityEnvironment()
        self.progress, self.record_id = Progress(), 0

    async def start(self, contact: int) -> None:
        async with self.on.database.transaction() as tx:
            self.record_id = await builders.deal(
                tx, pipeline="bench", stage=f"{self.case}-a", contact=contact, at=datetime.now(UTC)
            )
        await self.enter()

    async def write(self) -> None:
        self.side = "b" if self.side == "a" else "a"

        async def moved(tx: Transaction) -> None:
            locked = await Locked.take(tx, self.acts.book, self.record_id)
            assert locked
            await move(locked, f"{self.case}-{self.side}", By("api", datetime.now(UTC)))

        async with self.on.database.transaction() as tx:
            await moved(tx)

    async def enter(self) -> None:
        at = datetime.now(UTC)
        self.environment.info = dataclasses.replace(
            self.environment.info, current_attempt_scheduled_time=at, scheduled_time=at
        )
        asked = EnterStage(record_id=self.record_id, progress=self.progress)
        self.progress = (await self.environment.run(self.acts.enter_stage, asked)).progress


class Statements:
    """Counts round trips by their first words."""

    def __init__(self, on: Ground) -> None:
        self.seen: Counter[str] = Counter()
        engine = on.database._engine.sync_engine
        event.listen(engine, "begin", lambda _: self._see("begin"))
        event.listen(engine, "commit", lambda _: self._see("commit"))
        event.listen(engine, "before_cursor_execute", lambda *told: self._see(told[2]))

    def _see(self, statement: str) -> None:
        self.seen[" ".join(statement.split())[:90]] += 1


async def cost(on: Ground, work: Callable[[], Awaitable[None]], before: Callable[[], Awaitable[None]]) -> str:
    used = postgres = 0.0
    walls = []
    for _ in range(ENTRIES):
        await before()
        pg, cpu, began = cpu_of_tree(on.postmaster), time.process_time(), time.perf_counter()
        await work()
        walls.append(time.perf_counter() - began)
        used += time.process_time() - cpu
        postgres += cpu_of_tree(on.postmaster) - pg
    wall = sorted(walls)[ENTRIES // 2]
    return f"{1000 * used / ENTRIES:.2f} | {1000 * postgres / ENTRIES:.2f} | {1000 * wall:.2f}"


async def nothing() -> None:
    pass


async def payloads(on: Ground, contact: int) -> None:
    """The events of one entry with their bytes, and the payloads as they are."""
    worker = await on.worker("tests.bench.worker", "payloads")
    for case in ("one", "ten", "late", "idle"):
        subject = Product(on, case, worker, "payloads", contact, "idle" if case == "idle" else "")
        await subject.open(1)
        first = int((await size(subject.handle(0))).events)
        if case != "idle":
            await subject.operate(0)
            await size(subject.handle(0))
        history = await subject.handle(0).fetch_history()
        shown = history.events if case == "idle" else history.events[first:]
        print(f"\n{case}: {len(shown)} events, {sum(e.ByteSize() for e in shown)} bytes")
        for one in shown:
            name = one.WhichOneof("attributes")
            inside = getattr(one, name)
            data = [
                payload.data.decode(errors="replace")
                for where in ("input", "result")
                if where in inside.DESCRIPTOR.fields_by_name
                for payload in getattr(inside, where).payloads
            ]
            print(f"{one.ByteSize():6} {name.removesuffix('_event_attributes')} {' '.join(data)}")


async def main(parts: list[str]) -> None:
    async with ground() as on:
        statements = Statements(on)
        async with on.database.transaction() as tx:
            contact = await company.found(tx)
        print("| case | what | client CPU-ms | PostgreSQL CPU-ms | wall p50 ms |\n|---|---|---|---|---|")
        for case in company.HOW_MANY:
            bench = Bench(on, case)
            await bench.start(contact)
            for _ in range(30):
                await bench.write()
                await bench.enter()
            print(f"| {case} | write path | {await cost(on, bench.write, bench.enter)} |")
            print(f"| {case} | enter_stage | {await cost(on, bench.enter, bench.write)} |", flush=True)
            for what, work in (("write path", bench.write), ("enter_stage", bench.enter)):
                statements.seen.clear()
                await work()
                print(f"  {case}, {what}: {statements.seen.total()} round trips")
                for said, count in statements.seen.items():
                    print(f"    {count} × {said}")
            if "profile" in parts:
                for what, work, between in (
                    ("enter_stage", bench.enter, bench.write), ("write path", bench.write, bench.enter),
                ):  # fmt: skip
                    profile = cProfile.Profile()
                    for _ in range(ENTRIES):
                        await between()
                        profile.enable()
                        await work()
                        profile.disable()
                    for order in ("tottime", "cumulative"):
                        out = io.StringIO()
                        pstats.Stats(profile, stream=out).sort_stats(order).print_stats(45)
                        print(f"{case} {what}", out.getvalue())
        if "payloads" in parts:
            await payloads(on, contact)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the servers are stopped
    asyncio.run(main(sys.argv[1:]))
    sys.stdout.flush()
    os._exit(0)  # the client of Temporal may abort the interpreter while it ends
