"""How one attempt goes about its acts, and whose fault it is what was raised in it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from db.mishaps import is_too_slow, passes
from domain.errors import Unreadable

PLANNING: Final = -1
"""The number, among those of the acts of a step, that stands for computing its due time."""


class Key(NamedTuple):
    """An act of a record."""

    visit_no: int
    rule: str
    n: int


class Condemned(NamedTuple):
    """Why an act is not tried any more: the reason its step fails with, and the same in words."""

    reason: str
    why: str


class Faulted(Exception):
    """An act came to no outcome: `error` was raised in it. Nothing of the transaction may stay.

    `overran`: it was stopped because it took too long.
    """

    def __init__(self, key: Key, error: BaseException, *, overran: bool = False) -> None:
        super().__init__(f"{type(error).__name__} in act {key.n} of {key.rule!r} of visit {key.visit_no}")
        self.key, self.error, self.overran = key, error, overran


class Trial:
    """What is known before an attempt.

    `careful`: every act is written by itself, so that what goes wrong is known to be its own. `condemned`
    acts are not done again. `marks` is told of every act before it begins, where a worker may have died in
    one. `until`: when, on the loop's clock, every act has to be through.
    """

    def __init__(self, *, until: float | None = None) -> None:
        self.careful, self.until = False, until
        self.condemned: dict[Key, Condemned] = {}
        self.marks: Callable[[Key], Awaitable[None]] | None = None

    async def begins(self, key: Key) -> None:
        """An act begins; if the worker dies in it, it is known which one it was."""
        if self.marks:
            await self.marks(key)

    def left(self, seconds: float) -> float:
        """How long something that may take so many seconds may take now."""
        if self.until is None:
            return seconds
        return max(min(seconds, self.until - asyncio.get_running_loop().time()), 0.1)


@contextmanager
def blaming(key: Key) -> Iterator[None]:
    """Whatever is raised inside, and does not pass by itself, is the fault of this act: `Faulted`."""
    try:
        yield
    except (Faulted, Unreadable, OSError):  # the database's wire
        raise
    except Exception as error:
        if passes(error):
            raise
        raise Faulted(key, error, overran=is_too_slow(error)) from None
