"""Places at which a process under test kills itself, to show that nothing is lost or done twice.

`JALON_FAIL_POINT=sending.after_250` kills at the first pass, `sending.after_250:3` at the third. The file
named by `JALON_FAIL_POINT_LOG` gets the name first, so that a test knows that it happened. Without the
variable nothing ever happens.
"""

from __future__ import annotations

import os
import signal
from functools import cache
from pathlib import Path

_LEFT: dict[str, int] = {}


def fail_point(name: str) -> None:
    """End this process at once, as `kill -9` does, if it was told to at this place."""
    if name not in _armed():
        return
    _LEFT[name] -= 1
    if _LEFT[name] == 0:
        _note(name)
        os.kill(os.getpid(), signal.SIGKILL)


@cache
def _armed() -> dict[str, int]:
    """The environment is read at the first pass, once."""
    name, _, times = os.environ.get("JALON_FAIL_POINT", "").partition(":")
    if name:
        _LEFT[name] = int(times or 1)
    return _LEFT


def _note(name: str) -> None:
    if log := os.environ.get("JALON_FAIL_POINT_LOG"):
        with Path(log).open("a", encoding="utf-8") as file:
            file.write(f"{name}\n")
            file.flush()
            os.fsync(file.fileno())
