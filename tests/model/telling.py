"""Scenarios told in a line: rules, events and journals for the tests of the reference model."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tests.model.reference import run
from tests.model.reference_values import Json

ZONE = "Europe/Amsterdam"
WORK = {day: [["09:00", "12:00"], ["14:00", "18:00"]] for day in ("mon", "tue", "wed", "thu", "fri")}
STAGES = [
    {"id": "new", "meaning": "process"},
    {"id": "work", "meaning": "process"},
    {"id": "won", "meaning": "success"},
    {"id": "lost", "meaning": "failure"},
]
OTHER = [
    {"id": "o-new", "meaning": "process"},
    {"id": "o-won", "meaning": "success"},
    {"id": "o-lost", "meaning": "failure"},
]
START = "2026-01-05T09:00"  # a Monday
HOUR = {"after": {"hours": 1}}
DAY = {"after": {"days": 1}}


WAIT_WORDS = ("mode", "ends_on", "on_client", "on_timeout")


def rule(name: str, kind: str = "add_comment", **more: Any) -> Json:
    return {"id": name, "kind": kind, "params": more.pop("params", {}), **more}


def below(name: str, kind: str = "add_comment", **more: Any) -> Json:
    return rule(name, kind, after_previous=True, **more)


def wait(name: str, until: Json, **more: Any) -> Json:
    params = {"until": until, **{key: more.pop(key) for key in list(more) if key in WAIT_WORDS}}
    return rule(name, "wait", params=params, **more)


def control(name: str, deadline: Json, until: Json | None = None, **more: Any) -> Json:
    return rule(name, "control", params={"deadline": deadline, "until": until}, **more)


def go(name: str, stage: str, **more: Any) -> Json:
    return rule(name, "change_stage", params={"stage": stage}, **more)


def utc(wall: str) -> str:
    """The instant of a wall-clock time in Amsterdam in winter."""
    return datetime.fromisoformat(wall + "+01:00").isoformat()


def event(wall: str, what: str, **more: Any) -> Json:
    return {"at": utc(wall), "type": what, **more}


def move(wall: str, stage: str) -> Json:
    return event(wall, "move", stage=stage)


def call(wall: str, name: str = "c1", kind: str = "call") -> Json:
    return event(wall, "client", kind=kind, id=name)


def edit(wall: str, **fields: Any) -> Json:
    return event(wall, "edit", fields=fields)


def scenario(
    rules: dict[str, list[Json]] | list[Json],
    *events: Json,
    start: str = START,
    until: str = "2026-02-05T09:00",
    also: Json | None = None,
    **fields: Any,
) -> Json:
    """A record created in `new`. `also` are `people`, and what else there is to the pipeline."""
    by_stage = rules if isinstance(rules, dict) else {"new": rules}
    other = {stage: rules for stage, rules in by_stage.items() if stage.startswith("o-")}
    also = dict(also or {})
    return {
        "zone": ZONE,
        "calendar": {"week": WORK, "holidays": ["2026-01-01"]},
        "people": also.pop("people", {}),
        "pipelines": {
            "p": {"stages": STAGES, "rules": by_stage, **also},
            "other": {"stages": OTHER, "rules": other},
        },
        "record": {"pipeline": "p", "stage": "new", "fields": fields, "responsible": "ann"},
        "events": [event(start, "create"), *events],
        "until": utc(until),
    }


def journal(rules: dict[str, list[Json]] | list[Json], *events: Json, **more: Any) -> list[str]:
    """What happens in such a scenario, one line an entry, in Amsterdam's winter time."""
    found = run(scenario(rules, *events, **more))
    winter = datetime.fromisoformat(utc(START)).tzinfo
    lines = []
    for at, visit, name, outcome, reason in found:
        wall = datetime.fromisoformat(at).astimezone(winter).strftime("%m-%d %H:%M")
        lines.append(f"{wall} {visit} {name} {outcome} {reason}".strip())
    return lines


def task(name: str, **more: Any) -> Json:
    """A task that its chain waits for, for four hours at most."""
    return rule(name, "create_task", params={"hold_until_closed": True, "hold_timeout": {"hours": 4}}, **more)
