"""The API as a process of its own, killed between commit and answer."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2

from db.engine import Database
from tests import builders
from tests.stories.conftest import KEY, Stored

ROOT = Path(__file__).parents[2]
DEAL = {"type": "deal", "pipeline": "sales", "title": "A roof for Klein"}
Served = tuple[httpx2.AsyncClient, asyncio.subprocess.Process]


@asynccontextmanager
async def serving(database_url: str, **more: str) -> AsyncIterator[Served]:
    """A caller, and the process it calls, which has the environment `more` besides its settings."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    own = {
        "JALON_API_PORT": str(port), "JALON_API_KEY": KEY, "JALON_DATABASE_URL": database_url,
        "JALON_TEMPORAL_ADDRESS": "127.0.0.1:1",
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli", "api", cwd=ROOT, env={**os.environ, **own, **more},
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    headers = {"Authorization": f"Bearer {KEY}", "Idempotency-Key": "the same call"}
    try:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}/api/v1", headers=headers) as caller:
            async with asyncio.timeout(60):
                while not await answers(caller):  # noqa: ASYNC110 - another process brings it about
                    await asyncio.sleep(0.1)
            yield caller, process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def answers(caller: httpx2.AsyncClient) -> bool:
    try:
        return (await caller.get("/health")).status_code == 200
    except httpx2.ConnectError:
        return False


async def test_a_change_is_durable_before_the_answer_and_made_once_when_it_is_asked_for_again(
    database: Database, database_url: str, stored: Stored
) -> None:
    async with database.transaction() as tx:
        await builders.company(tx)
    async with serving(database_url, JALON_FAIL_POINT="api.committed") as (caller, process):
        try:
            await caller.post("/records", json=DEAL)
        except httpx2.TransportError:
            assert await process.wait() == -signal.SIGKILL
        else:
            raise AssertionError("it was to be killed")
    (record,) = await stored("select id from record")
    assert len(await stored("select 1 from outbox")) == 1  # the relay will ring it
    async with serving(database_url) as (caller, process):
        answer = await caller.post("/records", json=DEAL)
        assert (answer.status_code, answer.json()["id"]) == (201, record["id"])
        assert answer.headers["idempotent-replayed"] == "true"
    assert len(await stored("select 1 from record")) == 1
