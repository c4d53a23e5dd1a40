"""Activities that may be slow: they show that their worker lives, and are not broken off in the middle."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from temporalio import activity

from activities import attempt_time
from domain.events import Outcome
from domain.journey import RuleRun

BEAT_EVERY = 3.0
Work = Callable[[RuleRun, datetime], Awaitable[Outcome]]


def beating(kind: str, work: Work) -> Callable[..., Any]:
    """The activity of that kind. `work` is told when its attempt was scheduled.

    Its journey may call it off, to begin it anew in a later run: what has been handed over by then is settled
    all the same. A worker that ends, or an attempt whose time is over, breaks it off.
    """

    @activity.defn(name=kind)
    async def run(asked: RuleRun) -> Outcome:
        beats = asyncio.create_task(_beat())
        at = attempt_time.now()
        attempt: asyncio.Future[Outcome] = asyncio.ensure_future(work(asked, at))
        try:
            return await asyncio.shield(attempt)
        except asyncio.CancelledError:
            why = activity.cancellation_details()
            if why is None or not why.cancel_requested:
                attempt.cancel()
            return await attempt
        finally:
            beats.cancel()

    return run


async def _beat() -> None:
    """So that its death is noticed before the time of what it does is out."""
    while True:
        activity.heartbeat()
        await asyncio.sleep(BEAT_EVERY)
