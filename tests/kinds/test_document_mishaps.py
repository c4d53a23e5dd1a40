"""Documents and what may go wrong around them: a full store, no room for a process, a worker that dies."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.activity import _Definition
from temporalio.testing import ActivityEnvironment

from activities.providers.blobs import StoreAway
from activities.providers.documents import Documents, Job
from activities.work import SLOW_ACTS
from domain.events import Outcome
from domain.journey import RuleRun
from tests.builders import NOON
from tests.kinds.conftest import Desk
from tests.kinds.workshop import Workshop, workshop_of

SECOND = timedelta(seconds=1)


@pytest.fixture
async def workshop(desk: Desk, tmp_path: Path) -> Workshop:
    return await workshop_of(desk, tmp_path)


class Full:
    """A store without room; what it has it still gives."""

    def __init__(self, workshop: Workshop) -> None:
        self._blobs = workshop.blobs

    async def put(self, content: bytes) -> str:
        raise StoreAway("no space left")

    async def get(self, digest: str) -> bytes:
        return await self._blobs.get(digest)


# -- what may pass -----------------------------------------------------------------------------------
async def test_a_store_that_is_full_is_tried_again_and_costs_no_number(workshop: Workshop) -> None:
    desk = workshop.desk
    await workshop.ruled()
    deal = await desk.deal()
    full = workshop.worker(Documents(workshop.documents.renderer, Full(workshop)))
    outcome = await workshop.act(deal, by=full)
    assert (outcome.result, outcome.waiting, outcome.due) == ("pending", "retry", NOON + SECOND)
    outcome = await workshop.act(deal, NOON + SECOND, due=NOON + SECOND, by=full)
    assert outcome.due == NOON + 3 * SECOND
    assert await desk.rows("ledger") == []  # the key is free
    assert (await desk.row("number_series"))["next"] == 1
    told = [detail["error"] for event, *_, detail in await desk.journal(deal) if event == "retry"]
    assert told == ["no space left"] * 2
    assert (await workshop.act(deal, NOON + 3 * SECOND, due=NOON + 3 * SECOND)).result == "done"
    assert (await desk.row("document"))["number"] == "OFF-2026-001"


async def test_it_is_tried_again_only_for_so_long(workshop: Workshop) -> None:
    await workshop.ruled(retry_for={"minutes": 1})
    deal = await workshop.desk.deal()
    full = workshop.worker(Documents(workshop.documents.renderer, Full(workshop)))
    now, pauses = NOON, []
    while (outcome := await workshop.act(deal, now, due=now, by=full)).result == "pending":
        assert outcome.due
        pauses.append(int((outcome.due - now).total_seconds()))
        now = outcome.due
    assert pauses == [1, 2, 4, 8, 16, 29]
    assert (outcome.result, outcome.reason) == ("failed", "store_away")


# -- the worker --------------------------------------------------------------------------------------
class Counting:
    """Makes documents at once; `most` is how many it was asked for at the same time."""

    def __init__(self) -> None:
        self.now, self.most = 0, 0

    async def render(self, job: Job) -> bytes:
        self.now += 1
        self.most = max(self.most, self.now)
        for _ in range(20):
            await asyncio.sleep(0)
        self.now -= 1
        return job.data


async def test_it_is_done_on_the_queue_of_what_is_slow_a_few_at_a_time(workshop: Workshop) -> None:
    await workshop.ruled(params={"series": ""})
    counting = Counting()
    worker = workshop.with_renderer(counting)
    named = {_Definition.must_from_callable(work).name: work for work in worker.io_queue()}
    at_once = {_Definition.must_from_callable(work).name for work in worker.database_queue()}
    assert "create_document" not in at_once

    async def done(deal: int) -> Outcome:
        environment = ActivityEnvironment()
        environment.info = replace(environment.info, current_attempt_scheduled_time=NOON)
        asked = RuleRun(record_id=deal, visit_no=1, rule="offer", turn=NOON, due=NOON)
        outcome: Outcome = await environment.run(named["create_document"], asked)
        return outcome

    deals = [await workshop.desk.deal() for _ in range(12)]
    assert {(await one).result for one in asyncio.as_completed([done(deal) for deal in deals])} == {"done"}
    assert len(await workshop.desk.rows("document")) == 12
    assert 1 < counting.most <= SLOW_ACTS


WORKER = """
import asyncio, sys
from pathlib import Path
from db.engine import Database
from tests.kinds.conftest import Desk
from tests.kinds.workshop import Workshop

async def main(url, root, record):
    await Workshop(Desk(Database(url)), Path(root)).act(int(record))

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_worker_is_killed_while_it_keeps_a_document(
    workshop: Workshop, database_url: str, tmp_path: Path
) -> None:
    await workshop.ruled()
    deal = await workshop.desk.deal()
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WORKER, database_url, str(tmp_path), str(deal),
        env=os.environ | {"JALON_FAIL_POINT": "blobs.before_rename"},
    )  # fmt: skip
    assert await worker.wait() == -signal.SIGKILL
    assert (await workshop.desk.rows("document"), await workshop.desk.rows("ledger")) == ([], [])
    assert (await workshop.act(deal, NOON + SECOND)).result == "done"
    row = await workshop.desk.row("document")
    assert row["number"] == "OFF-2026-001"
    assert b"OFF-2026-001" in await workshop.text(row)
