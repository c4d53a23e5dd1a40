"""What nobody needs any more goes, as fast as it comes."""

from __future__ import annotations

from datetime import timedelta

from db.rows import Rows, write
from tests.builders import NOON
from tests.kinds.conftest import Desk
from worker.cleaning import BIN, KEPT, clean_once

MANY = 1_100
MINUTE = timedelta(minutes=1)


async def test_answers_to_repeated_calls_go_when_they_are_a_week_old_however_many(desk: Desk) -> None:
    old = [{"key": f"old-{n}", "body_hash": "", "at": NOON} for n in range(MANY)]
    async with desk.database.transaction() as tx:
        await write(tx, [Rows("request", [*old, {"key": "young", "body_hash": "", "at": NOON + 2 * MINUTE}])])
    while await clean_once(desk.database, NOON + KEPT + MINUTE):
        pass
    assert [row["key"] for row in await desk.rows("request")] == ["young"]


async def test_records_go_when_they_lay_long_enough_in_the_bin_with_what_was_to_be_told_of_them(
    desk: Desk,
) -> None:
    kept = await desk.deal(deleted_at=NOON + 2 * MINUTE)
    there = await desk.deal()
    for _ in range(3):
        await desk.deal(deleted_at=NOON)
    while await clean_once(desk.database, NOON + BIN + MINUTE):
        pass
    assert [row["id"] for row in await desk.rows("record")] == [kept, there]
    assert [row["record_id"] for row in await desk.rows("outbox", order="record_id")] == [kept, there]
