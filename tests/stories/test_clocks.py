"""Several machines write, and PostgreSQL's clock decides: one that is wrong makes nothing early or late."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from api.app import create_app
from db.database_clock import DatabaseClock
from db.engine import Database
from db.settings import Settings
from tests import builders
from tests.stories.conftest import KEY, away

MINUTES = timedelta(minutes=10)
DEAL = {"type": "deal", "pipeline": "sales", "title": "A roof for Klein", "fields": {"reference": "1"}}


def ahead(by: timedelta) -> DatabaseClock:
    """The clock of a process on a machine whose own is ahead."""
    return DatabaseClock(machine=lambda: datetime.now(UTC) + by)


async def present(database: Database) -> datetime:
    async with database.transaction() as tx:
        at: datetime = (await tx.execute(text("select clock_timestamp()"))).scalar_one()
        return at


@pytest.mark.parametrize("by", [MINUTES, -MINUTES, timedelta(0)])
async def test_a_machine_whose_clock_is_wrong_writes_the_time_of_the_database(
    database: Database, by: timedelta
) -> None:
    async with database.transaction() as tx:
        await builders.company(tx)
    app = create_app(Settings(api_key=KEY), time=ahead(by), database=database, connect=away)
    headers = {"Authorization": f"Bearer {KEY}", "Idempotency-Key": "once"}
    async with app.router.lifespan_context(app):
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://jalon/api/v1") as api:
            before = await present(database)
            made = await api.post("/records", json=DEAL, headers=headers)
            after = await present(database)
            health: dict[str, Any] = (await api.get("/health")).json()
    assert made.status_code == 201
    near = timedelta(seconds=0.5)  # half of what an answer of the database takes, and some
    assert before - near <= datetime.fromisoformat(made.json()["created_at"]) <= after + near
    assert health["clock"] == ("wrong" if by else "ok")
    assert abs(timedelta(seconds=health["clock_ahead"]) - by) < near


async def test_a_clock_that_is_set_while_the_process_works_changes_nothing(database: Database) -> None:
    machine, ticks = [datetime(2026, 3, 2, 12, tzinfo=UTC)], [100.0]
    clock = DatabaseClock(machine=lambda: machine[0], ticks=lambda: ticks[0])
    await clock.read(database)
    began = clock.now()
    machine[0] += MINUTES
    ticks[0] += 7
    assert clock.now() == began + timedelta(seconds=7)


async def test_before_it_was_read_nothing_is_written(database: Database) -> None:
    with pytest.raises(ConnectionError):
        DatabaseClock().now()
    app = create_app(Settings(api_key=KEY), database=database, connect=away)
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {KEY}", "Idempotency-Key": "once"}
    async with app.router.lifespan_context(app):
        app.state.service.time._reading = None
        async with httpx2.AsyncClient(transport=transport, base_url="http://jalon/api/v1") as api:
            answer = await api.post("/records", json=DEAL, headers=headers)
    assert (answer.status_code, answer.json()["title"]) == (503, "Database away")
