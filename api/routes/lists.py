"""What belongs to a record, a page at a time: also that of a deleted one, which keeps its history."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, JsonValue
from pydantic_core import to_jsonable_python
from sqlalchemy import ColumnElement, exists, select
from sqlmodel import SQLModel, col

from api.input import After, Limit, PathId
from api.service import Served
from db.tables import (
    Booking,
    Comment,
    Document,
    HistoryLine,
    Journal,
    Meeting,
    Message,
    Notification,
    Record,
    Task,
    Todo,
    Visit,
)
from domain.errors import Gone

router = APIRouter(tags=["records"])


class Listed(StrEnum):
    """What can be listed."""

    JOURNAL = "journal"
    COMMENTS = "comments"
    HISTORY = "history"
    TODOS = "todos"
    TASKS = "tasks"
    NOTIFICATIONS = "notifications"
    MESSAGES = "messages"
    VISITS = "visits"
    BOOKINGS = "bookings"
    MEETINGS = "meetings"
    DOCUMENTS = "documents"


_TABLES: dict[Listed, type[SQLModel]] = {
    Listed.JOURNAL: Journal,
    Listed.COMMENTS: Comment,
    Listed.HISTORY: HistoryLine,
    Listed.TODOS: Todo,
    Listed.TASKS: Task,
    Listed.NOTIFICATIONS: Notification,
    Listed.MESSAGES: Message,
    Listed.VISITS: Visit,
    Listed.BOOKINGS: Booking,
    Listed.MEETINGS: Meeting,
    Listed.DOCUMENTS: Document,
}
# of a message its subject and recipients are enough; who knows the token of a document may read it
_HIDDEN = {"content", "public_token"}


_COUNTED = {Listed.MESSAGES: ("created_at", "id"), Listed.COMMENTS: ("pinned", "id")}
"""What has another order than that of its numbers: there `after` counts. Pinned comments come first."""


def _in_order(column: ColumnElement[Any], name: str) -> ColumnElement[Any]:
    return column.desc() if name == "pinned" else column


class Page(BaseModel):
    """Rows in the order they were written, pinned comments before others.

    `next`, if there is more, is the `after` of the next page.
    """

    items: list[dict[str, JsonValue]]
    next: int | None = None


@router.get("/records/{record_id}/{listed}")
async def list_of_record(
    record_id: PathId,
    listed: Listed,
    service: Served,
    after: After = 0,
    limit: Limit = 100,
) -> Page:
    """What belongs to a record, of one sort, in the order in which it was written."""
    table = _TABLES[listed]
    every = SQLModel.metadata.tables[str(table.__tablename__)].c
    columns = {column.name: column for column in every if column.name not in _HIDDEN}
    asked = select(*columns.values()).where(columns["record_id"] == record_id).limit(limit + 1)
    if counted := _COUNTED.get(listed):
        asked = asked.order_by(*(_in_order(columns[name], name) for name in counted)).offset(after)
    else:
        number: ColumnElement[int] = columns["visit_no" if listed is Listed.VISITS else "id"]
        asked = asked.where(number > after).order_by(number)
    async with service.database.transaction() as tx:
        rows = [dict(row) for row in (await tx.execute(asked)).mappings()]
        known = rows or (await tx.execute(select(exists().where(col(Record.id) == record_id)))).scalar_one()
    if not known:
        raise Gone(record_id)
    items = rows[:limit]
    more = None
    if len(rows) > limit:
        more = after + limit if counted else items[-1].get("id", items[-1]["visit_no"])
    return Page(items=to_jsonable_python(items), next=more)
