"""Cases of the log on the whole stack under virtual time: API, PostgreSQL, Temporal, worker; many at once."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import asyncpg
from temporalio.testing import WorkflowEnvironment

from db.engine import Database
from db.migrate import ensure_database, upgrade
from tests.door import Door
from tests.histories import all_replay
from tests.model import drive, reference
from tests.servers import postgres_server, temporal_server
from tests.stack import Case, company, entries, pipelines, product, rule_sets
from tests.traces import log, rules

AT_ONCE = 8
FIRST = datetime(2011, 9, 30, tzinfo=UTC)  # the log begins after it


async def replay(path: Path, limit: int, *, progress: bool = False) -> dict[str, Any]:
    """Run the first cases on servers of their own."""
    with postgres_server() as cluster:
        url = await ensure_database(cluster.dsn(), "traces")
        await asyncio.to_thread(upgrade, url)
        database = Database(url, pool_size=30)
        try:
            async with await temporal_server() as environment:
                counts = await tell(path, limit, environment, database, url, progress=progress)
                await all_replay(environment.client)
                return counts
        finally:
            await database.close()


async def tell(
    path: Path, limit: int, environment: WorkflowEnvironment, database: Database, url: str, *,
    progress: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Run the first cases on these servers; the counts, and how many entries differ."""
    began, counts, connection = time.monotonic(), Counter[str](), await asyncpg.connect(url)
    scenarios = _scenarios(path, limit)
    await company(database, rules.ZONE)
    async with product(environment, database, "traces") as (api, doorbell):
        first = next(scenarios)
        await pipelines(database, first, rules.FIELD_TYPES)
        for name, stages in rule_sets(first).items():
            answer = await api.put(f"/pipelines/{name}/rules", json={"owner": "ann", "stages": stages})
            answer.raise_for_status()
        left = iter([first, *scenarios])

        async def teller() -> None:
            for scenario in left:  # shared: each takes the next
                case = Case(environment, Door(api, doorbell, database), scenario)
                await _case(case, connection, lock, counts)
                if progress and counts["cases"] % 10 == 0:
                    done = f"{counts['cases']} cases, {counts['mismatches']} mismatches"
                    print(done, file=sys.stderr, flush=True)

        lock = asyncio.Lock()
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(teller())
    await connection.close()
    summary = {name: counts.pop(name, 0) for name in ("cases", "events", "mismatches")}
    return summary | {"steps": dict(sorted(counts.items())), "seconds": round(time.monotonic() - began, 1)}


async def _case(case: Case, connection: Any, lock: asyncio.Lock, counts: Counter[str]) -> None:
    record_id = await case.run()
    async with lock:  # one connection
        found = await entries(connection, record_id)
    expected, got = drive.compared(reference.run(case.scenario)), drive.compared(found)
    for entry, missing in [(e, True) for e in expected - got] + [(e, False) for e in got - expected]:
        print("missing" if missing else "too much", record_id, entry, file=sys.stderr, flush=True)
    counts["cases"] += 1
    counts["events"] += len(case.scenario["events"])
    counts["mismatches"] += ((expected - got) + (got - expected)).total()
    counts.update(f"{entry[3]} {entry[4]}".strip() for entry in found)


def _scenarios(path: Path, limit: int) -> Iterator[dict[str, Any]]:
    """All shifted by one whole number of weeks, into the future: the journeys' clocks begin now."""
    weeks = (datetime.now(UTC) - FIRST) // timedelta(weeks=1) + 1
    return (log.shift(log.scenario(case), weeks) for case in islice(log.cases(path), limit))
