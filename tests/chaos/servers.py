"""PostgreSQL, Temporal and the product's own programs as processes that a test may kill."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from cli.embedded_postgres import Cluster
from cli.embedded_temporal import DevelopmentServer
from cli.errors import Trouble

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 90.0
"""Seconds after which something that must come is given up."""


class Program:
    """One process of the product, with its log. `fail_points`: the file in which it notes where it died."""

    def __init__(self, folder: Path, name: str, command: list[str], settings: Mapping[str, str]) -> None:
        self.log, self.fail_points = folder / f"{name}.log", folder / f"{name}.died-at"
        mine = {key: value for key, value in os.environ.items() if not key.startswith("JALON_")}
        mine |= settings | {"JALON_FAIL_POINT_LOG": str(self.fail_points)}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, env=mine, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def says(self, words: str) -> bool:
        """Whether its log holds these words; it must not have ended before."""
        said = words in self.log.read_text(errors="replace")
        assert said or self.running, f"ended with {self.process.returncode}: {self.tail()}"
        return said

    def died_at(self) -> list[str]:
        """The fail-point it killed itself at, once it has."""
        return self.fail_points.read_text().split() if self.fail_points.exists() else []

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it at once, whatever state it is in."""
        if self.running:
            self.process.kill()
            self.process.wait()

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]


class Servers:
    """The two servers the product stands on. Killed, they come back with what they had on disk."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.cluster = Cluster(home / "postgres")  # a durable one: it will be killed
        self.temporal = DevelopmentServer(home, port=free_port(), ui_port=free_port())
        self._process: subprocess.Popen[bytes] | None = None

    def start_temporal(self) -> None:
        command = [*self.temporal.command(), "--headless"]
        with (self.home / "temporal.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def kill_temporal(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def kill_postgres(self) -> None:
        """As the kernel does when memory is out: the postmaster and all it has started, at once."""
        number = (self.cluster.data / "postmaster.pid").read_text().split("\n", 1)[0]
        postmaster = psutil.Process(int(number))
        family = [postmaster, *postmaster.children(recursive=True)]
        for process in family:
            process.kill()
        _, left = psutil.wait_procs(family, timeout=PATIENCE)
        # a zombie that nobody reaps is as good as gone
        assert [p for p in left if p.status() != psutil.STATUS_ZOMBIE] == []

    def start_postgres(self) -> None:
        """Start it, as soon as what is left of a killed one lets go of its memory."""

        def started() -> bool:
            try:
                self.cluster.start()
            except Trouble as trouble:
                if "shared memory" not in str(trouble) and "lock file" not in str(trouble):
                    raise
                return False
            return True

        wait_until(started, "PostgreSQL starts")

    def stop(self) -> None:
        """End both at once: nobody needs the data any more."""
        self.kill_temporal()
        if self.cluster.alive():
            self.kill_postgres()


def program(folder: Path, name: str, verb: str, settings: Mapping[str, str]) -> Program:
    """One of the product's programs: `worker`, `api`, `migrate`."""
    return Program(folder, name, [sys.executable, "-m", "cli", verb], settings)


def wait_until(holds: Callable[[], bool], what: str) -> None:
    """Wait for something that must come."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, f"did not happen: {what}"
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
