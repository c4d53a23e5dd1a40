"""Ten thousand signals at one journey: none is lost, and no run grows beyond what Temporal bears.

    JALON_FLOOD_SIGNALS=10000 python -m pytest tests/storm/test_flood.py
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any
from uuid import uuid4

from sqlalchemy import text
from temporalio.client import WorkflowHandle
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment

from cli.embedded_temporal import DYNAMIC_CONFIG
from db.engine import Database
from domain.journey import ClientActivity, FactsChanged, Shown
from tests.histories import look
from tests.storm.storm import Storm, now, storm
from worker.relay import relay

SIGNALS = int(os.environ.get("JALON_FLOOD_SIGNALS", "3000"))
AT_ONCE = 50
HEARS = 2000
"""Signals that one run may be told, as the servers are configured."""
BEARS = 6000
"""Events of a run: what it may have, what it is told, and the tasks of both. The server ends it at 51,200."""


async def tell(handle: WorkflowHandle[Any, Any], name: str, message: object) -> None:
    """Until it is acknowledged: a run that has heard enough refuses, and the next one hears it."""
    while True:
        try:
            return await handle.signal(name, message)
        except RPCError:
            await asyncio.sleep(0.05)


async def flood(handle: WorkflowHandle[Any, Any], dice: Any) -> int:
    """All signals, so many at once; answers how many activities of the client were among them."""
    messages: list[tuple[str, object]] = []
    for _ in range(SIGNALS):
        if dice.random() < 0.7:
            messages.append(("client_activity", ClientActivity(id=uuid4().hex, type="form")))
        else:
            facts = FactsChanged(id=uuid4().hex, at=now(), fields=["record.hot"])
            messages.append(("facts_changed", facts))
    acts = sum(name == "client_activity" for name, _ in messages)

    async def some() -> None:
        while messages:
            await tell(handle, *messages.pop())

    await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    return acts


async def moved_about(blown: Storm, record: int, over: asyncio.Event) -> int:
    """People move the record meanwhile; answers how often."""
    moves = 0
    while not over.is_set():
        await blown.move(record)
        moves += 1
        await asyncio.sleep(0.5)
    return moves


async def rest(handle: WorkflowHandle[Any, Any]) -> Shown:
    """Wait until it has seen to everything."""
    while True:
        try:
            shown: Shown = await handle.query("state", result_type=Shown)
            if shown.at_rest:
                return shown
        except RPCError:
            pass  # between two runs there is nobody to answer
        await asyncio.sleep(0.5)


async def test_of_a_flood_of_signals_none_is_lost_and_no_run_grows_too_long(
    database: Database, temporal: WorkflowEnvironment
) -> None:
    assert f"history.maximumSignalsPerExecution={HEARS}" in DYNAMIC_CONFIG
    async with database.transaction() as tx:  # ids that no other test has given a journey
        first = {"first": time.time_ns() % 2**40}
        await tx.execute(text("select setval(pg_get_serial_sequence('record', 'id'), :first)"), first)
    stop, over = asyncio.Event(), asyncio.Event()
    async with storm(temporal.client, database, 5, (1000,), slow=False) as blown:
        ringing = asyncio.create_task(relay(database, temporal.client, blown.queue, stop))
        record, handle = await blown.begin(most_events=400)
        moving = asyncio.create_task(moved_about(blown, record, over))
        began = time.monotonic()
        acts = await flood(handle, blown.dice)
        told = time.monotonic()
        over.set()
        moves = await moving
        behind = await blown.behind(240)
        shown = await rest(handle)
        done = time.monotonic()
        stop.set()
        await ringing
        looked = await look(temporal.client, f"TaskQueue = '{blown.queue}'")
    print(
        f"{SIGNALS} signals in {told - began:.0f} s, seen to {done - told:.0f} s later, {moves} moves; "
        f"{looked.runs} runs, {looked.events} events, the longest {looked.longest}"
    )
    async with database.transaction() as tx:
        counted = await tx.execute(text("select count(*) from client_activity where type = 'form'"))
        recorded = counted.scalar_one()
        visits = (await tx.execute(text("select visit_no, journey_visit from record"))).one()
    assert recorded == acts
    assert behind == []
    assert visits.journey_visit == visits.visit_no == shown.progress.visit_no > 1
    assert looked.wrong == []
    assert looked.longest <= BEARS
    assert looked.runs > 1
