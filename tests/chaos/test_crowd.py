"""People, clients and operators at two APIs and two workers, while everything is killed that can be.

`JALON_CHAOS_ROUNDS` makes it longer: so often everything happens. `JALON_CHAOS_SEED` throws other dice.
"""

from __future__ import annotations

import asyncio
import os
import random

from tests.chaos.crowd import Crowd, hire
from tests.chaos.faults import Machines
from tests.chaos.scene import Scene
from tests.chaos.stairs import found_stairs

ROUNDS = int(os.environ.get("JALON_CHAOS_ROUNDS", "1"))
SEED = int(os.environ.get("JALON_CHAOS_SEED", "1"))
PEOPLE = 4
PAUSE = 0.3
"""Seconds that each of them rests between two things, on average."""


async def test_whatever_dies_while_everybody_works_nothing_is_lost_and_nothing_happens_twice(
    scene: Scene,
) -> None:
    dice = random.Random(SEED)
    async with scene.database.transaction() as tx:
        await found_stairs(tx)
    async with scene.connection() as connection:
        await hire(connection)
    machines = Machines(scene, random.Random(SEED + 1))
    await machines.start()
    crowd = Crowd(machines.addresses, scene.client, dice)
    try:
        over = asyncio.Event()
        people = [asyncio.create_task(_work(crowd, over)) for _ in range(PEOPLE)]
        for _ in range(ROUNDS):
            await machines.strike()
        machines.lose(False)
        over.set()
        await asyncio.gather(*people)
        await _end(crowd)
        await scene.rest()
        assert await scene.wrong(crowd.log) == [], f"seed {SEED}"
        lost = {way.to: way.lost for way in machines.all_ways}
        print(f"{crowd.asked} asked, {crowd.unanswered} unanswered, lost {lost}, {machines.done}")
        assert crowd.unanswered > 0
        assert sum(way.lost for way in machines.ways) > 0
        assert machines.database.lost > 0
    finally:
        await crowd.close()
        await machines.stop()


async def _work(crowd: Crowd, over: asyncio.Event) -> None:
    while not over.is_set():
        await crowd.act()
        await asyncio.sleep(crowd.dice.uniform(0, 2 * PAUSE))


async def _end(crowd: Crowd) -> None:
    """Let all come to rest by itself: what is in the bin stays there, what is suspended goes on."""
    for record in crowd.records:
        await crowd.operate(record, "resume")
        await crowd.edit(record, hot=True)
