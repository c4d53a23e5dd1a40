"""Workflow tasks that fail while tests run: no test may pass that makes one fail.

What fails in this process is said by the client's core, whose warnings are forwarded here; what fails in
other processes stands in their logs.
"""

from __future__ import annotations

import logging
import re
from typing import Final

SAYS: Final = "Failing workflow task"
"""What the core says of each."""
STARVED: Final = "TMPRL1101"
"""The machine had no time for a task: that says nothing of the journey."""
_LOGGER: Final = logging.getLogger("temporal.core")


class _Ear(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.heard: list[str] = []
        self.on_purpose: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        said = record.getMessage()
        if failed(said) and not self.on_purpose.intersection(_RUN.findall(said)):
            self.heard.append(said[:600])


_RUN: Final = re.compile(r"'run_id': '([^']+)'")
_EAR: Final = _Ear()


def failed(line: str) -> bool:
    """Whether a line of a log tells of a workflow task that failed."""
    return SAYS in line and STARVED not in line


def so_far() -> list[str]:
    """What has failed in the present test. The core says it a little later than it happens."""
    return [*_EAR.heard]


def take() -> list[str]:
    """What has failed in the test that ends."""
    found, _EAR.heard = _EAR.heard, []
    return found


def forget(lines: list[str]) -> None:
    """These failed on purpose, and whatever else is said of the same runs."""
    _EAR.on_purpose.update(run for line in lines for run in _RUN.findall(line))


def listen() -> None:
    """Hear of all workers of this process. Before anything connects to Temporal."""
    from temporalio.runtime import (
        LogForwardingConfig,
        LoggingConfig,
        Runtime,
        TelemetryConfig,
        TelemetryFilter,
    )

    if _EAR in _LOGGER.handlers:
        return
    _LOGGER.addHandler(_EAR)
    _LOGGER.setLevel(logging.WARNING)
    logs = LoggingConfig(
        filter=TelemetryFilter(core_level="WARN", other_level="ERROR"),
        forwarding=LogForwardingConfig(logger=_LOGGER),
    )
    # whoever has connected before is a client of other processes alone: no worker here runs on its runtime
    Runtime.set_default(Runtime(telemetry=TelemetryConfig(logging=logs)), error_if_already_set=False)
