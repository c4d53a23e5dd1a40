"""`jalon up`: everything on one machine, in the right order, until it is told to stop."""

import asyncio
import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

import typer
from pydantic import SecretStr

from cli.embedded_postgres import Cluster
from cli.embedded_temporal import DevelopmentServer
from cli.errors import Trouble, answers, free_port, require_free_port
from cli.single import end_leftovers, only_one, remember
from cli.supervisor import Child, Supervisor
from cli.web_ui import NAMES, WebUiDoor
from db.settings import Settings

CODE = Path(__file__).resolve().parent.parent
DATABASE = "jalon"
LOOK_EVERY = 0.2
API_WITHIN = 30.0  # seconds


class Installation:
    """The processes of one home folder. `run()` returns after SIGINT or SIGTERM; raises `Trouble`.

    `sample`: a database without pipelines gets a sample company.
    """

    def __init__(self, settings: Settings, *, sample: bool) -> None:
        self.settings, self.sample = settings, sample
        self.home = settings.home
        self.supervisor = Supervisor(self._say)
        self.stopping = False
        self.cluster = None if settings.database_url else Cluster(self.home / "postgres")
        self.temporal = None
        if not settings.temporal_address:
            self.temporal = DevelopmentServer(
                self.home, settings.temporal_port, free_port(), settings.temporal_namespace
            )
        self.web_ui: WebUiDoor | None = None
        self.environment = dict(os.environ)

    def run(self) -> None:
        """Start, watch, stop."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._ask_to_stop)
        try:
            # as root PostgreSQL runs as nobody, who must be able to enter, not to look
            self.home.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
            (self.home / "log").mkdir(exist_ok=True)
        except OSError as refused:
            hint = "set JALON_HOME to a folder of yours"
            raise Trouble(f"{self.home}: {refused.strerror}; {hint}") from refused
        with only_one(self.home):
            if left := end_leftovers(self.home):
                self._say(f"ended {left} processes of a start that was killed")
            self._require_ports()
            try:
                self._start()
                self._watch()
            finally:
                self._stop()

    def _require_ports(self) -> None:
        settings = self.settings
        require_free_port(settings.api_host, settings.api_port, "API", "JALON_API_PORT")
        if self.temporal:
            host = self.temporal.host
            require_free_port(host, self.temporal.port, "Temporal", "JALON_TEMPORAL_PORT")
            require_free_port(host, settings.temporal_ui_port, "Temporal's Web UI", "JALON_TEMPORAL_UI_PORT")
        if settings.mail_in_port:
            require_free_port(settings.mail_in_host, settings.mail_in_port, "mail", "JALON_MAIL_IN_PORT")

    def _start(self) -> None:
        from db.migrate import ensure_database

        self._say(f"starting, with the data in {self.home} …")
        address = self.settings.temporal_address
        if self.temporal:
            address = self.temporal.address
            command, log = self.temporal.command(), self.home / "log" / "temporal.log"
            self._add(Child("Temporal", command, dict(os.environ), self.home, log, patience=15))
            self._open_web_ui(self.temporal)
        url = self.settings.database_url
        if self.cluster:
            self.cluster.start()
            url = asyncio.run(ensure_database(self.cluster.dsn(), DATABASE))
        self.environment |= {
            "JALON_DATABASE_URL": url,
            "JALON_TEMPORAL_ADDRESS": address,
            "JALON_API_KEY": self._kept(self.settings.api_key, "api-key"),
            "JALON_REPLY_SECRET": self._reply_secret(),
            "JALON_HOME": str(self.home),
        }
        if self.stopping:
            return
        self._migrate()
        if self.stopping:
            return
        parts = [("the worker", "worker"), ("the API", "api")]
        parts += [("the mail listener", "mail")] if self.settings.mail_in_port else []
        for name, verb in parts:
            self._add(Child(name, [sys.executable, "-m", "cli", verb], self.environment, CODE))
        self._wait_for_api()
        self._say_where()

    def _wait_for_api(self) -> None:
        """Whoever is told where it is may call it at once; one that takes longer is told of all the same."""
        until = time.monotonic() + API_WITHIN
        while not self.stopping and time.monotonic() < until:
            if answers(self.settings.api_host, self.settings.api_port):
                return
            self.supervisor.watch()
            time.sleep(LOOK_EVERY)

    def _open_web_ui(self, temporal: DevelopmentServer) -> None:
        names = NAMES | frozenset(self.settings.temporal_ui_hosts)
        self.web_ui = WebUiDoor(temporal.host, self.settings.temporal_ui_port, temporal.ui_port, names)
        self.web_ui.open()

    def _migrate(self) -> None:
        command = [sys.executable, "-m", "cli", "migrate", *(["--sample"] if self.sample else [])]
        with subprocess.Popen(command, env=self.environment, cwd=CODE, start_new_session=True) as migration:
            while migration.poll() is None:
                if self.stopping:
                    migration.terminate()
                time.sleep(0.05)
        if migration.returncode and not self.stopping:
            raise Trouble("the database or Temporal could not be brought up to date (see above)")

    def _watch(self) -> None:
        known: list[int] = []
        while not self.stopping:
            time.sleep(LOOK_EVERY)
            self.supervisor.watch()
            pids = self.supervisor.pids()
            if pids != known:
                remember(self.home, pids)
                known = pids
            if self.cluster and not self.cluster.alive():
                self._say("PostgreSQL ended; starting it again")
                try:
                    self.cluster.start()
                except Trouble as trouble:  # the dead server's children may need a moment to go
                    self._say(f"not yet: {str(trouble).splitlines()[0]}")
                    time.sleep(1)

    def _stop(self) -> None:
        self._say("stopping …")
        self.supervisor.stop("the worker", "the API", "the mail listener")
        self.supervisor.stop("Temporal")
        if self.web_ui:
            self.web_ui.close()
        if self.cluster:
            self.cluster.stop()
        remember(self.home, [])
        self._say("stopped")

    def _add(self, child: Child) -> None:
        self.supervisor.start(child)
        remember(self.home, self.supervisor.pids())

    def _reply_secret(self) -> str:
        """Nobody can answer where no mail is taken in: then no record has an address."""
        given = self.settings.reply_secret
        return self._kept(given, "reply-secret") if self.settings.mail_in_port else given.get_secret_value()

    def _kept(self, given: SecretStr, name: str) -> str:
        """The secret that was given, else the one this installation made and keeps under that name."""
        if given.get_secret_value():
            return given.get_secret_value()
        path = self.home / name
        if not path.exists():
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(secrets.token_urlsafe(32) + "\n")
        return path.read_text(encoding="utf-8").strip()

    def _say_where(self) -> None:
        self._say(f"API           {self.settings.base_url}/api/v1/openapi.json")
        if self.temporal:
            self._say(f"Temporal UI   http://{self.temporal.host}:{self.settings.temporal_ui_port}")
        else:
            self._say(f"Temporal      {self.settings.temporal_address}")
        given = self.settings.api_key.get_secret_value()
        self._say(f"API key       {'as set in JALON_API_KEY' if given else self.home / 'api-key'}")
        if not self.settings.smtp_host:
            self._say("mails         are written to the log below; set JALON_SMTP_HOST to send them")
        if self.settings.mail_in_port:
            where = f"{self.settings.mail_in_host}:{self.settings.mail_in_port}"
            self._say(f"mail of clients is taken in at {where} (SMTP)")
        self._say("Ctrl-C stops everything; the next start finds the data again")

    def _ask_to_stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stopping = True

    @staticmethod
    def _say(text: str) -> None:
        typer.echo(f"jalon: {text}")
        sys.stdout.flush()
