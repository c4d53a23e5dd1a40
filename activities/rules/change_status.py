"""`change_status`: the lead gets another status."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pydantic import JsonValue

from activities.act import Act
from activities.effect import Done, Effect, RecordType, Setting
from db.records import move
from domain.fields import FieldType, Problem
from domain.rule import Nature


class ChangeStatus(Effect):
    """The lead gets another `status`, which is the stage it is in.

    If it has it already, nothing happens. With `if_false: wait` it moves as soon as its condition is met.
    """

    kind: ClassVar[str] = "change_status"
    title: ClassVar[str] = "Change the status"
    example: ClassVar[dict[str, JsonValue]] = {"status": "working"}
    record_types: ClassVar[tuple[RecordType, ...]] = ("lead",)
    nature: ClassVar[Nature] = "transition"
    executes: ClassVar[bool] = True
    results: ClassVar[dict[str, FieldType]] = {"status": "text", "moved": "boolean"}
    errors: ClassVar[dict[str, str]] = {"wrong_stage": "there is no such status any more"}

    status: str

    async def apply(self, act: Act) -> Done:
        moved = await move(act.locked, self.status, act.by) is not None
        return Done({"status": self.status, "moved": moved}, moved_to=act.record.visit_no if moved else 0)

    def problems(self, setting: Setting) -> Iterator[Problem]:
        if self.status not in (statuses := setting.stages[setting.pipeline]):
            known = ", ".join(statuses)
            yield Problem(place="/status", message=f"there is no status {self.status!r}; there is {known}")
