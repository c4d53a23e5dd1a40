"""What is slow and called off goes on to its end; what is broken off does not."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from temporalio.activity import ActivityCancellationDetails
from temporalio.testing import ActivityEnvironment

from activities.beating import beating
from domain.events import Outcome
from domain.journey import RuleRun

ASKED = RuleRun(record_id=1, visit_no=1, rule="mail")
SENT = Outcome(result="done", at=datetime(2026, 3, 2, 12, tzinfo=UTC))


class Post:
    """Takes a letter, and its time."""

    def __init__(self) -> None:
        self.taken, self.may_answer, self.broken_off = asyncio.Event(), asyncio.Event(), False

    async def send(self, _: RuleRun, at: datetime) -> Outcome:
        self.taken.set()
        try:
            await self.may_answer.wait()
        except asyncio.CancelledError:
            self.broken_off = True
            raise
        return SENT


async def under_way(post: Post) -> tuple[ActivityEnvironment, asyncio.Task[Outcome]]:
    environment = ActivityEnvironment()
    sending = asyncio.create_task(environment.run(beating("send_email", post.send), ASKED))
    await post.taken.wait()
    return environment, sending


async def test_a_letter_that_was_handed_over_is_settled_though_its_journey_called_it_off() -> None:
    post = Post()
    environment, sending = await under_way(post)
    environment.cancel(ActivityCancellationDetails(cancel_requested=True))
    post.may_answer.set()
    assert await sending == SENT
    assert not post.broken_off


async def test_a_worker_that_ends_breaks_it_off() -> None:
    post = Post()
    environment, sending = await under_way(post)
    environment.cancel(ActivityCancellationDetails(worker_shutdown=True))
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert post.broken_off
