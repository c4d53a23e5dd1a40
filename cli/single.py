"""One `jalon up` per home folder, also after the one before was killed."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

import psutil

from cli.errors import Trouble


@contextlib.contextmanager
def only_one(home: Path) -> Iterator[None]:
    """Hold the home folder; raises `Trouble` if another `jalon up` holds it."""
    with (home / "up.lock").open("a+", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            pid = handle.read().strip() or "?"
            raise Trouble(
                f"already running as process {pid} with the data in {home}: stop it (kill {pid}),"
                " or set JALON_HOME to another folder (and other ports)"
            ) from None
        handle.truncate(0)
        handle.write(f"{os.getpid()}\n")
        handle.flush()
        yield


def remember(home: Path, pids: list[int]) -> None:
    """Note the children, so that the next start can end those that outlived a killed parent."""
    known = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            known.append([pid, psutil.Process(pid).create_time()])
    fresh = home / "children.new"
    fresh.write_text(json.dumps(known))
    fresh.replace(home / "children.json")


def end_leftovers(home: Path) -> int:
    """End the children of a `jalon up` that was killed; how many there were.

    A process counts only if its start time is the noted one: numbers are used again.
    """
    try:
        known = json.loads((home / "children.json").read_text())
    except (OSError, ValueError):
        return 0
    left = []
    for pid, created in known:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            if process.create_time() == created:
                process.terminate()
                left.append(process)
    _, stubborn = psutil.wait_procs(left, timeout=30)
    for process in stubborn:
        process.kill()
    psutil.wait_procs(stubborn, timeout=10)
    return len(left)
