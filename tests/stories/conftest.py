"""The API in this process, on a real database; by default Temporal is away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr
from sqlalchemy import text
from temporalio.client import Client

from api.app import create_app
from db.engine import Database
from db.settings import Settings
from tests import builders
from tests.builders import NOON

KEY = "the key of the tests"
SETTINGS = Settings(api_key=SecretStr(KEY))


class Api(httpx2.AsyncClient):
    """A caller with the key. `now` is the clock of the API."""

    def __init__(self, transport: httpx2.ASGITransport) -> None:
        super().__init__(transport=transport, base_url="http://jalon/api/v1")
        self.headers["Authorization"] = f"Bearer {KEY}"
        self.now = NOON

    def clock(self) -> datetime:
        return self.now

    async def made(self, path: str, **body: Any) -> dict[str, Any]:
        """What a POST answers that has to succeed."""
        answer = await self.post(path, json=body)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    async def seen(self, path: str, **params: Any) -> Any:
        """What a GET answers that has to succeed."""
        answer = await self.get(path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()


async def away() -> Client:
    raise RuntimeError("Temporal is away")


@pytest.fixture
async def api(database: Database) -> AsyncIterator[Api]:
    """The API of the company that `builders.company` makes; Temporal is away."""
    async with database.transaction() as tx:
        await builders.company(tx)
    clock = lambda: caller.now  # noqa: E731 - the caller is made after the application
    app = create_app(SETTINGS, clock=clock, database=database, connect=away)
    async with app.router.lifespan_context(app):
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
        async with Api(transport) as caller:
            yield caller


class Stored:
    """What is in the database."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def __call__(self, query: str) -> list[dict[str, Any]]:
        async with self.database.transaction() as tx:
            return [dict(row) for row in (await tx.execute(text(query))).mappings()]

    async def counts(self) -> dict[str, int]:
        """How many rows each table has that a write may touch."""
        tables = ("record", "visit", "journal", "outbox", "todo", "rule_set", "request", "client_activity")
        one = ", ".join(f"(select count(*) from {table}) as {table}" for table in tables)
        return (await self(f"select {one}"))[0]


@pytest.fixture
def stored(database: Database) -> Stored:
    return Stored(database)
