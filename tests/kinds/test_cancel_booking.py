"""Row 14: what is booked is released, of what is under way the rest; what is over stays history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activities.house import House
from activities.runner import Run, Runner
from activities.steps import act
from db.records import By, move
from domain.errors import Refused
from tests import builders
from tests.builders import NOON
from tests.kinds.conftest import Desk, refused_on_save

HOUR = timedelta(hours=1)


async def booked(desk: Desk, deal: int, at: datetime, field: str = "visit", **more: Any) -> int:
    """An hour of Ada's from then on; answers its id."""
    how = {"start": at.isoformat(), "duration": {"hours": 1}, "replace": False, "rule": "book"} | more
    done = await desk.does(deal, "book_resource", field=field, **how)
    return int(str(done.results["id"]))


async def state(desk: Desk) -> list[tuple[str, datetime, bool]]:
    return [
        (row["state"], row["ends_at"], taken["active"])
        for row, taken in zip(
            await desk.rows("booking", order="id"),
            await desk.rows("booking_resource", order="booking_id"),
            strict=True,
        )
    ]


async def test_every_active_booking_of_the_field_is_released_and_no_other(desk: Desk) -> None:
    deal, other = await desk.deal(), await desk.deal()
    for n, (record, field) in enumerate(
        [(deal, "visit"), (deal, "visit"), (deal, "fitting"), (other, "visit")]
    ):
        await booked(desk, record, NOON + (n + 1) * HOUR, field)
    done = await desk.does(deal, "cancel_booking", field="visit", acting="eve", rule="off")
    assert done.results == {"cancelled": 2, "changed": ["record.visit"]}
    assert done.changed == ("record.visit",)
    assert await state(desk) == [
        ("cancelled", NOON + 2 * HOUR, False), ("cancelled", NOON + 3 * HOUR, False),
        ("active", NOON + 4 * HOUR, True), ("active", NOON + 5 * HOUR, True),
    ]  # fmt: skip
    first = (await desk.rows("booking", order="id"))[0]
    assert (first["cancelled_at"], first["cancelled_by"]) == (NOON, "eve")
    fields = (await desk.record(deal))["fields"]
    assert (fields["visit"], fields["fitting"]) == (None, "2026-03-02T15:00:00+00:00")
    lines = [line for line in await desk.journal(deal) if line[0] == "booking_cancelled"]
    assert [(rule, actor) for _, rule, actor, _ in lines] == [("off", "eve")] * 2


async def test_what_was_released_can_be_booked_by_others(desk: Desk) -> None:
    deal = await desk.deal()
    await booked(desk, deal, NOON + HOUR)
    await desk.does(deal, "cancel_booking", field="visit")
    await booked(desk, await desk.deal(), NOON + HOUR)
    assert [row[0] for row in await state(desk)] == ["cancelled", "active"]


async def test_of_a_running_one_what_is_left_is_released_and_past_ones_stay(desk: Desk) -> None:
    deal = await desk.deal()
    for n in range(3):
        await booked(desk, deal, NOON + n * HOUR)
    now = NOON + timedelta(minutes=90)
    done = await desk.does(deal, "cancel_booking", field="visit", now=now)
    assert done.results["cancelled"] == 2
    assert await state(desk) == [
        ("active", NOON + HOUR, True), ("active", now, True), ("cancelled", NOON + 3 * HOUR, False),
    ]  # fmt: skip
    past, running, _ = await desk.rows("booking", order="id")
    assert (past["cancelled_at"], running["booked_until"]) == (None, NOON + 2 * HOUR)
    await booked(desk, await desk.deal(), now, now=now)  # the rest is free
    again = await desk.does(deal, "cancel_booking", field="visit", now=now + HOUR)
    assert again.results["cancelled"] == 0


async def test_one_that_begins_this_instant_has_not_begun(desk: Desk) -> None:
    deal = await desk.deal()
    await booked(desk, deal, NOON)
    await desk.does(deal, "cancel_booking", field="visit")
    assert await state(desk) == [("cancelled", NOON + HOUR, False)]


async def test_without_an_active_one_it_is_done_and_nothing_happens(desk: Desk) -> None:
    deal = await desk.deal()
    assert (await desk.does(deal, "cancel_booking", field="record.visit")).results["cancelled"] == 0
    await booked(desk, deal, NOON)
    before = await desk.record(deal)
    done = await desk.does(deal, "cancel_booking", field="visit", now=NOON + HOUR)
    assert (done.results, done.changed) == ({"cancelled": 0, "changed": []}, ())
    assert await desk.record(deal) == before
    assert [event for event, *_ in await desk.journal(deal)] == ["created", "booked"]


RULES: dict[str, Any] = {
    "new": [
        {
            "id": "book", "kind": "book_resource",
            "params": {"field": "visit", "start": {"after": {"hours": 1}}, "duration": {"hours": 1}},
        },
        {"id": "off", "kind": "cancel_booking", "params": {"field": "visit"}},
        {
            "id": "say", "kind": "add_comment",
            "params": {"text": "{{ steps.off.cancelled }}, {{ steps.book.start | default: 'none' }}"},
        },
    ]
}  # fmt: skip


async def runs(desk: Desk, deal: int, rule: str, now: datetime = NOON) -> tuple[str, list[str]]:
    async with desk.locked(deal) as locked:
        if locked.visit(1) is None:
            await locked.reload(1)
        runner = Runner(locked, House(), desk.ids, now)
        outcome = await act(runner, Run(1, rule))
        await runner.flush()
        return outcome.result, outcome.changed


async def test_run_twice_it_says_the_same_and_the_booking_rule_has_no_booking_any_more(desk: Desk) -> None:
    await desk.run(lambda tx: builders.rule_set(tx, RULES))
    deal = await desk.deal()
    await runs(desk, deal, "book")
    told = ("done", ["record.visit", "steps.book.start", "steps.book.end"])
    assert await runs(desk, deal, "off") == await runs(desk, deal, "off") == told
    ledger = await desk.row("ledger", "rule = 'book'")
    assert (ledger["results"]["start"], ledger["results"]["end"]) == (None, None)
    await runs(desk, deal, "say")
    assert (await desk.row("comment"))["body"] == "1, none"


async def test_a_running_one_that_is_cut_short_says_so_in_its_results(desk: Desk) -> None:
    await desk.run(lambda tx: builders.rule_set(tx, RULES))
    deal, now = await desk.deal(), NOON + timedelta(minutes=90)
    await runs(desk, deal, "book")
    assert await runs(desk, deal, "off", now) == ("done", ["record.visit", "steps.book.end"])
    results = (await desk.row("ledger", "rule = 'book'"))["results"]
    assert datetime.fromisoformat(results["start"]) == NOON + HOUR
    assert datetime.fromisoformat(results["end"]).astimezone(UTC) == now


async def test_a_stage_that_was_left_cancels_nothing(desk: Desk) -> None:
    await desk.run(lambda tx: builders.rule_set(tx, RULES))
    deal = await desk.deal()
    await runs(desk, deal, "book")
    async with desk.locked(deal) as locked:
        await move(locked, "offer", By("ada", NOON))
    assert (await runs(desk, deal, "off"))[0] == "stale"
    assert [row[0] for row in await state(desk)] == ["active"]


async def test_a_booking_is_cancelled_by_a_rule_of_another_pipeline_too(desk: Desk) -> None:
    deal = await desk.deal()
    await booked(desk, deal, NOON + HOUR)
    await desk.does(deal, "change_pipeline", pipeline="service")
    done = await desk.does(deal, "cancel_booking", field="visit")
    assert done.results["cancelled"] == 1


async def test_a_field_that_is_no_booking_field_any_more_releases_what_was_booked_for_it(desk: Desk) -> None:
    deal = await desk.deal()
    await booked(desk, deal, NOON + HOUR)
    await desk.run("update pipeline set fields = '[]'")
    done = await desk.does(deal, "cancel_booking", field="visit")
    assert done.results["cancelled"] == 1
    with pytest.raises(Refused):
        await booked(desk, deal, NOON + HOUR)


def test_what_is_refused_on_save() -> None:
    assert set(refused_on_save("cancel_booking", field="visit")) == set()
    assert set(refused_on_save("cancel_booking", field="due_on")) == {"/field"}
    assert refused_on_save("cancel_booking", field="vist") == {
        "/field": "record.vist is no booking field; did you mean 'visit'?"
    }
    assert set(refused_on_save("cancel_booking")) == {"/field"}
