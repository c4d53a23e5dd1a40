"""Random scenarios on the whole stack: its journals are those of the reference model."""

from __future__ import annotations

import pytest
from temporalio.testing import WorkflowEnvironment

from db.engine import Database
from tests import door
from tests.model import scenarios
from tests.model.comparing import drawn
from tests.model.on_stack import later, tell

SEEDS = 24


async def test_random_scenarios_have_the_journals_of_the_model(
    database: Database, database_url: str, temporal: WorkflowEnvironment
) -> None:
    assert await tell(range(SEEDS), door.KNOWS, temporal, database, database_url) == {}


@pytest.mark.parametrize("feature", sorted(scenarios.FEATURES - door.KNOWS - {"sent"}))
def test_what_the_driver_has_not_learnt_is_refused_and_not_left_out(feature: str) -> None:
    with pytest.raises(ValueError, match="here"):
        for seed in range(0, 200, 2):
            door.refuse_untold(drawn(seed, door.KNOWS | {feature}))


def test_what_the_driver_has_learnt_is_told() -> None:
    for seed in range(200):
        door.refuse_untold(drawn(seed, door.KNOWS))


def test_everything_in_a_scenario_moves_by_whole_weeks() -> None:
    moved = later({"at": "2026-02-02T08:00:00+00:00", "days": ["2026-02-03"], "text": "2026"}, 1)
    assert moved == {"at": "2026-02-09T08:00:00+00:00", "days": ["2026-02-10"], "text": "2026"}
