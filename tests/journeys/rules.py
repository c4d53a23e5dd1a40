"""Rules as an author writes them, in few words: `rules([wait("patience"), comment("then", below=True)])`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from domain.rule import Rule
from domain.schedule import Schedule

Json = dict[str, Any]
_OF_SCHEDULE = frozenset(Schedule.model_fields)


def rules(listed: Sequence[Json]) -> list[Json]:
    """The list of one stage; what the product would not read is an error here."""
    for one in listed:
        Rule.model_validate(one)
    return [*listed]


def rule(kind: str, name: str, params: Json, *, below: bool = False, **more: Any) -> Json:
    """`more`: fields of the rule, and parts of its schedule. `below`: it follows the rule above."""
    schedule = {part: value for part, value in more.items() if part in _OF_SCHEDULE}
    rest = {part: value for part, value in more.items() if part not in _OF_SCHEDULE}
    return {"id": name, "kind": kind, "params": params, "after_previous": below, "schedule": schedule} | rest


def comment(name: str, text: str = "", **more: Any) -> Json:
    return rule("add_comment", name, {"text": text or name}, **more)


def wait(name: str, until: Json | None = None, *, ends: Json | None = None, **more: Any) -> Json:
    """`until`: a period, by default three hours, or a whole schedule; `ends`: further parameters."""
    until = until or {"hours": 3}
    schedule = until if until.keys() & _OF_SCHEDULE else {"after": until}
    return rule("wait", name, {"until": schedule} | (ends or {}), **more)


def control(name: str, deadline: Json, *, params: Json | None = None, **more: Any) -> Json:
    """`deadline`: a period or a whole schedule; `params`: the rest of its parameters."""
    schedule = deadline if deadline.keys() & _OF_SCHEDULE else {"after": deadline}
    return rule("control", name, {"deadline": schedule} | (params or {}), **more)


def move(name: str, stage: str, **more: Any) -> Json:
    return rule("change_stage", name, {"stage": stage}, **more)


def edit(name: str, field: str, value: object, **more: Any) -> Json:
    return rule("edit_record", name, {"set": [{"field": field, "value": value}]}, **more)
