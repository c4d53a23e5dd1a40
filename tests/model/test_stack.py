"""Random scenarios on the whole stack: its journals are those of the reference model."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

import asyncpg
from temporalio.testing import WorkflowEnvironment

from db.engine import Database
from tests import builders
from tests.model import drive, reference, scenarios
from tests.model.with_tasks import task_scenario
from tests.stack import Case, Door, company, entries, pipelines, product, rule_sets

AT_ONCE, SEEDS = 6, 24
EARLIEST = datetime(2025, 3, 1, tzinfo=UTC)  # no scenario begins before


async def test_random_scenarios_have_the_journals_of_the_model(
    database: Database, database_url: str, temporal: WorkflowEnvironment
) -> None:
    weeks = (datetime.now(UTC) - EARLIEST) // timedelta(weeks=1) + 1
    connection, lock = await asyncpg.connect(database_url), asyncio.Lock()
    await company(database, "UTC")
    seeds, different = iter(range(SEEDS)), {}
    async with product(temporal, database, "scenarios") as (api, doorbell):

        async def teller() -> None:
            for seed in seeds:
                drawn = task_scenario(seed) if seed % 2 else scenarios.random_scenario(Random(seed))
                scenario, prefix = later(drawn, weeks), f"s{seed}-"
                await pipelines(database, scenario, scenarios.FIELD_TYPES, prefix)
                async with database.transaction() as tx:  # some would be refused on publication
                    for name, stages in rule_sets(scenario, prefix).items():
                        await builders.rule_set(tx, stages, pipeline=name, owner="ann")
                record_id = await Case(temporal, Door(api, doorbell, prefix), scenario).run()
                async with lock:
                    found = drive.compared(await entries(connection, record_id))
                expected = drive.compared(reference.run(scenario))
                if found != expected:
                    different[seed] = {"missing": expected - found, "too much": found - expected}

        await asyncio.gather(*(teller() for _ in range(AT_ONCE)))
    await connection.close()
    assert different == {}


def later(written: Any, weeks: int) -> Any:
    """The same, every date and instant of it a whole number of weeks later, also in calendars."""
    by = timedelta(weeks=weeks)
    match written:
        case dict():
            return {later(key, weeks): later(value, weeks) for key, value in written.items()}
        case list():
            return [later(value, weeks) for value in written]
        case str() if re.fullmatch(r"\d{4}-\d\d-\d\d", written):
            return (date.fromisoformat(written) + by).isoformat()
        case str() if re.fullmatch(r"\d{4}-\d\d-\d\dT.*", written):
            return (datetime.fromisoformat(written) + by).isoformat()
    return written


def test_everything_in_a_scenario_moves_by_whole_weeks() -> None:
    moved = later({"at": "2026-02-02T08:00:00+00:00", "days": ["2026-02-03"], "text": "2026"}, 1)
    assert moved == {"at": "2026-02-09T08:00:00+00:00", "days": ["2026-02-10"], "text": "2026"}
