"""What both run on: one tuned development server, one PostgreSQL that forces its log to disk, workers."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from socket import socket
from typing import BinaryIO

import psutil
from temporalio.client import Client

from cli.embedded_postgres import Cluster
from cli.embedded_temporal import DevelopmentServer
from db.engine import Database
from db.migrate import ensure_database, upgrade
from db.settings import Settings
from db.temporal import connect
from tests.bench.beacon import Listener, listen

ROOT = Path(__file__).resolve().parents[2]


class Ground:
    """The servers, the bench's own clients, and the workers that were started on them."""

    def __init__(self, home: Path, cluster: Cluster, address: str, database_url: str) -> None:
        self.home, self.address, self.database_url = home, address, database_url
        self.postmaster = int((cluster.data / "postmaster.pid").read_text().split()[0])
        self.temporal: subprocess.Popen[bytes]
        self.client: Client
        self.bare_client: Client
        self.database: Database
        self.listener: Listener
        self.port = 0
        self._workers: list[subprocess.Popen[bytes]] = []

    async def worker(self, module: str, queue: str) -> int:
        """Start a worker process on a queue; its id, once it works."""
        environment = {
            **os.environ, "BENCH_BEACON": str(self.port), "JALON_TASK_QUEUE": queue,
            "JALON_TEMPORAL_ADDRESS": self.address, "JALON_DATABASE_URL": self.database_url,
            "JALON_HOME": str(self.home),
        }  # fmt: skip
        ready = self.listener.expect("ready", queue)
        with (self.home / f"{queue}.log").open("ab") as log:
            process = _started([sys.executable, "-m", module], log, environment)
        self._workers.append(process)
        await asyncio.wait_for(ready.last, 60)
        return process.pid

    async def stop(self) -> None:
        for process in self._workers:
            process.kill()
            process.wait()
        await self.database.close()


@asynccontextmanager
async def ground() -> AsyncIterator[Ground]:
    """Everything in a folder of its own, gone at the end."""
    home = _home()
    cluster = Cluster(home / "postgres", durable=True)
    server = DevelopmentServer(home, port=_free_port(), ui_port=_free_port())
    temporal = None
    try:
        cluster.start()
        url = await ensure_database(cluster.dsn(), "bench")
        await asyncio.to_thread(upgrade, url)
        with (home / "temporal.log").open("ab") as log:
            temporal = _started(server.command(), log, dict(os.environ))
        on = Ground(home, cluster, server.address, url)
        on.temporal = temporal
        on.client = await _connected(Settings(temporal_address=server.address))
        on.bare_client = await Client.connect(server.address)
        on.database = Database(url, 25)
        on.listener, on.port = await listen()
        try:
            yield on
        except BaseException:
            _show_logs(home)
            raise
        finally:
            await on.stop()
    finally:
        if temporal:
            temporal.terminate()
            temporal.wait(15)
        cluster.stop()
        shutil.rmtree(home, ignore_errors=True)


def _home() -> Path:
    home = Path(tempfile.mkdtemp(prefix="jalon-bench-"))
    home.chmod(0o711)  # as root PostgreSQL runs as nobody, who has to come in
    return home


def _show_logs(home: Path) -> None:
    """What the processes said, before it is gone."""
    for log in home.glob("*.log"):
        said = log.read_text(errors="replace").splitlines()[-40:]
        print(f"── {log.name}", *said, sep="\n", file=sys.stderr)


def _started(
    command: Sequence[str], log: BinaryIO, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, env=environment, cwd=ROOT, stdout=log, stderr=log)


async def _connected(settings: Settings) -> Client:
    while True:
        try:
            return await connect(settings)
        except RuntimeError:  # not yet
            await asyncio.sleep(0.2)


def _free_port() -> int:
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cpu_of(pid: int) -> float:
    """User and system seconds of a process."""
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def cpu_of_tree(pid: int) -> float:
    """The same of PostgreSQL: the postmaster and its children, living and dead."""
    process = psutil.Process(pid)
    used = sum(process.cpu_times()[:4])
    for child in process.children():
        with suppress(psutil.NoSuchProcess):  # then it is among the dead next time
            used += cpu_of(child.pid)
    return used


def busy() -> float:
    """Seconds all cores together have worked since the machine started."""
    now = psutil.cpu_times()
    return float(now.user + now.nice + now.system + now.softirq + now.steal)
