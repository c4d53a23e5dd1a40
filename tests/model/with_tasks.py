"""Random scenarios in which chains wait for tasks: some rules and events of others are changed."""

from __future__ import annotations

import json
from copy import deepcopy
from random import Random
from typing import Any

from tests.model.scenarios import KNOWN, random_scenario

Json = dict[str, Any]

TIMEOUTS: tuple[Json, ...] = ({"minutes": 30}, {"hours": 1}, {"hours": 24}, {"days": 1}, {"days": 2})
BECOME_TASKS = ("add_comment", "create_todo", "notify")
BECOME_ENDS = ("client", "edit", "todo")


def task_scenario(seed: int, features: frozenset[str] = KNOWN) -> Json:
    """A third of the rules that only write are tasks, two in three of these hold their chain up."""
    rng = Random(seed)
    scenario = deepcopy(random_scenario(rng, features))
    made: list[str] = []
    said = json.dumps(scenario)

    def read(rule: str) -> bool:
        """A condition asks what became of it, and the id of a task is there before it has ended."""
        return f'"steps.{rule}.' in said

    for pipeline in scenario["pipelines"].values():
        for listed in pipeline["rules"].values():
            for rule in listed:
                if rule["kind"] in BECOME_TASKS and rng.randrange(3) == 0 and not read(rule["id"]):
                    rule["kind"], rule["params"] = "create_task", {"name": "look"}
                    if rng.randrange(3):
                        hold = {
                            "hold_until_closed": True,
                            "hold_timeout": TIMEOUTS[rng.randrange(len(TIMEOUTS))],
                        }
                        rule["params"] |= hold
                    made.append(rule["id"])
    for event in scenario["events"] if made else []:
        if event["type"] in BECOME_ENDS and rng.randrange(2):
            at = event["at"]
            event.clear()
            event.update({"at": at, "type": "task", "rule": made[rng.randrange(len(made))]})
    return scenario
