"""The application. `jalon api` serves it behind its guard (`api.server`)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import APIRouter, FastAPI, Security
from fastapi.security import HTTPBearer
from sqlalchemy.exc import SQLAlchemyError

from activities.catalogue import nature
from api import problems
from api.auth import Auth, is_open
from api.headers import SafeHeaders
from api.limits import BodyLimit, HookHead
from api.routes import (
    about,
    bookings,
    calendars,
    client_activities,
    companies,
    contacts,
    correspondence,
    documents,
    exceptions,
    feed,
    hooks,
    lists,
    mails,
    meetings,
    moves,
    notifications,
    operations,
    records,
    resources,
    rules,
    sales,
    sms_hooks,
    tasks,
    templates,
    todos,
)
from api.service import Clock, Service
from db.database_clock import DatabaseClock
from db.doorbell import Connect, Doorbell
from db.engine import Database
from db.rulebook import Rulebook
from db.settings import Settings
from db.temporal import Connection

PREFIX = "/api/v1"
_PATIENCE = 2.0  # seconds, for PostgreSQL's clock before the first call


def create_app(
    settings: Settings | None = None,
    *,
    clock: Clock | None = None,
    time: DatabaseClock | None = None,
    database: Database | None = None,
    doorbell: Doorbell | None = None,
    connect: Connect | None = None,
) -> FastAPI:
    """The API over one database. What is not given is made from the settings, by default the environment's;
    without a `clock` PostgreSQL's counts (decision 0017).

    Nothing is connected before it is needed, and everything works while Temporal is away, operations aside.
    """
    chosen, time = settings or Settings(), time or DatabaseClock()
    now = clock or time.now

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        opened = database or Database(chosen.database_url)
        client = connect or Connection(chosen)
        rings = doorbell or Doorbell(opened, client, chosen.task_queue)
        app.state.service = Service(chosen, now, opened, Rulebook(nature), rings, client, time)
        try:
            async with _kept(time, opened, needed=clock is None):
                yield
        finally:
            await rings.settle()
            if database is None:
                await opened.close()

    app = _Documented(
        title="Jalon", version="1", lifespan=lifespan, openapi_url=f"{PREFIX}/openapi.json", docs_url=None,
        redoc_url=None, redirect_slashes=False,
    )  # fmt: skip
    problems.install(app)
    app.add_middleware(BodyLimit)  # the last added comes first
    app.add_middleware(HookHead, settings=chosen, clock=now)
    app.add_middleware(Auth, key=chosen.api_key)
    app.add_middleware(SafeHeaders)
    # the dependency only tells the document of the key: `Auth` has let pass who has it
    key = Security(HTTPBearer(auto_error=False))
    api = APIRouter(prefix=PREFIX, responses=problems.RESPONSES, dependencies=[key])
    parts = (
        records, contacts, companies, sales, bookings, resources, meetings, calendars, feed, moves, todos,
        tasks, notifications, operations,
        client_activities, exceptions, mails, hooks, sms_hooks, documents, templates, rules, about,
        correspondence, lists,
    )
    for part in parts:
        api.include_router(part.router)
    app.include_router(api)
    return app


@asynccontextmanager
async def _kept(time: DatabaseClock, database: Database, *, needed: bool) -> AsyncIterator[None]:
    """PostgreSQL's clock is read before the first call, if it answers, and kept inside the block."""
    if not needed:
        yield
        return
    with suppress(SQLAlchemyError, OSError):
        await asyncio.wait_for(time.read(database), _PATIENCE)
    keeping = asyncio.create_task(time.keep(database, asyncio.Event()))
    try:
        yield
    finally:
        keeping.cancel()


class _Documented(FastAPI):
    """An application whose document describes its problems too, and what needs no key."""

    def openapi(self) -> dict[str, Any]:
        document = super().openapi()
        document["components"]["schemas"].update(problems.schemas())
        for path, methods in document["paths"].items():
            if is_open(path):
                for operation in methods.values():
                    operation.pop("security", None)
        return document
