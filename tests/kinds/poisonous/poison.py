"""`poison`: a rule that goes wrong in the way it is told to. It is a kind in tests alone."""

from __future__ import annotations

import asyncio
import builtins
import os
import signal
import time
from typing import ClassVar

from pydantic import JsonValue
from sqlalchemy import text

from activities.act import Act
from activities.effect import Done, Effect

TRIED: dict[str, int] = {}
"""How often each way was tried in this process."""


class Poison(Effect):
    """Goes wrong `how` it is told to (the name of an exception, or in words), the first `times` times."""

    kind: ClassVar[str] = "poison"
    title: ClassVar[str] = "Poison"
    example: ClassVar[dict[str, JsonValue]] = {"how": "ValueError"}
    seconds: ClassVar[float] = 0.5

    how: str
    times: int = 1000

    async def apply(self, act: Act) -> Done:
        return await _go_wrong(self.how, self.times, act)


class Venom(Effect):
    """The same, of a kind that writes by itself: `how`, `times`."""

    kind: ClassVar[str] = "venom"
    title: ClassVar[str] = "Venom"
    example: ClassVar[dict[str, JsonValue]] = {"how": "ValueError"}
    executes: ClassVar[bool] = True
    seconds: ClassVar[float] = 0.5

    how: str
    times: int = 1000

    async def apply(self, act: Act) -> Done:
        await act.tx.execute(text("update employee set phone = 'poisoned'"))
        return await _go_wrong(self.how, self.times, act)


async def _go_wrong(how: str, times: int, act: Act) -> Done:
    TRIED[how] = TRIED.get(how, 0) + 1
    if TRIED[how] > times:
        return Done()
    match how:
        case "hangs":
            await asyncio.sleep(600)
        case "blocks":
            time.sleep(30)  # noqa: ASYNC251 - that is the point
        case "spins":
            _spin(time.monotonic() + 30)
        case "slow query":
            await act.tx.execute(text("select pg_sleep(30)"))
        case "wrong query":
            await act.tx.execute(text("select no_such_column from record"))
        case "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        case "answers nothing":
            return None  # type: ignore[return-value]  # that is the point
        case "no JSON":
            return Done({"found": object()})  # type: ignore[dict-item]  # that is the point
        case "no such table":
            return Done(rows=(act.rows("nowhere", {"a": 1}),))
        case _:
            raise _error(how)
    return Done()


def _spin(until: float) -> None:
    while time.monotonic() < until:
        pass


def _error(name: str) -> BaseException:
    known = {"CancelledError": asyncio.CancelledError, "ExceptionGroup": _group}
    made = known.get(name) or getattr(builtins, name)
    error = made("by the rule")
    assert isinstance(error, BaseException)
    return error


def _group(said: str) -> ExceptionGroup[OSError]:
    return ExceptionGroup(said, [OSError("inner")])
