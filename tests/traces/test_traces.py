"""Real loan applications: the engine's journals are those of the reference model, entry by entry."""

from tests.traces.__main__ import replay
from tests.traces.log import BESIDE


def test_all_cases_of_the_log_have_equal_journals() -> None:
    summary = replay(BESIDE)
    assert summary["mismatches"] == 0
    assert (summary["cases"], summary["events"]) == (13_087, 262_200)
    steps = summary["steps"]
    for outcome in ("done", "skipped", "cancelled", "late"):
        assert sum(n for name, n in steps.items() if name.split()[0] == outcome) >= 1_000, outcome
    assert min(steps["done client"], steps["done time"]) >= 1_000
