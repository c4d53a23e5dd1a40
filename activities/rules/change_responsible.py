"""`change_responsible`: another employee is responsible for the record."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field, JsonValue
from sqlalchemy import BigInteger, DateTime, bindparam, text

from activities.act import Act
from activities.choosing import Strategy, candidate_problems, choose
from activities.effect import Done, Effect, Setting
from db.edits import edit
from db.facts import EmployeeRow
from db.rows import Rows
from domain.fields import FieldType, Problem

Handed = Literal["todos", "tasks"]


class ChangeResponsible(Effect):
    """One of the `candidates` becomes responsible for the record; what depends on the responsible follows.

    `candidates` are any of `employee:<id>` and `department:<id>`. The `strategy` chooses: `round_robin` (the
    default) gives each their turn, `random` anybody, `first_available` the first in the order written,
    `least_loaded` who has the fewest open records. With `skip_absent` (the default) who is absent is left
    out, with `skip_off_duty` who is outside working time. `hand_over` lists what goes to the new responsible
    of what the old one has still to do on the record: `todos`, `tasks`. Both people are told.
    """

    kind: ClassVar[str] = "change_responsible"
    title: ClassVar[str] = "Change the responsible"
    example: ClassVar[dict[str, JsonValue]] = {
        "candidates": ["department:sales"],
        "strategy": "least_loaded",
        "hand_over": ["todos", "tasks"],
    }
    executes: ClassVar[bool] = True
    results: ClassVar[dict[str, FieldType]] = {"old": "employee", "new": "employee"}
    errors: ClassVar[dict[str, str]] = {
        "nobody_eligible": "no candidate may be chosen: inactive, absent, off duty, or there is none",
    }

    candidates: Annotated[list[str], Field(min_length=1)]
    strategy: Strategy = "round_robin"
    skip_absent: bool = True
    skip_off_duty: bool = False
    hand_over: list[Handed] = []

    async def apply(self, act: Act) -> Done:
        old = act.record.responsible_id
        new = await choose(
            act,
            self.candidates,
            self.strategy,
            skip_absent=self.skip_absent,
            skip_off_duty=self.skip_off_duty,
        )
        results: dict[str, JsonValue] = {"old": old, "new": new.id}
        if new.id == old:
            return Done(results)
        before = act.locked.around.responsible
        edited = await edit(act.locked, {"responsible": new.id}, act.by)
        if old:
            await self._hand_over(act, old, new.id)
        return Done(results, (_told(act, before, new),), changed=edited.changed)

    async def _hand_over(self, act: Act, old: str, new: str) -> None:
        people = {"id": act.record.id, "old": old, "new": new}
        if "todos" in self.hand_over:
            await act.tx.execute(_TODOS, people)
        if "tasks" in self.hand_over:
            await act.tx.execute(_TASKS, people | {"at": act.now, "who": act.author})

    def problems(self, setting: Setting) -> Iterator[Problem]:
        yield from candidate_problems(self.candidates, setting, "/candidates")


def _told(act: Act, before: EmployeeRow | None, new: EmployeeRow) -> Rows:
    title = act.record.title
    said = {new.id: f"You are responsible for {title!r} now"}
    if before and before.active:
        said[before.id] = f"{new.name} is responsible for {title!r} now"
    same: dict[str, object] = {"n": act.n, "sender": act.author, "at": act.now}
    return act.rows(
        "notification", *({"employee_id": who, "body": body} | same for who, body in said.items())
    )


_ID = bindparam("id", type_=BigInteger)
_TODOS = text("""
update todo set employee_id = :new where record_id = :id and employee_id = :old and completed_at is null
""").bindparams(_ID)
_TASKS = text("""
with t as (
  update task set assignee_id = :new where record_id = :id and assignee_id = :old and ended_at is null
  returning id
)
insert into task_line (task_id, at, actor, event, detail)
select t.id, :at, :who, 'handed_over',
  jsonb_build_object('from', cast(:old as text), 'to', cast(:new as text))
from t
""").bindparams(_ID, bindparam("at", type_=DateTime(timezone=True)))
