"""Row 28: a soft delete; the journey ends."""

from __future__ import annotations

from datetime import timedelta

from db.records import By, restore
from db.recycle_bin import purge
from tests import builders
from tests.builders import NOON
from tests.kinds.conftest import Desk, refused_on_save

LATER = NOON + timedelta(hours=1)


async def test_the_record_is_in_the_bin_and_every_step_ends(desk: Desk) -> None:
    kept = {"id": "goes-on", "kind": "add_comment", "params": {"text": "Hi"}, "on_exit": "keep"}
    await desk.run(lambda tx: builders.rule_set(tx, {"new": [kept | {"schedule": {"after": {"days": 1}}}]}))
    deal = await desk.deal()
    done = await desk.does(deal, "delete_record", rule="purge", now=LATER)
    record = await desk.record(deal)
    assert (record["deleted_at"], record["stage_id"], record["visit_no"]) == (LATER, "new", 2)
    assert done.moved_to == 2
    left, binned = await desk.rows("visit", order="visit_no")
    assert (left["kept"], left["left_reason"], left["left_by"]) == ([], "record_deleted", "purge")
    assert (binned["cause"], binned["rules_number"]) == ("deleted", 0)


async def test_the_journal_stays(desk: Desk) -> None:
    deal = await desk.deal()
    await desk.does(deal, "delete_record", rule="purge", acting="hugo")
    said = [(event, actor) for event, _, actor, _ in await desk.journal(deal)]
    assert said == [("created", "eve"), ("deleted", "hugo")]


async def test_it_can_be_restored(desk: Desk) -> None:
    deal = await desk.deal(stage="offer")
    await desk.does(deal, "delete_record")
    async with desk.locked(deal) as locked:
        assert await restore(locked, By("eve", LATER)) is not None
    record = await desk.record(deal)
    assert (record["deleted_at"], record["stage_id"], record["visit_no"]) == (None, "offer", 3)


async def test_what_is_deleted_is_not_deleted_again(desk: Desk) -> None:
    deal = await desk.deal()
    await desk.does(deal, "delete_record")
    done = await desk.does(deal, "delete_record")
    assert done.moved_to == 0
    assert (await desk.record(deal))["visit_no"] == 2


async def test_it_is_purged_after_a_period_and_what_was_decided_stays(desk: Desk) -> None:
    gone, young, there = await desk.deal(), await desk.deal(), await desk.deal()
    await desk.does(gone, "add_comment", text="Hi")
    await desk.does(gone, "generate_code", series="coupons")
    await desk.does(gone, "delete_record")
    await desk.does(young, "delete_record", now=LATER)
    async with desk.database.transaction() as tx:
        assert await purge(tx, LATER) == 1
    assert [row["id"] for row in await desk.rows("record", order="id")] == [young, there]
    assert await desk.rows("comment") == []
    assert [event for event, *_ in await desk.journal(gone)] == ["created", "deleted"]
    assert (await desk.row("code"))["record_id"] == gone


def test_it_takes_no_parameters() -> None:
    assert set(refused_on_save("delete_record", then="leave")) == {"/then"}
