"""One random scenario on the reference model and on the engine: what only one of them has written."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Any

from tests.model import drive, reference, scenarios
from tests.model.with_tasks import task_scenario

Json = dict[str, Any]


def drawn(seed: int, features: frozenset[str] = scenarios.KNOWN) -> Json:
    """The scenario of a seed; in every second one chains wait for tasks."""
    if seed % 2:
        return task_scenario(seed, features)
    return scenarios.random_scenario(Random(seed), features)


def different(scenario: Json) -> Json:
    """What only the model has written and what only the engine; empty if both agree."""
    return apart(reference.run(scenario), drive.run(scenario, scenarios.FIELD_TYPES))


def apart(model: list[list[Any]], product: list[list[Any]]) -> Json:
    expected, found = drive.compared(model), drive.compared(product)
    if expected == found:
        return {}
    return {
        "only the model": sorted((expected - found).elements()),
        "only the product": sorted((found - expected).elements()),
    }


def compare(seeds: Iterable[int], features: frozenset[str] = scenarios.KNOWN) -> dict[int, Json]:
    """The differences on the engine, by seed."""
    found = {seed: different(drawn(seed, features)) for seed in seeds}
    return {seed: difference for seed, difference in found.items() if difference}
