"""Drives the pure engine with a scenario: the counterpart of `reference.run`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from domain.calendar import Calendar
from domain.fields import Field, FieldType, parse
from domain.rule import Nature, Rule, RuleSet
from domain.simulator import Simulator
from domain.world import Pipeline

NATURES: dict[str, Nature] = {
    "wait": "wait",
    "control": "control",
    "send_email": "send",
    "change_stage": "transition",
    "change_status": "transition",
    "change_pipeline": "transition",
    "delete_record": "transition",
}


def nature(kind: str, params: object = None) -> Nature:
    return NATURES.get(kind, "database")


def pipelines(scenario: dict[str, Any]) -> dict[str, Pipeline]:
    return {
        name: Pipeline(
            {s["id"]: s["meaning"] for s in data["stages"]},
            RuleSet(
                stages={
                    k: [Rule.model_validate(r) for r in rules] for k, rules in data.get("rules", {}).items()
                }
            ),
        )
        for name, data in scenario["pipelines"].items()
    }


def run(
    scenario: dict[str, Any], types: Mapping[str, str], ready: dict[str, Pipeline] | None = None
) -> list[list[Any]]:
    """The journal of the scenario as the engine writes it."""
    zone, record = scenario["zone"], scenario["record"]
    calendar = scenario.get("calendar")

    def values(fields: dict[str, Any]) -> dict[str, object]:
        return {f"record.{k}": _typed(k, v, types) for k, v in fields.items()}

    world = Simulator(
        ready or pipelines(scenario),
        record["pipeline"],
        record["stage"],
        values(record["fields"]),
        nature,
        lambda reference, raw: _typed(reference.removeprefix("record."), raw, types),
        zone,
        Calendar.model_validate({"zone": zone} | calendar) if calendar else None,
    )
    seen: set[str] = set()
    first = True
    for event in scenario["events"]:
        at = datetime.fromisoformat(event["at"]).astimezone(UTC)
        if first:
            world.now = at
            first = False
        else:
            world.reach(at)
        match event["type"]:
            case "create":
                world.create()
            case "move":
                world.move(event["stage"])
            case "change_pipeline":
                world.change_pipeline(event["pipeline"], event.get("stage"))
            case "client" if event["id"] not in seen:
                seen.add(event["id"])
                world.client_acts(event["kind"])
            case "task":
                _close_tasks(world, event["rule"])
            case "edit":
                world.edit(values(event["fields"]))
            case "delete":
                world.delete()
    world.reach(datetime.fromisoformat(scenario["until"]).astimezone(UTC))
    return [
        [e.at.isoformat(timespec="microseconds"), e.visit_no, e.rule, e.outcome, e.reason]
        for e in world.entries
    ]


def _close_tasks(world: Simulator, rule: str) -> None:
    """A person completes all tasks of a rule, the oldest first."""
    for visit_no, waiting in sorted(world.holds):
        if waiting == rule:
            world.close_task(rule, visit_no=visit_no)


def compared(entries: list[list[Any]]) -> Counter[tuple[Any, ...]]:
    """Entries as they are compared: `stale` and `cancelled` are equal whatever their reasons and times."""
    return Counter(
        ("", no, rule, "cancelled", "")
        if outcome in ("cancelled", "stale")
        else (at, no, rule, outcome, reason)
        for at, no, rule, outcome, reason in entries
    )


def _typed(name: str, raw: object, types: Mapping[str, str]) -> object:
    named = types.get(name, "text")
    kind: FieldType = "text" if named == "multiple" else named  # type: ignore[assignment]  # the scenario's own table
    return parse(Field(name=name, type=kind, multiple=named == "multiple"), raw)
