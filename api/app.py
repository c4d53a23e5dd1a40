"""The application. `jalon api` serves it behind its guard (`api.server`)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, FastAPI, Security
from fastapi.security import HTTPBearer

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
from db.doorbell import Connect, Doorbell
from db.engine import Database
from db.rulebook import Rulebook
from db.settings import Settings
from db.temporal import Connection

PREFIX = "/api/v1"


def create_app(
    settings: Settings | None = None,
    *,
    clock: Clock | None = None,
    database: Database | None = None,
    doorbell: Doorbell | None = None,
    connect: Connect | None = None,
) -> FastAPI:
    """The API over one database. What is not given is made from the settings, by default the environment's.

    Nothing is connected before it is needed, and everything works while Temporal is away, operations aside.
    """
    chosen, now = settings or Settings(), clock or _machine_clock

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        opened = database or Database(chosen.database_url)
        client = connect or Connection(chosen)
        rings = doorbell or Doorbell(opened, client, chosen.task_queue)
        app.state.service = Service(chosen, now, opened, Rulebook(nature), rings, client)
        try:
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


def _machine_clock() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - the edge: this is the one clock of the process
