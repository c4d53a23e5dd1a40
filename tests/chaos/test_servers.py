"""`kill -9` of Temporal and of PostgreSQL while records are on their way and people move them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from tests.chaos.scene import Scene
from worker.patience import DATABASE_AWAY


async def test_temporal_comes_back_after_a_kill_with_all_that_was_on_its_way(scene: Scene) -> None:
    await scene.worker()
    moved, deleted, offered, *_ = await scene.create()
    await scene.under_way()
    scene.servers.kill_temporal()
    assert await scene.owed() > 0
    await scene.move(moved, "lost")  # the bells wait in the outbox
    await scene.move(offered, "offer")
    await scene.delete(deleted)
    scene.servers.start_temporal()
    await scene.rest()
    assert await scene.wrong() == []


async def test_postgresql_comes_back_after_a_kill_and_nothing_is_half_done(scene: Scene) -> None:
    await scene.worker()
    deleted, *records = await scene.create()
    await scene.under_way()
    before = len(scene.told)
    people = asyncio.create_task(_move_about(scene, deleted, records[:5]))
    await scene.until(lambda: len(scene.told) > before, "somebody has moved a record")
    assert await scene.owed() > 0
    await asyncio.to_thread(scene.servers.kill_postgres)
    assert not people.done()
    await asyncio.to_thread(scene.servers.start_postgres)
    await people
    await scene.rest()
    assert await scene.wrong() == []


async def _move_about(scene: Scene, deleted: int, records: Sequence[int]) -> None:
    """What people do, one after the other, each thing again until they are told that it is done."""
    for stage in ("offer", "lost", "new", "offer"):
        for record in records:
            await _persist(lambda r=record, s=stage: scene.move(r, s))
            await asyncio.sleep(0.2)
    await _persist(lambda: scene.delete(deleted))


async def _persist(ask: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            return await ask()
        except DATABASE_AWAY:
            await asyncio.sleep(0.1)
