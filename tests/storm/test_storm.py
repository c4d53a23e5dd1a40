"""No journey is ever poisoned: whatever comes between any two activations, every history replays.

A small storm in every run; the large one when it is asked for:

    JALON_STORM_ENTRIES=20000 JALON_STORM_SEED=7 python -m pytest tests/storm

With `JALON_STORM_STRANGERS=1` somebody queries and updates the journeys too; then some histories do not
replay yet (decision 0024).
"""

from __future__ import annotations

import os
import time

from sqlalchemy import text
from temporalio.testing import WorkflowEnvironment

from db.engine import Database
from tests.histories import look
from tests.storm.storm import storm

ENTRIES = int(os.environ.get("JALON_STORM_ENTRIES", "300"))
STRANGERS = bool(os.environ.get("JALON_STORM_STRANGERS"))
SEED = int(os.environ.get("JALON_STORM_SEED", "1"))
CAUGHT_UP_WITHIN = 120.0


async def test_in_a_storm_every_journey_goes_on_and_every_history_replays(
    database: Database, temporal: WorkflowEnvironment
) -> None:
    async with database.transaction() as tx:  # ids that no other test has given a journey
        first = {"first": time.time_ns() % 2**40}
        await tx.execute(text("select setval(pg_get_serial_sequence('record', 'id'), :first)"), first)
    async with storm(temporal.client, database, SEED, (1000, 0), strangers=STRANGERS) as blown:
        began = time.monotonic()
        await blown.blow(ENTRIES)
        blew = time.monotonic()
        behind = await blown.behind(CAUGHT_UP_WITHIN)
        caught = time.monotonic()
        looked = await look(temporal.client, f"TaskQueue = '{blown.queue}'")
    print(
        f"{blown.entries} entries of {len(blown.records)} records in {blew - began:.0f} s, caught up "
        f"{caught - blew:.0f} s later; {looked.runs} runs, {looked.events} events, the longest "
        f"{looked.longest}; behind: {behind}, wrong: {looked.wrong}"
    )
    assert looked.wrong == []
    assert behind == []
    assert looked.runs >= len(blown.records)
