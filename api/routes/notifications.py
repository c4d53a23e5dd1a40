"""What employees were notified of: unread until they read it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel
from sqlalchemy import BigInteger, DateTime, bindparam, text

from api.input import Limit, Name, PathId, Sendable
from api.service import Served
from api.writing import Answer, Write
from db.engine import Transaction
from db.records import By
from domain.errors import Refused

router = APIRouter(tags=["notifications"])


class NotificationOut(BaseModel):
    """A notification of an employee, about a record as long as there is one. Instants are UTC."""

    id: int
    employee_id: str
    record_id: int | None
    rule: str
    sender: str
    body: str
    at: datetime
    read_at: datetime | None


class NotificationPage(BaseModel):
    """Notifications, the newest first. `next`, if there is more, is the `before` of the next page."""

    items: list[NotificationOut]
    unread: int
    next: int | None = None


class ReadIn(Sendable):
    """Who read it."""

    by: Name | None = None


@router.get("/employees/{employee}/notifications")
async def notifications_of_employee(
    employee: Name,
    service: Served,
    unread: bool = False,
    before: Annotated[int, Query(ge=1, le=2**63 - 1)] = 2**63 - 1,
    limit: Limit = 100,
) -> NotificationPage:
    """What an employee was notified of, all of it or only what is `unread`; and how much is unread."""
    asked = {"who": employee, "unread": unread, "before": before, "limit": limit + 1}
    async with service.database.transaction() as tx:
        rows = (await tx.execute(_OF_EMPLOYEE, asked)).mappings()
        found = [NotificationOut.model_validate(dict(row)) for row in rows]
        count = int((await tx.execute(_UNREAD, {"who": employee})).scalar_one())
    items = found[:limit]
    return NotificationPage(items=items, unread=count, next=items[-1].id if len(found) > limit else None)


@router.post("/notifications/{notification_id}/read", response_model=NotificationOut)
async def read_notification(
    notification_id: PathId, service: Served, write: Write, body: ReadIn | None = None
) -> Response:
    """Say that it was read; one that is read already stays as it is."""

    async def work(tx: Transaction, by: By) -> Answer:
        found = (await tx.execute(_READ, {"id": notification_id, "at": by.at})).mappings().one_or_none()
        if found is None:
            raise Refused("gone", f"there is no notification {notification_id}", 404)
        return Answer(body=NotificationOut.model_validate(dict(found)))

    return await write(work, body.by if body else None)


_OF_EMPLOYEE = text("""
select * from notification
where employee_id = :who and id < :before and (not :unread or read_at is null)
order by id desc limit :limit
""").bindparams(bindparam("before", type_=BigInteger))
_UNREAD = text("select count(*) from notification where employee_id = :who and read_at is null")
_READ = text("""
update notification set read_at = coalesce(read_at, :at) where id = :id returning *
""").bindparams(bindparam("id", type_=BigInteger), bindparam("at", type_=DateTime(timezone=True)))
