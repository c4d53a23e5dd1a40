"""`change_pipeline`: the deal goes on in another pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pydantic import JsonValue

from activities.act import Act
from activities.effect import Done, Effect, RecordType, Setting
from db.records import change_pipeline
from domain.fields import FieldType, Problem
from domain.rule import Nature


class ChangePipeline(Effect):
    """The deal leaves its pipeline for `pipeline`; every rule of it that runs or waits ends.

    It lands in `stage`, by default in one of the same meaning: the first of the process, success, or the
    first failure.
    """

    kind: ClassVar[str] = "change_pipeline"
    title: ClassVar[str] = "Change the pipeline"
    example: ClassVar[dict[str, JsonValue]] = {"pipeline": "service"}
    record_types: ClassVar[tuple[RecordType, ...]] = ("deal",)
    nature: ClassVar[Nature] = "transition"
    executes: ClassVar[bool] = True
    results: ClassVar[dict[str, FieldType]] = {"pipeline": "text", "stage": "text"}
    errors: ClassVar[dict[str, str]] = {
        "wrong_pipeline": "it is the present one, or there is no such pipeline or stage any more"
    }

    pipeline: str
    stage: str | None = None

    async def apply(self, act: Act) -> Done:
        await change_pipeline(act.locked, self.pipeline, self.stage, act.by)
        landed = {"pipeline": self.pipeline, "stage": act.record.stage_id}
        return Done({**landed}, moved_to=act.record.visit_no)

    def problems(self, setting: Setting) -> Iterator[Problem]:
        if self.pipeline == setting.pipeline:
            yield Problem(place="/pipeline", message=f"{self.pipeline!r} is the pipeline of the rule itself")
        elif self.pipeline not in setting.stages:
            known = ", ".join(pipeline for pipeline in setting.stages if pipeline != setting.pipeline)
            message = f"there is no pipeline {self.pipeline!r}; there is {known or 'no other'}"
            yield Problem(place="/pipeline", message=message)
        elif self.stage is not None and self.stage not in setting.stages[self.pipeline]:
            known = ", ".join(setting.stages[self.pipeline])
            message = f"{self.pipeline} has no stage {self.stage!r}; it has {known}"
            yield Problem(place="/stage", message=message)
