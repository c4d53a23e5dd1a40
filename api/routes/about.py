"""What this installation is: its kinds of rules, and whether it is well."""

from __future__ import annotations

import asyncio
from typing import Final, Literal

import structlog
from fastapi import APIRouter, Response
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from temporalio.service import RPCError

from activities.catalogue import Kind, describe_kinds
from api.service import Served, Service

router = APIRouter(tags=["about"])
log = structlog.get_logger()
_PATIENCE: Final = 2.0  # seconds


class Health(BaseModel):
    """`away`: it did not answer within two seconds. The API works while Temporal is away.

    What is written is told by PostgreSQL's clock. `clock_ahead` is by how many seconds this machine's own
    is ahead of it, which is `wrong` beyond a second.
    """

    database: Literal["ok", "away"]
    temporal: Literal["ok", "away"]
    clock: Literal["ok", "wrong", "unread"]
    clock_ahead: float | None


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
    time, ahead = service.time, service.time.skew
    clock: Literal["ok", "wrong", "unread"] = "unread" if ahead is None else "wrong" if time.is_off else "ok"
    return Health(
        database="ok" if database else "away", temporal="ok" if temporal else "away", clock=clock,
        clock_ahead=None if ahead is None else round(ahead.total_seconds(), 3),
    )  # fmt: skip


async def _database(service: Service) -> bool:
    try:
        async with asyncio.timeout(_PATIENCE), service.database.transaction() as tx:
            await tx.execute(text("select 1"))
    except (SQLAlchemyError, OSError) as error:
        log.warning("the database does not answer", error=type(error).__name__)
        return False
    return True


async def _temporal(service: Service) -> bool:
    try:
        async with asyncio.timeout(_PATIENCE):
            client = await service.connect()
            return await client.service_client.check_health()
    except (RPCError, RuntimeError, OSError):
        return False
