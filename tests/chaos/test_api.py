"""`kill -9` of the API between its commit and its signal: what it had taken on happens, once."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2

from tests.chaos.company import deal
from tests.chaos.scene import API_KEY, MANY, Scene

DIES_AT = "api.committed"
Call = tuple[str, dict[str, Any]]
"""Path and body."""


async def test_what_an_api_had_committed_when_it_died_is_created_once_and_its_journey_runs(
    scene: Scene,
) -> None:
    doomed, address = await scene.api(dies_at=f"{DIES_AT}:4")
    calls = [("/records", deal(n, scene.client).model_dump(mode="json")) for n in range(MANY)]
    answers = await _ask(address, calls)
    assert await scene.death(doomed, DIES_AT) > 0
    assert None in answers  # somebody was not told
    made = await scene.count("select count(*) from record")
    unheard = await scene.count("select count(*) from outbox")
    assert made > sum(answer is not None for answer in answers)
    assert unheard > 0
    await scene.worker()
    await scene.rest()  # the relay has rung; the API is still dead
    assert await scene.wrong() == []
    await _ask_again(scene, calls, answers)
    assert await scene.count("select count(*) from record") == MANY
    await scene.rest()
    assert await scene.wrong() == []


async def test_what_an_api_had_committed_when_it_died_is_moved_once_and_its_journey_hears(
    scene: Scene,
) -> None:
    await scene.worker()
    doomed, address = await scene.api(dies_at=f"{DIES_AT}:3")
    records = await scene.create()
    await scene.under_way()
    calls = [(f"/records/{record}/move", {"stage": "lost"}) for record in records[:6]]
    answers = await _ask(address, calls)
    assert await scene.death(doomed, DIES_AT) > 0
    assert None in answers
    await _ask_again(scene, calls, answers)
    await scene.rest()
    assert await scene.wrong() == []
    entered = "select count(*) from visit where stage_id = 'lost' and record_id = $1"
    for record in records[:6]:
        assert await scene.count(entered, record) == 1


async def _ask_again(scene: Scene, calls: list[Call], answers: list[dict[str, Any] | None]) -> None:
    """Whoever was not told asks a new API under the same key, and all others do too."""
    _, address = await scene.api()
    told = await _ask(address, calls)
    assert None not in told
    assert [new for new, old in zip(told, answers, strict=True) if old] == [old for old in answers if old]
    scene.told += [(answer["id"], answer["visit_no"], answer["stage"]) for answer in told if answer]


async def _ask(address: str, calls: list[Call]) -> list[dict[str, Any] | None]:
    """What each call is answered, all at once; None where the connection was cut, or there was none."""
    headers = {"Authorization": f"Bearer {API_KEY}"}
    async with httpx2.AsyncClient(headers=headers, timeout=60) as caller:

        async def one(path: str, body: dict[str, Any]) -> dict[str, Any] | None:
            key = {"Idempotency-Key": f"{path} {body}"[:250]}
            try:
                answer = await caller.post(address + path, json=body, headers=key)
            except httpx2.TransportError:
                return None
            assert answer.is_success, answer.text
            found: dict[str, Any] = answer.json()
            return found

        return list(await asyncio.gather(*(one(*call) for call in calls)))
