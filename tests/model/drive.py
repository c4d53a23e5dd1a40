"""Drives the pure engine with a scenario: the counterpart of `reference.run`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import JsonValue

from domain.calendar import Calendar
from domain.fields import Field, FieldType, parse
from domain.period import Period
from domain.rule import Nature, Rule, RuleSet
from domain.simulator import Simulator
from domain.world import Person, Pipeline

NATURES: dict[str, Nature] = {
    "wait": "wait",
    "control": "control",
    "send_email": "send",
    "change_stage": "transition",
    "change_status": "transition",
    "change_pipeline": "transition",
    "delete_record": "transition",
}
GIVES = {"add_comment": {"id": 1}, "create_todo": {"id": 1}, "send_email": {"message_id": "<1@jalon>"}}
"""What effects leave for later rules to read, by kind."""


def nature(kind: str, params: Mapping[str, JsonValue]) -> Nature:
    sets = params.get("set") if kind == "edit_record" else None
    named = [one.get("field") for one in sets if isinstance(one, dict)] if isinstance(sets, list) else []
    return "transition" if {"stage", "record.stage"} & {*named} else NATURES.get(kind, "database")


def pipelines(scenario: dict[str, Any]) -> dict[str, Pipeline]:
    return {
        name: Pipeline(
            {s["id"]: s["meaning"] for s in data["stages"]},
            RuleSet(
                stages={
                    k: [Rule.model_validate(r) for r in rules] for k, rules in data.get("rules", {}).items()
                }
            ),
            Period.model_validate(data["grace"]).span if data.get("grace") else timedelta(0),
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
        scenario.get("workflow_id", "deal-1"),
        gives=GIVES,
    )
    world.people = {who: _person(own, zone) for who, own in scenario.get("people", {}).items()}
    world.responsible = record.get("responsible", "")
    seen: set[str] = set()
    for i, event in enumerate(scenario["events"]):
        at = _instant(event["at"])
        if i == 0:
            world.now = at
        else:
            world.reach(at)
        world.deaf = bool(event.get("through"))  # the journey hears of nothing before all is over
        for stage in event.get("through", []):
            world.move(stage)
        if event["type"] != "client" or event["id"] not in seen:
            _tell(world, event, values(event.get("fields", {})))
        if world.deaf:
            world.listen()
        seen |= {event["id"]} if event["type"] == "client" else set()
    world.reach(_instant(scenario["until"]))
    numbers = {no: n for n, no in enumerate(world.visits, 1)}  # a deletion takes a number, and is no visit
    return [
        [e.at.isoformat(timespec="microseconds"), numbers[e.visit_no], e.rule, e.outcome, e.reason]
        for e in world.entries
    ]


def _tell(world: Simulator, event: dict[str, Any], fields: dict[str, object]) -> None:
    match event["type"]:
        case "create" | "delete" | "restore" as plain:
            getattr(world, plain)()
        case "suspend" | "resume" if world.deleted and event.get("scope", "record") == "record":
            pass  # in the bin nobody hears of it
        case "suspend" | "resume" as verb:
            getattr(world, verb)(event.get("scope", "record"))
        case "change_pipeline":
            world.change_pipeline(event["pipeline"], event.get("stage"))
        case "move" | "edit" if "stage" in event:
            world.move(event["stage"], fields)
        case "edit":
            world.edit(fields)
        case "client":
            world.client_acts(event["kind"])
        case "task":
            _close_tasks(world, event["rule"])
        case "responsible":
            world.hand_to(event["who"])
        case "absence":
            world.absent(event["who"], _instant(event["from"]), _instant(event["to"]))
        case "operate":
            due = _instant(event["due"]) if event.get("due") else None
            numbers = dict(enumerate(world.visits, 1))
            visit_no = numbers.get(event["visit"], -1) if "visit" in event else 0
            world.operate(event["verb"], event["rule"], due, visit_no)


def _person(own: dict[str, Any], zone: str) -> Person:
    absences = [(_instant(since), _instant(until)) for since, until in own.get("absences", [])]
    calendar, zone_of = own.get("calendar"), own.get("zone", "")
    found = Calendar.model_validate({"zone": zone_of or zone} | calendar) if calendar else None
    return Person(absences, zone_of, found)


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


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
