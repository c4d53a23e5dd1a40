"""The engine against the independent reference model, on random scenarios."""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.model import drive, reference, scenarios
from tests.model.with_tasks import task_scenario


def assert_equal_journals(seed: int, *, tasks: bool = False) -> None:
    scenario = task_scenario(seed) if tasks else scenarios.random_scenario(random.Random(seed))
    expected = drive.compared(reference.run(scenario))
    found = drive.compared(drive.run(scenario, scenarios.FIELD_TYPES))
    missing, extra = sorted((expected - found).elements()), sorted((found - expected).elements())
    assert (missing, extra) == ([], []), f"seed {seed}"


@pytest.mark.parametrize("first", range(0, 2000, 250))
def test_the_engine_writes_the_journal_of_the_model(first: int) -> None:
    for seed in range(first, first + 250):
        assert_equal_journals(seed)


@pytest.mark.parametrize("first", range(0, 1500, 250))
def test_it_does_so_where_chains_wait_for_tasks(first: int) -> None:
    for seed in range(first, first + 250):
        assert_equal_journals(seed, tasks=True)


def test_a_wait_whose_time_is_out_and_that_is_superseded_does_not_cut_off_its_kept_chain() -> None:
    assert_equal_journals(889_882_652_263_208)


# on a build machine the same seeds each time: one that nobody has seen is found at a desk, and becomes a test
@settings(max_examples=500, deadline=None, derandomize=bool(os.environ.get("CI")))
@given(st.integers(min_value=100_000))
def test_the_engine_writes_the_journal_of_the_model_on_seeds_never_seen(seed: int) -> None:
    assert_equal_journals(seed)
