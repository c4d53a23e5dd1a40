"""What this installation is: its kinds of rules, and whether it is well."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final, Literal

import structlog
from fastapi import APIRouter, Response
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError
from temporalio.service import RPCError

from activities.catalogue import Kind, describe_kinds
from api.service import Served, Service
from db import healing

router = APIRouter(tags=["about"])
log = structlog.get_logger()
_PATIENCE: Final = 2.0  # seconds
_A_DAY: Final = timedelta(hours=24)


class Health(BaseModel):
    """`away`: it did not answer within two seconds. The API works while Temporal is away.

    What is written is told by PostgreSQL's clock. `clock_ahead` is by how many seconds this machine's own
    is ahead of it, which is `wrong` beyond a second.

    `begun_anew` counts journeys that could not go on and began anew within 24 hours; `all_begin_anew`
    says why all of them do at the moment.
    """

    database: Literal["ok", "away"]
    temporal: Literal["ok", "away"]
    clock: Literal["ok", "wrong", "unread"]
    clock_ahead: float | None
    begun_anew: int = 0
    all_begin_anew: str = ""


@router.get("/kinds")
async def list_kinds() -> list[Kind]:
    """Every kind of rule: its parameters as JSON Schema, its results and named errors, an example."""
    return describe_kinds()


@router.get("/health", responses={503: {"model": Health}})
async def read_health(service: Served, response: Response) -> Health:
    """Whether the servers behind the API answer; needs no key. 503 without the database."""
    database, temporal = await asyncio.gather(_database(service), _temporal(service))
    if not database:
        response.status_code = 503
    health = database or Health(database="away", temporal="ok", clock="unread", clock_ahead=None)
    health.temporal = "ok" if temporal else "away"
    time, ahead = service.time, service.time.skew
    health.clock = "unread" if ahead is None else "wrong" if time.is_off else "ok"
    health.clock_ahead = None if ahead is None else round(ahead.total_seconds(), 3)
    return health


async def _database(service: Service) -> Health | None:
    """What the database says of itself and of the journeys."""
    try:
        async with asyncio.timeout(_PATIENCE), service.database.transaction() as tx:
            begun, all_of_them = await healing.count(tx, _A_DAY), await healing.under_way(tx)
    except (SQLAlchemyError, OSError) as error:
        log.warning("the database does not answer", error=type(error).__name__)
        return None
    why = healing.IN_WORDS[all_of_them.reason] if all_of_them else ""
    return Health(
        database="ok", temporal="ok", clock="unread", clock_ahead=None, begun_anew=begun, all_begin_anew=why
    )  # fmt: skip


async def _temporal(service: Service) -> bool:
    try:
        async with asyncio.timeout(_PATIENCE):
            client = await service.connect()
            return await client.service_client.check_health()
    except (RPCError, RuntimeError, OSError):
        return False
