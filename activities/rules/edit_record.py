"""`edit_record`: fields of the record are set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar

from pydantic import Field, JsonValue

from activities.act import Act
from activities.effect import Done, Effect, Setting, Template
from db.edits import edit
from db.records import move
from domain.errors import Refused
from domain.fields import FieldType, Problem, UnknownField, WrongType, is_empty, parse
from domain.rule import Nature, Written


class Assignment(Written):
    """One field and its new value.

    A text is a template; what it becomes is read as the field's type. Other values, and the items of a list,
    are taken as they are.
    """

    field: str
    value: Annotated[JsonValue, Template("plain")]

    @property
    def name(self) -> str:
        """The field's name; `record.` before it may be left out."""
        return self.field.removeprefix("record.")

    @property
    def constant(self) -> bool:
        return not (isinstance(self.value, str) and _quotes(self.value))


class EditRecord(Effect):
    """Sets any number of fields of the record at once; history shows their old and new values.

    `set` lists each `field` with its `value`, which may quote other fields. With `append` values are added
    to fields that hold several, instead of replacing what they hold. A `stage` among the fields moves the
    record, after all else is set: then the rule is a transition.
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
    errors: ClassVar[dict[str, str]] = {
        "required_field_empty": "a required field would be emptied",
        "wrong_type": "a value does not fit its field once it is filled in",
        "unknown_field": "a field was taken away, or made read-only, since",
        "wrong_responsible": "the responsible would be no active employee",
        "wrong_stage": "the pipeline has no such stage",
    }

    set: Annotated[list[Assignment], Field(min_length=1)]
    append: bool = False

    @classmethod
    def nature_of(cls, params: Mapping[str, JsonValue]) -> Nature:
        listed = params.get("set")
        items = listed if isinstance(listed, list) else []
        named = [item.get("field") for item in items if isinstance(item, dict)]
        return "transition" if "stage" in named or "record.stage" in named else cls.nature

    async def apply(self, act: Act) -> Done:
        wanted = {item.name: self._value(act, item) for item in self.set}
        stage = _stage(act, wanted.pop("stage")) if "stage" in wanted else act.record.stage_id
        edited = await edit(act.locked, wanted, act.by)
        if await move(act.locked, stage, act.by) is None:
            return Done({"changed": [*edited.changed]}, changed=edited.changed)
        changed = (*edited.changed, "record.stage")
        return Done({"changed": [*changed]}, changed=changed, moved_to=act.record.visit_no)

    def _value(self, act: Act, item: Assignment) -> object:
        value = act.text(item.value) if isinstance(item.value, str) else item.value
        field = act.locked.registry.record.get(item.name)
        if not (self.append and field and field.multiple):
            return value
        present = act.values[f"record.{item.name}"]
        try:
            added = parse(field, value)
        except WrongType as wrong:
            raise Refused("wrong_type", str(wrong)) from wrong
        return list(dict.fromkeys([*_list(present), *_list(added)]))

    def problems(self, setting: Setting) -> Iterator[Problem]:
        seen: list[str] = []
        for number, item in enumerate(self.set):
            if wrong := _wrong_field(item, setting):
                yield Problem(place=f"/set/{number}/field", message=wrong)
            elif wrong := _wrong_constant(item, setting):
                yield Problem(place=f"/set/{number}/value", message=wrong)
            if item.name in seen:
                yield Problem(place=f"/set/{number}/field", message=f"record.{item.name} is set twice")
            seen.append(item.name)


def _quotes(text: str) -> bool:
    return "{{" in text or "{%" in text


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _stage(act: Act, value: object) -> str:
    """Where the record moves to: judged before anything is written."""
    stage = value.strip() if isinstance(value, str) else ""
    if stage != act.record.stage_id and not act.locked.has_stage(stage):
        raise Refused("wrong_stage", f"{act.record.pipeline_id} has no stage {stage!r}")
    return stage


def _wrong_field(item: Assignment, setting: Setting) -> str:
    if item.name == "pipeline":
        return "the pipeline is not edited: there is the rule change_pipeline"
    try:
        field = setting.registry.find(f"record.{item.name}")
    except UnknownField as unknown:
        return str(unknown)
    return "" if field.writable else f"record.{item.name} is read-only"


def _wrong_constant(item: Assignment, setting: Setting) -> str:
    if not item.constant:
        return ""
    if any(isinstance(part, str) and _quotes(part) for part in _list(item.value)):
        return "the items of a list are taken as they are: a template stands alone"
    field = setting.registry.record[item.name]
    try:
        value = parse(field, item.value)
    except WrongType as wrong:
        return str(wrong)
    if item.name == "stage" and value not in (stages := setting.stages[setting.pipeline]):
        return f"there is no stage {value!r}; there is {', '.join(stages)}"
    if field.required and is_empty(value):
        return f"record.{item.name} is required"
    if field.type == "employee":
        unknown = [who for who in (_list(value) or [value]) if who and who not in setting.employees]
        return f"there is no employee {unknown[0]!r}" if unknown else ""
    return ""
