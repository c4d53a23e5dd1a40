"""`change_stage`: the record moves to another stage of its pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pydantic import JsonValue

from activities.act import Act
from activities.effect import Done, Effect, Setting
from db.records import move
from domain.fields import FieldType, Problem
from domain.rule import Nature


class ChangeStage(Effect):
    """The record moves to `stage` of its pipeline; for a lead that is its status.

    If it is there already, nothing happens. With `if_false: wait` it moves as soon as its condition is met.
    """

    kind: ClassVar[str] = "change_stage"
    title: ClassVar[str] = "Change the stage"
    example: ClassVar[dict[str, JsonValue]] = {"stage": "offer"}
    nature: ClassVar[Nature] = "transition"
    executes: ClassVar[bool] = True
    results: ClassVar[dict[str, FieldType]] = {"stage": "text", "moved": "boolean"}
    errors: ClassVar[dict[str, str]] = {"wrong_stage": "the pipeline has no such stage any more"}

    stage: str

    async def apply(self, act: Act) -> Done:
        moved = await move(act.locked, self.stage, act.by) is not None
        return Done({"stage": self.stage, "moved": moved}, moved_to=act.record.visit_no if moved else 0)

    def problems(self, setting: Setting) -> Iterator[Problem]:
        if self.stage not in (stages := setting.stages[setting.pipeline]):
            known = ", ".join(stages)
            yield Problem(place="/stage", message=f"there is no stage {self.stage!r}; there is {known}")
