"""`edit_record`: fields of the record are set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar

from pydantic import Field, JsonValue

from activities.act import Act
from activities.assignments import ERRORS, Assignment, assigned, problems
from activities.effect import Done, Effect, Setting
from db.edits import edit
from db.records import move
from domain.errors import Refused
from domain.fields import FieldType, Problem
from domain.rule import Nature


class EditRecord(Effect):
    """Sets any number of fields of the record at once; history shows their old and new values.

    `set` lists each `field` with its `value`, which may quote other fields; one that holds several, quoted
    alone, is copied whole. `how` says of each what is done: `set` replaces what the field holds, `append`
    adds to one that holds several, `remove` takes from it, `clear` empties it. With `append` that is what is
    done to fields of several where nothing is said. A `stage` among the fields moves the record, after all
    else is set: then the rule is a transition.
    """

    kind: ClassVar[str] = "edit_record"
    title: ClassVar[str] = "Edit the record"
    example: ClassVar[dict[str, JsonValue]] = {
        "set": [
            {"field": "source", "value": "{{ contact.email.first }}"},
            {"field": "amount", "value": 1000},
        ]
    }
    executes: ClassVar[bool] = True
    results: ClassVar[dict[str, FieldType]] = {"changed": "text"}
    errors: ClassVar[dict[str, str]] = ERRORS | {"wrong_stage": "the pipeline has no such stage"}

    set: Annotated[list[Assignment], Field(min_length=1)]
    append: bool = False

    @classmethod
    def nature_of(cls, params: Mapping[str, JsonValue]) -> Nature:
        listed = params.get("set")
        items = listed if isinstance(listed, list) else []
        named = [item.get("field") for item in items if isinstance(item, dict)]
        return "transition" if "stage" in named or "record.stage" in named else cls.nature

    async def apply(self, act: Act) -> Done:
        wanted = assigned(act, "record", self.set, act.values, append=self.append)
        stage = _stage(act, wanted.pop("stage")) if "stage" in wanted else act.record.stage_id
        edited = await edit(act.locked, wanted, act.by)
        if await move(act.locked, stage, act.by) is None:
            return Done({"changed": [*edited.changed]}, changed=edited.changed)
        changed = (*edited.changed, "record.stage")
        return Done({"changed": [*changed]}, changed=changed, moved_to=act.record.visit_no)

    def problems(self, setting: Setting) -> Iterator[Problem]:
        yield from problems(self.set, setting, "record")


def _stage(act: Act, value: object) -> str:
    """Where the record moves to: judged before anything is written."""
    stage = value.strip() if isinstance(value, str) else ""
    if stage != act.record.stage_id and not act.locked.has_stage(stage):
        raise Refused("wrong_stage", f"{act.record.pipeline_id} has no stage {stage!r}")
    return stage
