"""What happens to a task: made, changed, ticked off, ended. One way for rules and for people.

All but `rows` works on a record that is locked, so that of several ends the first wins; an end that a chain
waited for ends its hold in the same transaction. Every change leaves a line in the task's own history.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, JsonValue
from pydantic_core import to_json
from sqlalchemy import BigInteger, DateTime, bindparam, text

from activities.results import read_of
from db.engine import Transaction
from db.journal import end_holds, line
from db.locked import Locked
from db.outbox import Bell, bell_rows
from db.records import By
from db.rows import Rows, write
from domain.errors import Refused
from domain.events import HoldEnd

Priority = Literal["low", "normal", "high"]
How = Literal["completed", "deleted", "auto_completed"]


class NewTask(BaseModel):
    """A task to be made. Instants are UTC, employees are ids."""

    name: str
    description: str = ""
    assignee_id: str
    creator: str
    deadline: datetime | None = None
    planned_start: datetime | None = None
    planned_end: datetime | None = None
    priority: Priority = "normal"
    participants: list[str] = []
    observers: list[str] = []
    tags: list[str] = []
    parent_id: int | None = None
    estimate_minutes: int | None = None
    complete_with_checklist: bool = False


class TaskRow(NewTask):
    """A task as it is stored; open while `ended_how` is empty."""

    model_config = ConfigDict(extra="ignore")

    id: int
    record_id: int
    visit_no: int
    rule: str
    created_at: datetime
    ended_at: datetime | None = None
    ended_how: str = ""
    ended_by: str = ""


class Ended(NamedTuple):
    """What came of it. `how` is empty if the task did not end, or had ended before.

    `changed` are the results that later rules may quote by now; `bell` is to be rung where a chain waited,
    and says them itself.
    """

    how: How | Literal[""] = ""
    changed: list[str] = []
    bell: Bell | None = None


def rows(new: NewTask, checklist: Sequence[str], own: dict[str, object], at: datetime) -> tuple[Rows, ...]:
    """The rows of a task that is made at that instant; `own`: its id, record, visit and rule."""
    task = new.model_dump() | own | {"created_at": at}
    items = [{"task_id": own["id"], "position": i, "body": body} for i, body in enumerate(checklist)]
    made = Rows("task", [task]), history(own["id"], at, new.creator, "created")
    return (*made, Rows("task_item", list(items))) if items else made


def history(
    task: object, at: datetime, actor: str, event: str, detail: dict[str, JsonValue] | None = None
) -> Rows:
    """One line of a task's own history."""
    row = {"task_id": task, "at": at, "actor": actor, "event": event, "detail": detail or {}}
    return Rows("task_line", [row])


async def find(tx: Transaction, task_id: int) -> TaskRow:
    """The task of that id. Raises `Refused`."""
    row = (await tx.execute(_TASK, {"id": task_id})).mappings().one_or_none()
    if row is None:
        raise Refused("gone", f"there is no task {task_id}", 404)
    return TaskRow.model_validate(dict(row))


async def known(tx: Transaction, task_id: int) -> bool | None:
    """Whether another task may belong to it: a deleted one is none. None if there is no such task."""
    found = (await tx.execute(_HOW, {"id": task_id})).scalar_one_or_none()
    return None if found is None else found != "deleted"


async def end(locked: Locked, task: TaskRow, how: How, by: By) -> Ended:
    """Complete or delete it; one that has ended stays as it is. The visit of the task must have been read."""
    asked = {"id": task.id, "how": how, "at": by.at, "who": by.who}
    if (await locked.tx.execute(_END, asked)).one_or_none() is None:
        return Ended()
    record = locked.record
    event = "task_deleted" if how == "deleted" else "task_completed"
    said = line(record.id, record.visit_no, event, by.at, actor=by.who, detail={"task": task.id, "how": how})
    parts = [said, history(task.id, by.at, by.who, how)]
    ended = await _tell_rules(locked, task, how, by) if task.rule else Ended(how)
    if ended.bell:
        waited = HoldEnd(rule=task.rule, result="done", reason="", at=by.at, ended=how)
        parts += await end_holds(locked, task.visit_no, [waited], by.who)
        parts.append(bell_rows(ended.bell, by.at))
    await write(locked.tx, parts)
    return ended


async def _tell_rules(locked: Locked, task: TaskRow, how: How, by: By) -> Ended:
    """The results of the step that made the task, and whether its chain waits for it.

    What a chain waited for has its results from the end of the waiting, and keeps them.
    """
    results = {"ended": how, "by": by.who, "at": by.at.isoformat()}
    changed = [f"steps.{task.rule}.{name}" for name in results]
    hold = locked.holds.get((task.visit_no, task.rule))
    if hold and not hold.outcome:
        told: JsonValue = {
            "visit_no": task.visit_no, "rule": task.rule, "result": "done", "reason": "",
            "at": by.at.isoformat(), "ended": how,
        }  # fmt: skip
        told_changed: JsonValue = [*await read_of(locked, task.visit_no, changed)]
        return Ended(how, [], Bell.of(locked.record, "hold_ended", {"ends": [told], "changed": told_changed}))
    place = {"id": task.record_id, "visit_no": task.visit_no, "rule": task.rule, "task": str(task.id)}
    told_rules = await locked.tx.execute(_RESULTS, place | {"results": to_json(results).decode()})
    return Ended(how, changed if told_rules.one_or_none() else [])


async def tick(locked: Locked, task: TaskRow, item: int, done: bool, by: By) -> Ended:
    """Tick a line of the checklist off, or on again; the last one may complete the task."""
    _check_open(task)
    found = (await locked.tx.execute(_ITEM, {"id": item, "task": task.id})).one_or_none()
    if found is None:
        raise Refused("gone", f"task {task.id} has no item {item} in its checklist", 404)
    if (found.done_at is not None) == done:
        return Ended()
    mark = {"id": item, "at": by.at if done else None, "who": by.who if done else ""}
    await locked.tx.execute(_TICK, mark)
    event = "item_done" if done else "item_not_done"
    await write(locked.tx, [history(task.id, by.at, by.who, event, {"item": item})])
    if not (done and task.complete_with_checklist):
        return Ended()
    left = (await locked.tx.execute(_ITEMS_LEFT, {"id": task.id})).scalar_one()
    return Ended() if left else await end(locked, task, "auto_completed", by)


async def change(locked: Locked, task: TaskRow, new: dict[str, object], by: By) -> None:
    """Give it another assignee (`assignee_id`, who must be active) or deadline (`deadline`, or none)."""
    _check_open(task)
    changed = {name: value for name, value in new.items() if getattr(task, name) != value}
    if not changed:
        return
    present = {"assignee_id": task.assignee_id, "deadline": task.deadline} | changed
    await locked.tx.execute(_CHANGE, present | {"id": task.id})
    lines = [
        history(task.id, by.at, by.who, name.removesuffix("_id"), _from_to(getattr(task, name), value))
        for name, value in changed.items()
    ]
    await write(locked.tx, lines)


def _from_to(before: object, after: object) -> dict[str, JsonValue]:
    shown = [value.isoformat() if isinstance(value, datetime) else value for value in (before, after)]
    return {"from": shown[0], "to": shown[1]}  # type: ignore[dict-item]  # ids and instants


def _check_open(task: TaskRow) -> None:
    if task.ended_how:
        raise Refused("task_ended", f"task {task.id} was {task.ended_how.replace('_', ' ')}", 409)


_ID = bindparam("id", type_=BigInteger)
_AT = bindparam("at", type_=DateTime(timezone=True))
_TASK = text("select * from task where id = :id").bindparams(_ID)
_HOW = text("select ended_how from task where id = :id").bindparams(_ID)
_END = text("""
update task set ended_how = :how, ended_at = :at, ended_by = :who
where id = :id and ended_how = '' returning id
""").bindparams(_ID, _AT)
_RESULTS = text("""
update ledger set results = results || cast(:results as jsonb)
where record_id = :id and visit_no = :visit_no and rule = :rule and n = 0
  and results ->> 'id' = :task and not results ? 'ended'
returning rule
""").bindparams(_ID)
_ITEM = text("select done_at from task_item where id = :id and task_id = :task").bindparams(
    _ID, bindparam("task", type_=BigInteger)
)
_TICK = text("update task_item set done_at = :at, done_by = :who where id = :id").bindparams(_ID, _AT)
_ITEMS_LEFT = text("select count(*) from task_item where task_id = :id and done_at is null").bindparams(_ID)
_CHANGE = text("update task set assignee_id = :assignee_id, deadline = :deadline where id = :id").bindparams(
    _ID, bindparam("deadline", type_=DateTime(timezone=True))
)
