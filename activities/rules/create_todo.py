"""`create_todo`: a to-do of an employee, on the record."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import ClassVar
from zoneinfo import ZoneInfo

from pydantic import JsonValue

from activities import recipients
from activities.act import Act
from activities.effect import Done, Effect, Setting, Text
from domain.errors import Refused
from domain.fields import FieldType, Problem
from domain.period import Period
from domain.schedule import Schedule


class CreateTodo(Effect):
    """A to-do on the record and in an employee's list, with a `subject` and a `description`.

    `responsible` is an employee's id, by default the record's responsible. `deadline` is a schedule: now (the
    default), in so many days at a clock time, or a date field. While that field is empty the to-do has no
    deadline; with `if_empty: fail`, or `if_past: fail` for one that is past, it is not made. `reminder` is a
    period before the deadline, at which the employee is notified. `important` marks it; with
    `complete_on_exit` it is completed when the record leaves the stage.
    """

    kind: ClassVar[str] = "create_todo"
    title: ClassVar[str] = "Create a to-do"
    example: ClassVar[dict[str, JsonValue]] = {
        "subject": "Call {{ contact.first_name }}",
        "deadline": {"after": {"days": 2}, "at": "10:00", "working_time": True},
        "reminder": {"hours": 1},
    }
    results: ClassVar[dict[str, FieldType]] = {"id": "number"}
    errors: ClassVar[dict[str, str]] = {
        "subject_empty": "nothing is left of the subject once it is filled in",
        "wrong_responsible": "there is no such active employee, or the record has no responsible",
        "deadline_empty": "its date field is empty, and `if_empty` says fail",
        "deadline_past": "the deadline is past, and `if_past` says fail",
    }

    subject: Text
    description: Text = ""
    deadline: Schedule | None = None
    responsible: str = "responsible"
    important: bool = False
    complete_on_exit: bool = False
    reminder: Period | None = None

    async def apply(self, act: Act) -> Done:
        subject = act.text(self.subject).strip()
        if not subject:
            raise Refused("subject_empty", "the subject of the to-do is empty")
        person = await recipients.employee(act.locked, self.responsible, act.now)
        if person is None:
            raise Refused("wrong_responsible", f"{self.responsible!r} is no active employee")
        deadline = await self._due(act)
        todo_id = await act.id_for("todo")
        row = {
            "id": todo_id,
            "employee_id": person.id,
            "subject": subject,
            "description": act.text(self.description).strip(),
            "deadline": deadline,
            "important": self.important,
            "complete_on_exit": self.complete_on_exit,
            "reminder_at": self._reminder(deadline, act.locked.zone),
            "created_at": act.now,
        }
        return Done({"id": todo_id}, (act.rows("todo", row),))

    async def _due(self, act: Act) -> datetime | None:
        if self.deadline is None:
            return act.now
        at = await act.at(self.deadline)
        if at is None and self.deadline.if_empty == "run_now":
            return act.now
        if at is None and self.deadline.if_empty == "fail":
            raise Refused("deadline_empty", f"{self.deadline.basis} is empty")
        if at is not None and at < act.now and self.deadline.if_past == "fail":
            raise Refused("deadline_past", f"the deadline, {at.isoformat()}, is past")
        return at

    def _reminder(self, deadline: datetime | None, zone: str) -> datetime | None:
        return self.reminder.add(deadline, ZoneInfo(zone), -1) if self.reminder and deadline else None

    def problems(self, setting: Setting) -> Iterator[Problem]:
        yield from recipients.employee_problems(self.responsible, setting, "/responsible")
