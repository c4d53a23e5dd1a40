"""Row 28: a soft delete; the journey ends."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

from activities.recycling import restore
from db.records import By
from db.recycle_bin import purge
from domain.fields import dump
from tests import builders
from tests.builders import NOON
from tests.kinds.conftest import Desk, refused_on_save

ROOT = Path(__file__).parents[2]
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


# -- what it holds of the world ----------------------------------------------------------------------
TOMORROW = "2026-03-03T09:00:00+00:00"


async def with_all_that_can_be_planned(desk: Desk) -> int:
    """A deal with a booking, a meeting with a guest, a to-do, and a task."""
    deal = await desk.deal(responsible="ada")
    await desk.does(deal, "book_resource", rule="fit", field="fitting", start=TOMORROW, duration={"hours": 2},
                    resources=["employee:ada"])  # fmt: skip
    await desk.does(deal, "schedule_meeting", rule="meet", subject="Measure", start={"on": TOMORROW[:10]},
                    participants=["clara@example.com"])  # fmt: skip
    await desk.does(deal, "create_todo", rule="call", subject="Call")
    await desk.does(deal, "create_task", rule="draw", name="Draw", assignee="ada")
    return deal


async def test_what_is_booked_planned_and_to_be_done_is_released_called_off_and_closed(desk: Desk) -> None:
    deal = await with_all_that_can_be_planned(desk)
    await desk.does(deal, "delete_record", now=LATER)
    assert (await desk.row("booking"))["state"] == "cancelled"
    assert (await desk.row("booking_resource"))["active"] is False
    assert (await desk.row("meeting"))["state"] == "cancelled"
    told = [(row["recipient"], row["method"]) for row in await desk.rows("invitation", order="sequence, id")]
    assert told == [("clara@example.com", "REQUEST"), ("clara@example.com", "CANCEL")]
    assert (await desk.row("todo"))["completed_at"] == LATER
    task = await desk.row("task")
    assert (task["ended_how"], task["ended_at"]) == ("deleted", LATER)
    said = {event: detail for event, _, _, detail in await desk.journal(deal)}
    assert set(said["closed_with_record"]) == {"todos", "tasks", "bookings"}


async def test_a_restore_takes_bookings_again_and_opens_what_was_closed(desk: Desk) -> None:
    deal = await with_all_that_can_be_planned(desk)
    done = await desk.deal()
    await desk.does(done, "create_todo", rule="call", subject="Completed before")
    await desk.run("update todo set completed_at = now(), completed_by = 'ada' where subject like 'Comp%'")
    await desk.does(deal, "delete_record", now=LATER)
    async with desk.locked(deal) as locked:
        assert await restore(locked, By("eve", LATER)) is not None
    booking = await desk.row("booking")
    assert (booking["state"], booking["ends_at"]) == ("active", booking["booked_until"])
    assert (await desk.row("booking_resource"))["active"] is True
    assert (await desk.record(deal))["fields"]["fitting"] == dump(booking["starts_at"])
    assert (await desk.row("meeting"))["state"] == "cancelled"  # its guests were told
    assert [row["completed_at"] is None for row in await desk.rows("todo", order="id")] == [True, False]
    assert (await desk.row("task"))["ended_how"] == ""
    history = [line["event"] for line in await desk.rows("task_line", order="id")]
    assert history[-2:] == ["deleted", "reopened"]
    assert await desk.rows("binned") == []


async def test_what_is_taken_meanwhile_is_not_booked_again(desk: Desk) -> None:
    deal, other = await with_all_that_can_be_planned(desk), await desk.deal(responsible="ben")
    await desk.does(deal, "delete_record", now=LATER)
    await desk.does(other, "book_resource", rule="fit", field="fitting", start=TOMORROW,
                    duration={"hours": 1}, resources=["employee:ada"])  # fmt: skip
    async with desk.locked(deal) as locked:
        await restore(locked, By("eve", LATER))
    assert [row["state"] for row in await desk.rows("booking", order="id")] == ["cancelled", "active"]
    said = {event: detail for event, _, _, detail in await desk.journal(deal)}
    assert said["not_booked_again"]["resources"] == ["employee:ada"]
    assert (await desk.record(deal))["fields"].get("fitting") is None


async def test_deleted_and_restored_twice_it_is_as_it_was(desk: Desk) -> None:
    deal = await with_all_that_can_be_planned(desk)
    for hour in (1, 2):
        at = NOON + timedelta(hours=hour)
        await desk.does(deal, "delete_record", now=at)
        async with desk.locked(deal) as locked:
            await restore(locked, By("eve", at))
    assert (await desk.row("booking"))["state"] == "active"
    assert (await desk.row("todo"))["completed_at"] is None


def test_nobody_deletes_or_restores_a_record_but_by_the_one_way_that_cares_for_the_world() -> None:
    either = r"db\.records import .*\b(delete|restore)\b|records\.(delete|restore)\("
    knowing = [
        path.name
        for part in ("api", "activities", "workflows", "worker", "cli")
        for path in (ROOT / part).rglob("*.py")
        if re.search(either, path.read_text())
    ]
    assert knowing == ["recycling.py"]
