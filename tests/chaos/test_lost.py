"""A database is lost, or put back from a backup, under work: the journeys begin anew, by themselves."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from pathlib import Path

from tests.chaos.scene import Scene

TIDE = "select max(tide) from watch"
TWICE_LOOKED_AT = "select count(*) from watch where tide > 1"


async def looked_at(scene: Scene) -> None:
    """Wait until somebody has looked twice: what is lost before that was never there."""

    async def twice() -> bool:
        return bool(await scene.count(TWICE_LOOKED_AT))

    await scene.until(twice, "somebody looks at the journeys")


async def test_temporal_loses_its_database_and_every_journey_begins_anew(scene: Scene) -> None:
    await scene.workers(2)
    records = await scene.create()
    await scene.under_way()
    await looked_at(scene)
    held = await scene.create()  # on their way, whatever the others are
    await scene.under_way()
    scene.servers.kill_temporal()
    for file in scene.servers.temporal.home.glob("temporal.db*"):
        file.unlink()
    await scene.move(records[0], "offer")
    scene.servers.start_temporal()

    async def begun() -> bool:
        done = "select count(*) from healing where reason = 'temporal_lost' and ended_at is not null"
        return bool(await scene.count(done))

    await scene.until(begun, "all journeys begin anew")
    await scene.rest()
    assert await scene.wrong() == []
    there = await scene.journeys([*records, *held])
    alive = await scene.rows("select id from record where deleted_at is null")
    assert {row["id"] for row in alive} <= there.keys()
    assert await scene.count("select count(*) from notification where body like 'All journeys begin anew%'")


async def test_postgresql_is_put_back_from_a_backup_and_the_journeys_follow_it(scene: Scene) -> None:
    servers, backup = scene.servers, scene.folder / "backup"
    await scene.workers(2)
    records = await scene.create()
    await scene.rest()
    await looked_at(scene)
    tide = await scene.count(TIDE)
    await asyncio.to_thread(servers.cluster.stop)
    await asyncio.to_thread(_copy, servers.cluster.data, backup)
    await asyncio.to_thread(servers.start_postgres)
    await scene.reconnect()
    told = list(scene.told)
    for stage in ("offer", "lost", "new"):
        for record in records[:3]:
            await scene.move(record, stage)
    await scene.create()  # their ids will be used again
    await scene.rest()

    async def older() -> bool:  # a backup as young as the last look is not told from the present
        return await scene.count(TIDE) > tide + 1

    await scene.until(older, "somebody has looked since the backup")
    await asyncio.to_thread(servers.kill_postgres)
    shutil.rmtree(servers.cluster.data)
    await asyncio.to_thread(_copy, backup, servers.cluster.data)
    scene.told, scene.sink.messages[:] = told, []
    await asyncio.to_thread(servers.start_postgres)
    await scene.reconnect()
    again = await scene.create()
    await scene.move(records[0], "offer")

    async def begun() -> bool:
        done = "select count(*) from healing where reason = 'database_restored' and ended_at is not null"
        return bool(await scene.count(done))

    await scene.until(begun, "all journeys begin anew")
    await scene.rest()
    opened = "select count(*) from record where journey_visit < visit_no"
    assert (await scene.count(opened), len(again)) == (0, 10)
    lost = "select count(*) from ledger where record_id = any($1) and outcome = 'done'"
    assert await scene.count(lost, again) > 0


def _copy(data: Path, to: Path) -> None:
    """With its owner, who is nobody where root runs the tests."""
    subprocess.run(["cp", "-a", data, to], check=True)
