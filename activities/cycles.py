"""Moves that go round for ever: found before rules are published, also across pipelines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from activities.effect import Setting
from activities.places import escaped
from domain.fields import Problem
from domain.rule import Rule, RuleSet

Spot = tuple[str, str]
"""A pipeline and a stage of it."""


def cycles(rules: RuleSet, setting: Setting, others: Mapping[str, RuleSet]) -> list[Problem]:
    """Rounds of moves that neither a condition nor time would ever stop, each where it starts here."""
    known = {pipeline: found for pipeline, found in others.items() if pipeline in setting.stages}
    known[setting.pipeline] = rules
    moves: dict[Spot, tuple[int, Spot]] = {}
    for pipeline, published in known.items():
        for stage, listed in published.stages.items():
            if move := _first_move((pipeline, stage), listed, setting):
                moves[pipeline, stage] = move
    problems: list[Problem] = []
    walked: set[Spot] = set()
    for stage in rules.stages:
        path: dict[Spot, None] = {}
        spot = (setting.pipeline, stage)
        while spot in moves and spot not in path and spot not in walked:
            path[spot] = None
            spot = moves[spot][1]
        walked |= path.keys()
        spots = [*path]
        spots = spots[spots.index(spot) :] if spot in path else []
        own = next((i for i, (pipeline, _) in enumerate(spots) if pipeline == setting.pipeline), None)
        if own is not None:
            spots = spots[own:] + spots[:own]
            problems.append(_spelled_out(spots, moves[spots[0]][0], setting.pipeline))
    return problems


def _spelled_out(spots: list[Spot], i: int, own: str) -> Problem:
    across = any(pipeline != own for pipeline, _ in spots)
    names = [f"{pipeline}/{stage}" if across else stage for pipeline, stage in [*spots, spots[0]]]
    message = "without a condition and without delay the record would go round for ever"
    place = f"/stages/{escaped(spots[0][1])}/{i}"
    return Problem(place=place, message=f"{' → '.join(names)}: {message}")


def _first_move(here: Spot, listed: Sequence[Rule], setting: Setting) -> tuple[int, Spot] | None:
    """The rule that always and at once moves a record out of a stage, and to where: the first one wins."""
    prompt = sure = True
    for i, rule in enumerate(listed):
        if not rule.after_previous:
            prompt = sure = True
        if not rule.active:
            continue
        sure = rule.condition is None and (sure or rule.run_if_previous != "done")
        prompt = prompt and rule.schedule.immediate and not _delays(rule)
        if prompt and sure and rule.repeat == "every_visit":
            if rule.kind == "delete_record":
                return None
            to = _target(rule, here, setting)
            if to and to != here:
                return i, to
    return None


def _delays(rule: Rule) -> bool:
    """Whether what stands below the rule has to wait for more than the rule's work."""
    blocks = rule.kind == "wait" and rule.params.get("mode", "block") == "block"
    waits = rule.condition is not None and rule.if_false == "wait"
    return blocks or waits or bool(rule.params.get("hold_until_closed"))


def _target(rule: Rule, here: Spot, setting: Setting) -> Spot | None:
    """Where a transition leads, as far as its parameters say."""
    pipeline, stage = here
    params = rule.params
    match rule.kind:
        case "change_stage":
            return pipeline, str(params.get("stage"))
        case "change_status":
            return pipeline, str(params.get("status", params.get("stage")))
        case "change_pipeline":
            to = str(params.get("pipeline"))
            meanings, meaning = setting.stages.get(to, {}), setting.stages.get(pipeline, {}).get(stage)
            landing = next((s for s, means in meanings.items() if means == meaning), None)
            chosen = params.get("stage") or landing
            return (to, str(chosen)) if chosen else None
        case "edit_record":
            edits = params.get("set")
            values = [_stage_set(edit) for edit in edits] if isinstance(edits, list) else []
            return next(((pipeline, value) for value in values if value), None)
    return None


def _stage_set(edit: JsonValue) -> str | None:
    if not isinstance(edit, dict) or edit.get("field") not in ("stage", "record.stage"):
        return None
    return str(edit.get("value"))
