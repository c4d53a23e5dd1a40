"""The engine against the independent reference model, on random scenarios."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.model import comparing


@pytest.mark.parametrize("first", range(1000, 3500, 250))
def test_the_engine_writes_the_journal_of_the_model(first: int) -> None:
    assert comparing.compare(range(first, first + 250)) == {}


def test_a_wait_whose_time_is_out_and_that_is_superseded_does_not_cut_off_its_kept_chain() -> None:
    assert comparing.compare([889_882_652_263_208], frozenset()) == {}


# on a build machine the same seeds each time: one that nobody has seen is found at a desk, and becomes a test
@settings(max_examples=500, deadline=None, derandomize=bool(os.environ.get("CI")))
@given(st.integers(min_value=100_000))
def test_the_engine_writes_the_journal_of_the_model_on_seeds_never_seen(seed: int) -> None:
    assert comparing.compare([seed]) == {}
