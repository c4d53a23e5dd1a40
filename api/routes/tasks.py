"""Tasks: people make, read, change and end them; a chain of rules that waits for one goes on."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field, JsonValue, model_validator
from sqlalchemy import BigInteger, bindparam, select, text
from sqlmodel import col

from activities import tasks
from activities.announcing import announce
from activities.happened import Happened
from activities.tasks import Ended, How, NewTask, TaskRow
from api.input import After, Instant, Limit, Name, PathId, PathName, Sendable
from api.service import Served, Service
from api.taking import take
from api.writing import Answer, Write
from db.engine import Transaction
from db.journal import line
from db.locked import Locked
from db.records import By
from db.rows import write as write_rows
from db.tables import Employee
from domain.errors import Gone, Refused

router = APIRouter(tags=["tasks"])

Line = Annotated[str, Field(min_length=1, max_length=1000)]
Minutes = Annotated[int, Field(ge=0, le=2**31 - 1)]


class TaskIn(Sendable):
    """A task on a record; by default the record's responsible has to do it, and whoever asks created it."""

    name: Line
    description: Annotated[str, Field(max_length=20_000)] = ""
    assignee: Name | None = None
    deadline: Instant | None = None
    planned_start: Instant | None = None
    planned_end: Instant | None = None
    priority: Literal["low", "normal", "high"] = "normal"
    participants: Annotated[list[Name], Field(max_length=200)] = []
    observers: Annotated[list[Name], Field(max_length=200)] = []
    checklist: Annotated[list[Line], Field(max_length=200)] = []
    tags: Annotated[list[Name], Field(max_length=50)] = []
    parent: Annotated[int, Field(ge=1, le=2**63 - 1)] | None = None
    estimate_minutes: Minutes | None = None
    complete_with_checklist: bool = False
    by: Name | None = None

    @model_validator(mode="after")
    def _planned(self) -> Self:
        if self.planned_start and self.planned_end and self.planned_start > self.planned_end:
            raise ValueError("the planned start lies after the planned end")
        return self


class TaskChange(Sendable):
    """What is to be another: who does it, until when (null: no deadline)."""

    assignee: Name | None = None
    deadline: Instant | None = None
    by: Name | None = None


class TickIn(Sendable):
    """Whether a line of the checklist is done."""

    done: bool = True
    by: Name | None = None


class EndIn(Sendable):
    """Who ends it."""

    by: Name | None = None


class ItemOut(BaseModel):
    """A line of a checklist."""

    id: int
    body: str
    done_at: datetime | None
    done_by: str


class LineOut(BaseModel):
    """A line of a task's history."""

    at: datetime
    actor: str
    event: str
    detail: dict[str, JsonValue]


class TaskOut(TaskRow):
    """A task. Instants are UTC; it is open while `ended_how` is empty."""


class TaskDetail(TaskOut):
    """A task with its checklist and its history."""

    checklist: list[ItemOut]
    history: list[LineOut]


class TaskPage(BaseModel):
    """Tasks in the order they were made. `next`, if there is more, is the `after` of the next page."""

    items: list[TaskOut]
    next: int | None = None


# -- reading -----------------------------------------------------------------------------------------
@router.get("/tasks/{task_id}")
async def get_task(task_id: PathId, service: Served) -> TaskDetail:
    """A task with its checklist and history."""
    async with service.database.transaction() as tx:
        return await _detail(tx, task_id)


@router.get("/employees/{employee_id}/tasks")
async def tasks_of_employee(
    employee_id: PathName,
    service: Served,
    ended: bool = False,
    after: After = 0,
    limit: Limit = 100,
) -> TaskPage:
    """The tasks of an employee on records that are there: the open ones, or those that have ended."""
    asked = {"who": employee_id, "ended": ended, "after": after, "limit": limit + 1}
    async with service.database.transaction() as tx:
        rows = [TaskOut.model_validate(dict(r)) for r in (await tx.execute(_OF_EMPLOYEE, asked)).mappings()]
        if not rows and not await _there(tx, [employee_id], active=False):
            raise Refused("gone", f"there is no employee {employee_id!r}", 404)
    return TaskPage(items=rows[:limit], next=rows[limit - 1].id if len(rows) > limit else None)


# -- writing -----------------------------------------------------------------------------------------
@router.post("/records/{record_id}/tasks", status_code=201, response_model=TaskDetail)
async def create_task(record_id: PathId, body: TaskIn, service: Served, write: Write) -> Response:
    """Make a task on a record."""

    async def work(tx: Transaction, by: By) -> Answer:
        record = (await take(tx, service, record_id)).record
        assignee = body.assignee or record.responsible_id
        if assignee is None:
            raise Refused("wrong_assignee", "the record has no responsible; say whose task it is")
        await _check_people(tx, [assignee, *body.participants, *body.observers])
        if body.parent and not await tasks.known(tx, body.parent):
            raise Refused("unknown_parent", f"there is no task {body.parent} that it could belong to")
        given = body.model_dump(exclude={"assignee", "checklist", "parent", "by"})
        new = NewTask(assignee_id=assignee, creator=by.who, parent_id=body.parent, **given)
        task_id = await service.ids.take(tx, "task")
        own: dict[str, object] = {"id": task_id, "record_id": record.id, "visit_no": record.visit_no}
        made = tasks.rows(new, body.checklist, own, by.at)
        detail = {"task": task_id}
        said = line(record.id, record.visit_no, "task_created", by.at, actor=by.who, detail=detail)
        await write_rows(tx, [*made, said])
        return Answer(201, await _detail(tx, task_id))

    return await write(work, body.by)


@router.patch("/tasks/{task_id}", response_model=TaskDetail)
async def change_task(task_id: PathId, body: TaskChange, service: Served, write: Write) -> Response:
    """Give an open task another assignee or deadline."""

    async def work(tx: Transaction, by: By) -> Answer:
        locked, task = await _take(tx, service, task_id)
        new: dict[str, object] = {"deadline": body.deadline} if "deadline" in body.model_fields_set else {}
        if body.assignee:
            await _check_people(tx, [body.assignee])
            new["assignee_id"] = body.assignee
        await tasks.change(locked, task, new, by)
        return Answer(body=await _detail(tx, task_id))

    return await write(work, body.by)


@router.put("/tasks/{task_id}/checklist/{item_id}", response_model=TaskDetail)
async def tick_item(
    task_id: PathId, item_id: PathId, body: TickIn, service: Served, write: Write
) -> Response:
    """Tick a line of the checklist off, or on again; the last one may complete the task."""

    async def work(tx: Transaction, by: By) -> Answer:
        locked, task = await _take(tx, service, task_id)
        ended = await tasks.tick(locked, task, item_id, body.done, by)
        return await _told(service, locked, task, ended, by)

    return await write(work, body.by)


@router.post("/tasks/{task_id}/complete", response_model=TaskDetail)
async def complete_task(
    task_id: PathId, service: Served, write: Write, body: EndIn | None = None
) -> Response:
    """Complete a task; one that has ended stays as it is."""
    return await _end(task_id, service, write, "completed", body)


@router.delete("/tasks/{task_id}", response_model=TaskDetail)
async def delete_task(
    task_id: PathId, service: Served, write: Write, body: EndIn | None = None
) -> Response:
    """Delete a task; it is no longer listed as open and keeps its history."""
    return await _end(task_id, service, write, "deleted", body)


# -- inside ------------------------------------------------------------------------------------------
async def _end(task_id: int, service: Service, write: Write, how: How, body: EndIn | None) -> Response:
    async def work(tx: Transaction, by: By) -> Answer:
        locked, task = await _take(tx, service, task_id)
        return await _told(service, locked, task, await tasks.end(locked, task, how, by), by)

    return await write(work, body.by if body else None)


async def _told(service: Service, locked: Locked, task: TaskRow, ended: Ended, by: By) -> Answer:
    """What the journey has to hear: a chain waits no longer, results may be judged, a trigger moved."""
    completed = ended.how in ("completed", "auto_completed")
    events = [Happened("task_completed")] if completed else []
    bells = await announce(service.runner(locked, by.at), ended.changed, *events)
    return Answer(body=await _detail(locked.tx, task.id), bells=(ended.bell, *bells))


async def _take(tx: Transaction, service: Service, task_id: int) -> tuple[Locked, TaskRow]:
    """The task with its record under its lock, read from the visit on in which a rule made it."""
    found = await tasks.find(tx, task_id)
    since = found.visit_no if found.rule and not found.ended_how else None
    locked = await Locked.take(tx, service.book, found.record_id, since)
    if locked is None or locked.record.deleted_at:
        raise Gone(found.record_id)
    return locked, await tasks.find(tx, task_id)


async def _detail(tx: Transaction, task_id: int) -> TaskDetail:
    row = (await tx.execute(_DETAIL, {"id": task_id})).scalar_one_or_none()
    if row is None:
        raise Refused("gone", f"there is no task {task_id}", 404)
    return TaskDetail.model_validate_json(row)


async def _check_people(tx: Transaction, people: list[str]) -> None:
    there = await _there(tx, people, active=True)
    if missing := [person for person in people if person not in there]:
        raise Refused("wrong_assignee", f"{missing[0]!r} is no active employee")


async def _there(tx: Transaction, people: list[str], *, active: bool) -> set[str]:
    asked = select(col(Employee.id)).where(col(Employee.id).in_(people))
    return set((await tx.execute(asked.where(col(Employee.active)) if active else asked)).scalars())


_DETAIL = text("""
select (to_jsonb(t) || jsonb_build_object(
  'checklist', (
    select coalesce(jsonb_agg(i order by i.position, i.id), '[]') from task_item i where i.task_id = t.id),
  'history', (select coalesce(jsonb_agg(l order by l.id), '[]') from task_line l where l.task_id = t.id)
))::text
from task t where t.id = :id
""").bindparams(bindparam("id", type_=BigInteger))
_OF_EMPLOYEE = text("""
select t.* from task t join record r on r.id = t.record_id
where t.assignee_id = :who and (t.ended_how <> '') = :ended and t.id > :after and r.deleted_at is null
order by t.id limit :limit
""").bindparams(bindparam("after", type_=BigInteger))
