"""Keeps child processes running: starts again what dies, stops them in order."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

Say = Callable[[str], None]

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
HEALTHY_AFTER = 30.0
"""Seconds after which a child counts as well: its next death starts the pauses anew."""


@dataclass
class Child:
    """One program to be kept running. `log`: where its output goes; None: to the terminal."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    directory: Path
    log: Path | None = None
    patience: float = 30.0
    """Seconds it may take to end after SIGTERM."""
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    pause: float = FIRST_PAUSE
    started: float = 0.0
    due: float | None = None

    def start(self) -> None:
        """Start it in a session of its own, so that Ctrl-C reaches only the supervisor."""
        output = None
        if self.log is not None:
            output = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self.process = subprocess.Popen(
                self.command,
                env=dict(self.environment),
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                umask=0o077,
            )
        finally:
            if output is not None:
                os.close(output)
        self.started, self.due = time.monotonic(), None

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None


class Supervisor:
    """Watches the children it was given. Not thread-safe: one loop calls it."""

    def __init__(self, say: Say) -> None:
        self.say = say
        self.children: list[Child] = []

    def start(self, child: Child) -> None:
        """Start the child and watch it from now on."""
        child.start()
        self.children.append(child)

    def pids(self) -> list[int]:
        """The processes that were started last, one a child."""
        return [child.process.pid for child in self.children if child.process is not None]

    def watch(self) -> None:
        """Look once at each child; start again what has died and whose pause is over."""
        now = time.monotonic()
        for child in self.children:
            if child.running:
                continue
            if child.due is None:
                if now - child.started > HEALTHY_AFTER:
                    child.pause = FIRST_PAUSE
                child.due = now + child.pause
                self.say(f"{child.name} ended ({_how(child)}); starting it again in {child.pause:g} s")
                child.pause = min(child.pause * 2, LONGEST_PAUSE)
            elif now >= child.due:
                child.start()
                self.say(f"{child.name} runs again")

    def stop(self, *names: str) -> None:
        """Ask these children to end, all at once, wait for each, and kill what will not."""
        ending = [child for child in self.children if child.name in names]
        self.children = [child for child in self.children if child.name not in names]
        for child in ending:
            if child.process is not None and child.running:
                child.process.send_signal(signal.SIGTERM)
        for child in ending:
            if child.process is None:
                continue
            try:
                child.process.wait(child.patience)
            except subprocess.TimeoutExpired:
                self.say(f"{child.name} did not end within {child.patience:g} s: killed")
                child.process.kill()
                child.process.wait()


def _how(child: Child) -> str:
    code = child.process.returncode if child.process else None
    return f"signal {signal.Signals(-code).name}" if code is not None and code < 0 else f"code {code}"
