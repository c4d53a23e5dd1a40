"""`create_task`: a task with a history of its own, which the chain may wait for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, ClassVar
from zoneinfo import ZoneInfo

from pydantic import Field, JsonValue, ValidationInfo, field_validator

from activities import recipients, tasks
from activities.act import Act
from activities.effect import Done, Effect, Held, Setting, Text
from activities.impossible import order
from activities.tasks import NewTask, Priority
from domain.errors import Refused
from domain.fields import FieldType, Problem
from domain.period import Period
from domain.schedule import Schedule

_MOST = 2**63 - 1


class CreateTask(Effect):
    """A task on the record and in an employee's list, with a `name`, a `description` and its own history.

    `assignee` is an employee's id, by default the record's responsible; `creator` is `system`, `responsible`
    or an employee's id, by default as whom the rule acts. `deadline`, `planned_start` and `planned_end` are
    schedules that count from now; one whose date field is empty is left out, unless it says `if_empty: fail`.
    `priority` is low, normal or high. `participants` and `observers` are employees, as recipients are
    written; with `skip_absent` those who are absent are left out. `checklist` and `tags` are texts; what is
    empty once it is filled in is left out. `parent` is the id of another task, of whatever record, as
    `{{ steps.other.id }}`. `estimate` is the effort, in minutes or hours. With `complete_with_checklist` the
    task is completed when its checklist has been ticked off.

    With `hold_until_closed` the chain waits until the task is completed, deleted or completed by its
    checklist, at most for `hold_timeout`, which then must be given. The results are the `id` and, once the
    task has ended, how (`ended`: `completed`, `deleted`, `auto_completed`), `by` whom and when (`at`). If a
    chain waited for it they say how the waiting ended: so, or by `timeout`, by a `person`, or as the stage
    was `left`.
    """

    kind: ClassVar[str] = "create_task"
    title: ClassVar[str] = "Create a task"
    example: ClassVar[dict[str, JsonValue]] = {
        "name": "Prepare the offer for {{ record.title }}",
        "deadline": {"after": {"days": 3}, "at": "17:00", "working_time": True},
        "checklist": ["Measure", "Calculate"],
        "complete_with_checklist": True,
        "hold_until_closed": True,
        "hold_timeout": {"days": 7},
    }
    results: ClassVar[dict[str, FieldType]] = {
        "id": "number", "ended": "text", "by": "text", "at": "datetime",
    }  # fmt: skip
    errors: ClassVar[dict[str, str]] = {
        "name_empty": "nothing is left of the name once it is filled in",
        "wrong_assignee": "there is no such active employee, or the record has no responsible",
        "start_after_end": "it would be planned to start after its end",
        "unknown_parent": "there is no task of that id, or it was deleted",
        "date_empty": "a date field is empty, and `if_empty` says fail",
        "date_past": "a date is past, and `if_past` says fail",
    }

    name: Text
    description: Text = ""
    assignee: str = "responsible"
    creator: str | None = None
    deadline: Schedule | None = None
    planned_start: Schedule | None = None
    planned_end: Schedule | None = None
    priority: Priority = "normal"
    participants: list[str] = []
    observers: list[str] = []
    skip_absent: bool = False
    checklist: list[Text] = []
    tags: list[Text] = []
    parent: Text = ""
    estimate: Period | None = None
    complete_with_checklist: bool = False
    hold_until_closed: bool = False
    hold_timeout: Annotated[Period | None, Field(validate_default=True)] = None

    @field_validator("hold_timeout")
    @classmethod
    def _goes_with_the_hold(cls, timeout: Period | None, info: ValidationInfo) -> Period | None:
        holds = info.data.get("hold_until_closed", False)
        if holds and timeout is None:
            raise ValueError("say for how long the chain waits at most")
        if timeout and not holds:
            raise ValueError("goes with `hold_until_closed`")
        if timeout and not timeout.span:
            raise ValueError("must be longer than nothing")
        return timeout

    @field_validator("estimate")
    @classmethod
    def _is_effort(cls, estimate: Period | None) -> Period | None:
        if estimate and estimate.days is not None:
            raise ValueError("effort is given in minutes or hours")
        return estimate

    async def apply(self, act: Act) -> Done:
        new = await self._task(act)
        if new.planned_start and new.planned_end and new.planned_start > new.planned_end:
            raise Refused("start_after_end", "the planned start lies after the planned end")
        task_id = await act.id_for("task")
        own: dict[str, object] = {"id": task_id, "record_id": act.record.id, "visit_no": act.visit_no}
        checklist = [body for item in self.checklist if (body := act.text(item).strip())]
        made = tasks.rows(new, checklist, own | {"rule": act.rule.id}, act.now)
        return Done({"id": task_id}, made, hold=self._hold(act))

    async def _task(self, act: Act) -> NewTask:
        name = act.text(self.name).strip()
        if not name:
            raise Refused("name_empty", "the name of the task is empty")
        person = await recipients.employee(act.locked, self.assignee, act.now)
        if person is None:
            raise Refused("wrong_assignee", f"{self.assignee!r} is no active employee")
        tags = [tag for written in self.tags if (tag := act.text(written).strip())]
        return NewTask(
            name=name,
            description=act.text(self.description).strip(),
            assignee_id=person.id,
            creator=recipients.speaker(act, self.creator),
            deadline=await _instant(act, self.deadline),
            planned_start=await _instant(act, self.planned_start),
            planned_end=await _instant(act, self.planned_end),
            priority=self.priority,
            participants=await self._ids(act, self.participants),
            observers=await self._ids(act, self.observers),
            tags=list(dict.fromkeys(tags)),
            parent_id=await self._parent(act),
            estimate_minutes=None if self.estimate is None else int(self.estimate.span.total_seconds() // 60),
            complete_with_checklist=self.complete_with_checklist,
        )

    async def _parent(self, act: Act) -> int | None:
        if not self.parent:
            return None
        written = act.text(self.parent).strip()
        number = int(written) if written.isdecimal() and len(written) < 20 else 0
        known = await tasks.known(act.tx, number) if number <= _MOST else False
        if not (await _just_made(act, number) if known is None else known):
            raise Refused("unknown_parent", f"there is no task {written[:40]!r} that it could belong to")
        return number

    async def _ids(self, act: Act, written: list[str]) -> list[str]:
        people = await recipients.addressed(act, written, act.now, skip_absent=self.skip_absent)
        return [person.id for person in people]

    def _hold(self, act: Act) -> Held | None:
        if not self.hold_until_closed or self.hold_timeout is None:
            return None
        return Held(self.hold_timeout.add(act.now, ZoneInfo(act.locked.zone)))

    def problems(self, setting: Setting) -> Iterator[Problem]:
        yield from recipients.employee_problems(self.assignee, setting, "/assignee")
        yield from recipients.speaker_problems(self.creator, setting, "/creator")
        for place, named in (("/participants", self.participants), ("/observers", self.observers)):
            if named:
                yield from recipients.problems(named, setting, place)
        if order(self.planned_start, self.planned_end):
            yield Problem(place="/planned_start", message="the planned start lies after the planned end")
        if "{" not in self.parent and self.parent and not self.parent.strip().isdecimal():
            yield Problem(place="/parent", message="neither the number of a task nor a quote of one")
        if self.complete_with_checklist and not self.checklist:
            yield Problem(place="/complete_with_checklist", message="there is no checklist to complete it")


async def _instant(act: Act, schedule: Schedule | None) -> datetime | None:
    if schedule is None:
        return None
    at = await act.at(schedule)
    if at is None and schedule.if_empty == "run_now":
        return act.now
    if at is None and schedule.if_empty == "fail":
        raise Refused("date_empty", f"{schedule.basis} is empty")
    if at is not None and at < act.now and schedule.if_past == "fail":
        raise Refused("date_past", f"{at:%Y-%m-%d %H:%M} UTC is past")
    return at


async def _just_made(act: Act, task_id: int) -> bool:
    """Whether a rule made that task in this very transaction, so that its row is yet to be written."""
    rules = await act.locked.rules(act.visit_no)
    ours = (row for row in act.locked.ledger.values() if row.visit_no == act.visit_no)
    made = [row.rule for row in ours if row.results.get("id") == task_id]
    return any(rules.rule(name).kind == CreateTask.kind for name in made)
