"""What a rule may take of the clock, and of the event loop that all records of a worker share."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Coroutine, Generator, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")

BLOCKS: Final = 3.0
"""Seconds that a rule may keep the loop to itself, and so every other journey and the worker's heartbeats."""
_AGAIN: Final = 1.0  # what swallowed the first alarm hears another
_watched = False


class Overran(BaseException):
    """It took too long. Not an `Exception`: what a rule catches is not this."""


@contextmanager
def watching() -> Iterator[None]:
    """Inside the block whoever blocks the loop is interrupted, by a signal: so in the main thread alone."""
    global _watched  # noqa: PLW0603 - the signal's handler is the process's too
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before, _watched = signal.signal(signal.SIGALRM, _ring), True
    try:
        yield
    finally:
        _watched = False
        signal.signal(signal.SIGALRM, before)


async def bounded(work: Coroutine[Any, Any, T], seconds: float) -> T:
    """What `work` answers. Raises `Overran` when it takes more seconds, or blocks the loop for `BLOCKS`."""
    deadline = asyncio.timeout(seconds)
    try:
        async with deadline:
            return await _Stepped(work)
    except TimeoutError:
        if deadline.expired():
            raise Overran(f"it took more than {seconds:.0f} s") from None
        raise


class _Stepped(Generic[T]):
    """Awaits a coroutine, with an alarm set while its own code runs."""

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self._work = work

    def __await__(self) -> Generator[Any, Any, T]:
        work, answer, raised = self._work, None, None
        while True:
            if _watched:
                signal.setitimer(signal.ITIMER_REAL, BLOCKS, _AGAIN)
            try:
                awaited = work.send(answer) if raised is None else work.throw(raised)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]  # what the coroutine returns
            finally:
                if _watched:
                    signal.setitimer(signal.ITIMER_REAL, 0)
            try:
                answer, raised = (yield awaited), None
            except BaseException as error:  # noqa: BLE001 - handed on into the coroutine
                answer, raised = None, error


def _ring(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise Overran(f"it kept all others waiting for {BLOCKS:.0f} s")
