"""What is checked of a rule set before it is published, so that little is left to fail when it runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import NoneType, UnionType
from typing import Annotated, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from activities import impossible, recipients
from activities.catalogue import effects, parameters, results
from activities.cycles import cycles
from activities.effect import Effect, Setting, Template
from activities.places import as_problems, escaped
from activities.unknown import unknown
from domain import conditions, templates
from domain.activity_types import wrong_type
from domain.condition_tree import All, Any_, Comparison, Condition, Not
from domain.fields import FieldType, Problem, UnknownField
from domain.holds.control import Control, Repeat
from domain.holds.wait import MoveTo, Wait
from domain.rule import Rule, RuleSet, Trigger
from domain.schedule import Schedule


def check(rules: RuleSet, setting: Setting, others: Mapping[str, RuleSet]) -> list[Problem]:
    """Everything that is wrong with the rules of a pipeline; empty when they may be published.

    `others` are the current rule sets of the other pipelines. Places are JSON pointers:
    `/stages/offer/2/params/text`.
    """
    problems: list[Problem] = []
    stages = setting.stages.get(setting.pipeline, {})
    for stage, listed in rules.stages.items():
        place = f"/stages/{escaped(stage)}"
        if stage not in stages:
            problems.append(_unknown(place, "stage", stage, stages))
        above: dict[str, Mapping[str, FieldType]] = {}
        for i, rule in enumerate(listed):
            problems += _within(f"{place}/{i}", _rule(rule, setting, above))
            if parameters(rule.kind):
                above[rule.id] = results(rule.kind)
    for i, trigger in enumerate(rules.triggers):
        problems += _within(f"/triggers/{i}", _trigger(trigger, setting, stages))
    return problems + cycles(rules, setting, others)


def warnings(rules: RuleSet, setting: Setting) -> list[Problem]:
    """What may be published, and should be looked at once more; places as of `check`."""
    found: list[Problem] = []
    for stage, listed in rules.stages.items():
        for i, rule in enumerate(listed):
            model = parameters(rule.kind)
            if rule.active and model is not None and issubclass(model, Effect):
                said = model.model_validate(rule.params).warnings(setting, stage)
                found += _within(f"/stages/{escaped(stage)}/{i}/params", said)
    return found


def _trigger(trigger: Trigger, setting: Setting, stages: Mapping[str, str]) -> Iterator[Problem]:
    yield from _known("/stage", "stage", trigger.stage, stages)
    if trigger.condition:
        yield from _within("/condition", _condition(trigger.condition, setting, {}))
    if trigger.date:
        yield from _within("/date", _basis(trigger.date, setting))
    if trigger.event == "field_changed":
        for i, name in enumerate(trigger.names):
            yield from _known(f"/names/{i}", "field", name, setting.registry.references())
    elif trigger.event in ("client_activity", "webhook"):
        yield from _types(trigger.names, "/names")
    elif trigger.names:
        yield Problem(place="/names", message=f"the event {trigger.event} has no names to choose from")


# -- one rule ----------------------------------------------------------------------------------------
def _rule(rule: Rule, setting: Setting, steps: Mapping[str, Mapping[str, FieldType]]) -> Iterator[Problem]:
    yield from _within("/schedule", _basis(rule.schedule, setting))
    yield from impossible.in_rule(rule)
    if rule.condition:
        yield from _within("/condition", _condition(rule.condition, setting, steps))
    if rule.acting not in ("system", "responsible") and rule.acting not in setting.employees:
        said = unknown("employee", rule.acting, setting.employees, setting.former)
        yield Problem(place="/acting", message=said)
    model = parameters(rule.kind)
    if model is None:
        yield _unknown("/kind", "kind", rule.kind, [*effects(), "wait", "control"])
        return
    if issubclass(model, Effect) and setting.record_type not in model.record_types:
        yield Problem(place="/kind", message=f"{rule.kind} is not for {setting.record_type}s")
        return
    try:
        params = model.model_validate(rule.params)
    except ValidationError as error:
        yield from _within("/params", as_problems(error.errors(include_url=False), rule.params))
        return
    general = list(impossible.in_params(params))
    general += [found for part in _parts(params, None, "") for found in _part(part, setting, steps)]
    reported = {problem.place for problem in general}
    yield from _within("/params", general)
    yield from _within("/params", (own for own in _own(params, setting) if own.place not in reported))
    yield from _within("/params", _attached(params, steps))


def _own(params: BaseModel, setting: Setting) -> Iterator[Problem]:
    """What only the kind itself knows."""
    match params:
        case Effect():
            for problem in params.problems(setting):
                yield problem.model_copy(update={"place": f"/{problem.place.lstrip('/')}"})
        case Wait():
            yield from _types(params.ends_on, "/ends_on")
        case Control():
            yield from recipients.problems(params.recipients, setting, "/recipients")
            for i, level in enumerate(params.escalate):
                yield from recipients.problems(level.recipients, setting, f"/escalate/{i}/recipients")
                if level.repeat and i + 1 < len(params.escalate):
                    yield Problem(place=f"/escalate/{i}/repeat", message="only the last level may repeat")


def _types(words: Sequence[str], place: str) -> Iterator[Problem]:
    """Words for what a client does, or another system, that nobody can ever report."""
    for i, word in enumerate(words):
        if wrong := wrong_type(word):
            yield Problem(place=f"{place}/{i}", message=wrong)


def _attached(params: BaseModel, steps: Mapping[str, Mapping[str, FieldType]]) -> Iterator[Problem]:
    """Documents to be attached that no rule above makes."""
    for number, word in enumerate(getattr(params, "attachments", ())):
        section, _, rule = word.partition(":")
        if section == "document" and rule and "file" not in steps.get(rule, {}):
            yield Problem(place=f"/attachments/{number}", message=f"no rule {rule!r} above makes a document")


class _Part(NamedTuple):
    """Something within parameters: a template, a schedule, a condition, a move."""

    place: str
    value: object
    template: bool = False  # a text with quotes


def _part(part: _Part, setting: Setting, steps: Mapping[str, Mapping[str, FieldType]]) -> Iterator[Problem]:
    match part.value:
        case str() if part.template:
            for found in templates.check(part.value, setting.registry, steps, setting.locale):
                line = f"{found.place}: " if found.place else ""
                yield Problem(place=part.place, message=f"{line}{found.message}")
        case Schedule():
            yield from _within(part.place, _basis(part.value, setting))
        case MoveTo(move_to=stage):
            known = setting.stages.get(setting.pipeline, {})
            yield from _known(f"{part.place}/move_to", "stage", stage, known)
        case All() | Any_() | Not() | Comparison():
            yield from _within(part.place, _condition(part.value, setting, steps))
        case Repeat():
            yield from _within(part.place, impossible.in_repeat(part.value))


def _parts(value: object, annotation: object, place: str, *, marked: bool = False) -> Iterator[_Part]:
    """The parts of a value, however deep; `annotation` says which texts are templates, or `marked` all."""
    marked = marked or _marked(annotation)
    match value:
        case Schedule() | All() | Any_() | Not() | Comparison():
            yield _Part(place, value)
        case BaseModel():
            yield _Part(place, value)
            for name, field in type(value).model_fields.items():
                own = any(isinstance(mark, Template) for mark in field.metadata)
                own = own or (isinstance(value, Control | Wait) and name in ("message", "instruction"))
                inner, within = getattr(value, name), f"{place}/{field.alias or name}"
                yield from _parts(inner, field.annotation, within, marked=own)
        case str():
            yield _Part(place, value, template=marked)
        case list() | tuple():
            for i, item in enumerate(value):
                yield from _parts(item, _item(annotation), f"{place}/{i}", marked=marked)
        case dict():
            for key, item in value.items():
                yield from _parts(item, _item(annotation), f"{place}/{escaped(str(key))}", marked=marked)


def _marked(annotation: object) -> bool:
    """Whether a text so annotated is a template."""
    parts = get_args(annotation)
    if get_origin(annotation) is Annotated:
        return any(isinstance(mark, Template) for mark in parts[1:]) or _marked(parts[0])
    return get_origin(annotation) in (Union, UnionType) and any(_marked(part) for part in parts)


def _item(annotation: object) -> object:
    """What the items of a list, or the values of a dict, are annotated with."""
    parts = [part for part in get_args(annotation) if part not in (NoneType, ...)]
    if get_origin(annotation) is Annotated:
        return _item(parts[0])
    if get_origin(annotation) in (Union, UnionType):
        several = [part for part in parts if get_origin(part) in (list, tuple, dict, Sequence, Annotated)]
        return _item(several[0]) if several else None
    return parts[-1] if parts else None


def _condition(
    condition: Condition, setting: Setting, steps: Mapping[str, Mapping[str, FieldType]]
) -> Iterator[Problem]:
    found = conditions.check(condition, setting.registry, steps)
    yield from found or impossible.in_condition(condition, setting)


def _basis(schedule: Schedule, setting: Setting) -> Iterator[Problem]:
    if schedule.basis == "now":
        yield from impossible.in_schedule(schedule)
        return
    try:
        field = setting.registry.find(schedule.basis)
    except UnknownField as unknown:
        yield Problem(place="/basis", message=str(unknown))
        return
    if field.type not in ("date", "datetime", "booking") or field.multiple:
        what = f"several values of type {field.type}" if field.multiple else f"of type {field.type}"
        yield Problem(place="/basis", message=f"{schedule.basis} is no date but {what}")


# -- words --------------------------------------------------------------------------------------------
def _known(place: str, what: str, name: str, names: Iterable[str]) -> Iterator[Problem]:
    if name not in names:
        yield _unknown(place, what, name, names)


def _unknown(place: str, what: str, name: str, names: Iterable[str]) -> Problem:
    return Problem(place=place, message=unknown(what, name, names))


def _within(place: str, problems: Iterable[Problem]) -> Iterator[Problem]:
    for problem in problems:
        yield problem.model_copy(update={"place": place + problem.place})
