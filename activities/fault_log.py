"""Faults in the log: with ids and the stack, without what records say."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from typing import Final

import structlog

from activities.trial import Key

log = structlog.get_logger()

_FRAMES: Final = 20
_CHAINED: Final = 5


def report(record_id: int, key: Key, error: BaseException) -> None:
    """Log what was raised in an act: which one, and where. Its words may quote a record, and stay out."""
    log.error(
        "an act came to no outcome", record=record_id, visit=key.visit_no, rule=key.rule, n=key.n,
        error=type(error).__name__, stack=stack_of(error),
    )  # fmt: skip


def stack_of(error: BaseException) -> str:
    """The frames, the innermost last, and those of what it came from; none of their words."""
    return "\n".join(_frames(error))


def _frames(error: BaseException) -> Iterator[str]:
    seen: BaseException | None = error
    for _ in range(_CHAINED):
        if seen is None:
            return
        for frame in traceback.extract_tb(seen.__traceback__)[-_FRAMES:]:
            yield f"{frame.filename}:{frame.lineno} {frame.name}"
        yield type(seen).__name__
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
