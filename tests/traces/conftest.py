"""The log is not part of the repository: where it lies beside it, its tests are collected."""

from tests.traces.log import BESIDE

collect_ignore = [] if BESIDE.exists() else ["test_traces.py"]


def pytest_report_header() -> str:
    return f"real journeys: {BESIDE if BESIDE.exists() else 'no log beside the repository, not collected'}"
