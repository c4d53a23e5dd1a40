"""Real loan applications: journals are those of the reference model, entry by entry."""

from temporalio.testing import WorkflowEnvironment

from db.engine import Database
from tests.traces import on_stack
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


async def test_fifty_cases_have_equal_journals_on_the_whole_stack(
    database: Database, database_url: str, temporal: WorkflowEnvironment
) -> None:
    summary = await on_stack.tell(BESIDE, 50, temporal, database, database_url)
    assert (summary["cases"], summary["mismatches"]) == (50, 0)
