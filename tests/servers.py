"""The servers that tests run on: PostgreSQL that forces nothing to disk, Temporal under virtual time."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from tests import failed_tasks

if TYPE_CHECKING:  # loaded when a server is asked for
    from temporalio.testing import WorkflowEnvironment

    from cli.embedded_postgres import Cluster


@contextmanager
def postgres_server() -> Iterator[Cluster]:
    """A server of its own in a temporary folder."""
    from cli.embedded_postgres import Cluster

    folder = Path(tempfile.mkdtemp(prefix="jalon-tests-"))
    folder.chmod(0o755)  # as root the server runs as nobody, who has to come in
    cluster = Cluster(folder / "postgres", durable=False)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


async def temporal_server() -> WorkflowEnvironment:
    """Temporal's development server: `temporal.fast_forward(handle, delta)`. Use it in `async with`."""
    from temporalio.common import SearchAttributeKey
    from temporalio.testing import TimeSkippingConfig, WorkflowEnvironment

    from db.temporal import DATA_CONVERTER
    from domain.journey import SEARCH_ATTRIBUTES

    failed_tasks.listen()
    dynamic = (
        "frontend.WorkflowTimeSkippingEnabled=true", 'history.timerProcessorMaxTimeShift="1ms"',
        "history.maximumSignalsPerExecution=2000",
    )  # fmt: skip
    key_of = {
        "Keyword": SearchAttributeKey.for_keyword,
        "KeywordList": SearchAttributeKey.for_keyword_list,
        "Datetime": SearchAttributeKey.for_datetime,
    }
    return await WorkflowEnvironment.start_time_skipping_v2(
        ts_config=TimeSkippingConfig(enabled=False),
        data_converter=DATA_CONVERTER,
        search_attributes=[key_of[kind](name) for name, kind in SEARCH_ATTRIBUTES.items()],
        dev_server_existing_path=str(Path(sys.executable).parent / "temporal"),
        dev_server_log_level="error",
        dev_server_startup_timeout=timedelta(seconds=60),
        dev_server_extra_args=[part for value in dynamic for part in ("--dynamic-config-value", value)],
    )
