"""People's to-dos on a record."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field
from sqlalchemy import BigInteger, DateTime, bindparam, exists, select, text
from sqlmodel import col

from activities.announcing import announce
from activities.happened import Happened
from api.input import After, Instant, Limit, Name, PathId, Sendable
from api.service import Served
from api.taking import take
from api.writing import Answer, Write
from db.engine import Transaction
from db.journal import line
from db.outbox import Bell
from db.records import By
from db.rows import Rows
from db.rows import write as write_rows
from db.tables import Employee
from domain.errors import Refused

router = APIRouter(tags=["to-dos"])


class TodoIn(Sendable):
    """An item an employee has to do; by default the record's responsible."""

    subject: Annotated[str, Field(min_length=1, max_length=1000)]
    description: Annotated[str, Field(max_length=20_000)] = ""
    deadline: Instant | None = None
    responsible: Name | None = None
    important: bool = False
    complete_on_exit: bool = False
    reminder_at: Instant | None = None
    by: Name | None = None


class CompleteIn(Sendable):
    """Who completed it."""

    by: Name | None = None


class TodoOut(BaseModel):
    """A to-do on a record. Instants are UTC."""

    id: int
    record_id: int
    employee_id: str
    subject: str
    description: str
    deadline: datetime | None
    important: bool
    complete_on_exit: bool
    reminder_at: datetime | None
    created_at: datetime
    completed_at: datetime | None = None
    completed_by: str | None = None


class TodoPage(BaseModel):
    """To-dos in the order they were made. `next`, if there is more, is the `after` of the next page."""

    items: list[TodoOut]
    next: int | None = None


@router.post("/records/{record_id}/todos", status_code=201, response_model=TodoOut)
async def create_todo(record_id: PathId, body: TodoIn, service: Served, write: Write) -> Response:
    """Give somebody something to do."""

    async def work(tx: Transaction, by: By) -> Answer:
        record = (await take(tx, service, record_id)).record
        person = body.responsible or record.responsible_id
        if person is None:
            raise Refused("wrong_responsible", "the record has no responsible; say whose to-do it is")
        active = exists().where(col(Employee.id) == person, col(Employee.active))
        if not (await tx.execute(select(active))).scalar_one():
            raise Refused("wrong_responsible", f"{person!r} is no active employee")
        todo = TodoOut(
            id=await service.ids.take(tx, "todo"), record_id=record.id, employee_id=person, created_at=by.at,
            **body.model_dump(exclude={"responsible", "by"}),
        )  # fmt: skip
        said = line(record.id, record.visit_no, "todo_created", by.at, actor=by.who, detail={"todo": todo.id})
        row = todo.model_dump(exclude_none=True) | {"visit_no": record.visit_no}
        await write_rows(tx, [Rows("todo", [row]), said])
        return Answer(201, todo)

    return await write(work, body.by)


@router.get("/employees/{employee_id}/todos")
async def todos_of_employee(
    employee_id: Name,
    service: Served,
    completed: bool = False,
    after: After = 0,
    limit: Limit = 100,
) -> TodoPage:
    """What an employee has to do, or has `completed`, on records that are not in the bin."""
    asked = {"who": employee_id, "completed": completed, "after": after, "limit": limit + 1}
    async with service.database.transaction() as tx:
        found = [TodoOut.model_validate(dict(row)) for row in (await tx.execute(_LIST, asked)).mappings()]
    items = found[:limit]
    return TodoPage(items=items, next=items[-1].id if len(found) > limit else None)


@router.post("/todos/{todo_id}/complete", response_model=TodoOut)
async def complete_todo(
    todo_id: PathId, service: Served, write: Write, body: CompleteIn | None = None
) -> Response:
    """Complete a to-do; one that is complete stays as it is."""

    async def work(tx: Transaction, by: By) -> Answer:
        found = (await tx.execute(_RECORD_OF, {"id": todo_id})).one_or_none()
        if found is None:
            raise Refused("gone", f"there is no to-do {todo_id}", 404)
        locked = await take(tx, service, found.record_id)
        record = locked.record
        bells: tuple[Bell | None, ...] = ()
        done = {"id": todo_id, "at": by.at, "who": by.who}
        if (await tx.execute(_COMPLETE, done)).one_or_none():
            detail = {"todo": todo_id}
            said = line(record.id, record.visit_no, "todo_completed", by.at, actor=by.who, detail=detail)
            await write_rows(tx, [said])
            bells = await announce(service.runner(locked, by.at), (), Happened("todo_completed"))
        row = (await tx.execute(_TODO, {"id": todo_id})).mappings().one()
        return Answer(body=TodoOut.model_validate(dict(row)), bells=bells)

    return await write(work, body.by if body else None)


_ID = bindparam("id", type_=BigInteger)
_RECORD_OF = text("select record_id from todo where id = :id").bindparams(_ID)
_TODO = text("select * from todo where id = :id").bindparams(_ID)
_LIST = text("""
select t.* from todo t join record r on r.id = t.record_id
where t.employee_id = :who and (t.completed_at is not null) = :completed and t.id > :after
  and r.deleted_at is null
order by t.id limit :limit
""").bindparams(bindparam("after", type_=BigInteger))
_COMPLETE = text("""
update todo set completed_at = :at, completed_by = :who where id = :id and completed_at is null returning id
""").bindparams(_ID, bindparam("at", type_=DateTime(timezone=True)))
