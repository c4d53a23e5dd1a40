"""All kinds of rules there are: what lies in `activities/rules/`, and the two that wait."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from pydantic import BaseModel, JsonValue

import activities.rules
from activities.effect import Effect
from domain.fields import FieldType
from domain.holds.control import Control
from domain.holds.wait import Wait
from domain.rule import Nature, Written

HOLDS: Mapping[str, type[Written]] = MappingProxyType({"wait": Wait, "control": Control})
HOLD_RESULTS: Mapping[str, dict[str, FieldType]] = MappingProxyType(
    {
        "wait": {"ended": "text", "by": "text", "at": "datetime"},
        "control": {"state": "text", "late_by": "number"},
    }
)

_ENDS = {"if_past": "its end lies in the past", "if_empty": "its date is empty"}
HOLD_ERRORS: Mapping[str, dict[str, str]] = MappingProxyType(
    {"wait": _ENDS, "control": _ENDS | {"nobody": "it is late, and there is nobody to tell"}}
)


class Kind(BaseModel):
    """A kind as it is shown: its parameters as JSON Schema, its results and named errors."""

    kind: str
    title: str
    description: str
    record_types: list[str]
    nature: Nature
    parameters: dict[str, JsonValue]
    results: dict[str, FieldType]
    errors: dict[str, str]
    example: dict[str, JsonValue]


@cache
def effects() -> Mapping[str, type[Effect]]:
    """The effects by kind, in alphabetical order."""
    found: dict[str, type[Effect]] = {}
    for module in sorted(pkgutil.iter_modules(activities.rules.__path__), key=lambda m: m.name):
        loaded = importlib.import_module(f"activities.rules.{module.name}")
        for _, thing in inspect.getmembers(loaded, inspect.isclass):
            if issubclass(thing, Effect) and thing.__module__ == loaded.__name__:
                found[thing.kind] = thing
    return MappingProxyType(found)


def nature(kind: str, params: Mapping[str, JsonValue]) -> Nature:
    """How the machine treats steps of that kind. Raises `KeyError` for a kind there is not."""
    if kind == "wait":
        return "wait"
    return "control" if kind == "control" else effects()[kind].nature_of(params)


def parameters(kind: str) -> type[Written] | None:
    """The model of a kind's parameters; None for a kind there is not."""
    return HOLDS.get(kind) or effects().get(kind)


def results(kind: str) -> Mapping[str, FieldType]:
    """What later rules of the visit may quote."""
    return HOLD_RESULTS[kind] if kind in HOLDS else effects()[kind].results


def describe_kinds() -> list[Kind]:
    """Every kind, in alphabetical order."""
    described = [_of_effect(effect) for effect in effects().values()]
    described += [_of_hold(kind, model) for kind, model in HOLDS.items()]
    return sorted(described, key=lambda k: k.kind)


def _of_effect(effect: type[Effect]) -> Kind:
    return Kind(
        kind=effect.kind,
        title=effect.title,
        description=inspect.getdoc(effect) or "",
        record_types=list(effect.record_types),
        nature=effect.nature,
        parameters=effect.model_json_schema(),
        results=dict(effect.results),
        errors=dict(effect.errors),
        example=effect.example,
    )


def _of_hold(kind: str, model: type[Written]) -> Kind:
    return Kind(
        kind=kind,
        title="Wait" if kind == "wait" else "Control",
        description=inspect.getdoc(model) or "",
        record_types=["lead", "deal"],
        nature="wait" if kind == "wait" else "control",
        parameters=model.model_json_schema(),
        results=HOLD_RESULTS[kind],
        errors=HOLD_ERRORS[kind],
        example={"until": {"after": {"days": 3}}} if kind == "wait" else {"deadline": {"after": {"days": 1}}},
    )
