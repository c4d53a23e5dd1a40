"""One window: so many in flight in a closed loop, for so many seconds; what it cost."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass

from tests.bench.ground import Ground, busy, cpu_of, cpu_of_tree
from tests.bench.subjects import Subject, Took

SETTLES = 0.25  # seconds until the last tasks of a window have run


@dataclass
class Window:
    """Rate a second; CPU-ms an operation of each process; cores that others took; seconds of each call."""

    rate: float
    server: float
    worker: float
    driver: float
    postgres: float
    others: float
    took: list[Took]

    @property
    def temporal(self) -> float:
        """What is compared with bare Temporal: server and worker, its database client included."""
        return self.server + self.worker

    @property
    def all(self) -> float:
        """Also the write path, the ringing and PostgreSQL."""
        return self.temporal + self.driver + self.postgres

    def quantile(self, what: str, q: float) -> float:
        """Milliseconds from the call."""
        values = sorted(getattr(took, what) for took in self.took)
        return 1000 * values[min(len(values) - 1, int(len(values) * q))]


async def window(on: Ground, subject: Subject, in_flight: int, records: int, seconds: float) -> Window:
    def used() -> dict[str, float]:
        pids = {"server": on.temporal.pid, "worker": subject.worker, "driver": os.getpid()}
        return {name: cpu_of(pid) for name, pid in pids.items()} | {"postgres": cpu_of_tree(on.postmaster)}

    before, busy_before, began = used(), busy(), time.monotonic()
    took: list[Took] = []

    async def user(u: int) -> None:
        k = u
        while time.monotonic() < began + seconds:
            took.append(await subject.operate(k))
            k = (k + in_flight) % records

    await asyncio.gather(*(user(u) for u in range(in_flight)))
    lasted = time.monotonic() - began
    await asyncio.sleep(SETTLES)
    after, whole = used(), time.monotonic() - began
    spent = {name: after[name] - before[name] for name in after}
    others = (busy() - busy_before - sum(spent.values())) / whole
    per = {name: 1000 * seconds / len(took) for name, seconds in spent.items()}
    return Window(rate=len(took) / lasted, others=others, took=took, **per)
