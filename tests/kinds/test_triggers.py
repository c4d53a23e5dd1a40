"""*Client activity, triggers*: what a client or a person does moves a record."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from activities.client import Answer, Heard, record_activity
from activities.happened import edited
from activities.house import House
from activities.runner import Runner
from activities.triggers import fire
from db.records import By, move
from tests import builders
from tests.builders import NOON
from tests.kinds.conftest import Desk

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def trigger(trigger_id: str, stage: str, **more: Any) -> dict[str, Any]:
    more.setdefault("event", "client_activity")
    return {"id": trigger_id, "stage": stage} | more


async def published(desk: Desk, *triggers: dict[str, Any], pipeline: str = "sales", **stages: Any) -> None:
    await desk.run(lambda tx: builders.rule_set(tx, stages, pipeline=pipeline, triggers=triggers))


async def hears(
    desk: Desk, activity: str = "call", *, at: datetime = NOON, number: str = "", **bound: int
) -> Answer:
    """What the call that reports an activity is told."""
    heard = Heard(number or f"{activity} {at} {bound}", activity, at, **bound)
    async with desk.database.transaction() as tx:
        return await record_activity(tx, desk.book, desk.ids, House(), heard, at)


async def stage(desk: Desk, record: int) -> str:
    return str((await desk.record(record))["stage_id"])


async def goes_to(desk: Desk, record: int, to: str, at: datetime = NOON) -> None:
    async with desk.locked(record) as locked:
        await move(locked, to, By("eve", at))


async def test_an_activity_moves_its_record_and_the_call_is_told(desk: Desk) -> None:
    await published(desk, trigger("called", "offer", names=["call"]))
    deal = await desk.deal()
    assert (await hears(desk, "email", record=deal)).happened == "no_match"
    answer = await hears(desk, "call", record=deal, number="c-1")
    assert (answer.happened, answer.records, len(answer.bells)) == ("moved", [deal], 1)
    assert await stage(desk, deal) == "offer"
    visits = await desk.rows("visit", f"record_id = {deal}", order="visit_no")
    assert (visits[-1]["actor"], visits[-1]["automatic"]) == ("trigger:called", True)
    again = await hears(desk, "call", record=deal, number="c-1")
    assert (again.happened, again.records, again.bells) == ("already_known", [deal], [])


async def test_forward_is_the_default_and_only_within_the_process(desk: Desk) -> None:
    await published(desk, trigger("back", "new"), trigger("won", "won", names=["payment"]))
    offered, lost = await desk.deal(stage="offer"), await desk.deal(stage="lost")
    assert (await hears(desk, "call", record=offered)).happened == "no_match"
    assert (await hears(desk, "payment", record=lost)).happened == "no_match"
    assert (await hears(desk, "payment", record=offered)).happened == "moved"


async def test_any_direction_leads_back_and_out_of_a_closed_stage(desk: Desk) -> None:
    await published(desk, trigger("again", "new", direction="any"))
    lost = await desk.deal(stage="lost")
    assert (await hears(desk, record=lost)).happened == "moved"
    assert await stage(desk, lost) == "new"
    assert (await hears(desk, record=lost, at=NOON + MINUTE)).happened == "no_match"


async def test_the_first_in_stage_order_moves_forward_before_backward_the_others_are_journaled(
    desk: Desk,
) -> None:
    await published(
        desk, trigger("back", "new", direction="any"), trigger("far", "won"), trigger("near", "deal")
    )
    deal = await desk.deal(stage="offer")
    await hears(desk, record=deal)
    assert await stage(desk, deal) == "deal"
    told = [detail for event, *_, detail in await desk.journal(deal) if event == "trigger_not_chosen"]
    assert told == [{"trigger": "far", "chosen": "near"}, {"trigger": "back", "chosen": "near"}]


async def test_an_explicit_priority_comes_before_the_order_of_the_stages(desk: Desk) -> None:
    await published(
        desk,
        trigger("near", "offer"),
        trigger("second", "deal", priority=2),
        trigger("first", "won", priority=1),
    )
    deal = await desk.deal()
    await hears(desk, record=deal)
    assert await stage(desk, deal) == "won"


async def test_a_condition_is_judged_on_the_record(desk: Desk) -> None:
    rich = {"field": "record.amount", "op": "greater", "value": 1000}
    await published(desk, trigger("rich", "offer", condition=rich))
    poor, wealthy = await desk.deal(amount="10"), await desk.deal(amount="2000")
    assert (await hears(desk, record=poor)).happened == "no_match"
    assert (await hears(desk, record=wealthy)).happened == "moved"


@pytest.mark.parametrize(("once", "moves"), [("per_record", 1), ("per_visit", 2), ("unlimited", 2)])
async def test_once_per_record_is_not_twice(desk: Desk, once: str, moves: int) -> None:
    await published(desk, trigger("called", "offer", once=once))
    deal = await desk.deal()
    await hears(desk, record=deal)
    await goes_to(desk, deal, "new", NOON + MINUTE)
    await hears(desk, record=deal, at=NOON + 2 * MINUTE)
    assert len(await desk.rows("firing")) == moves
    assert await stage(desk, deal) == ("new" if moves == 1 else "offer")


async def test_a_cool_down_keeps_it_from_firing_again_too_soon(desk: Desk) -> None:
    await published(desk, trigger("called", "offer", cool_down={"hours": 1}))
    deal = await desk.deal()
    for at, happened in ((NOON, "moved"), (NOON + HOUR - MINUTE, "no_match"), (NOON + HOUR, "moved")):
        assert (await hears(desk, record=deal, at=at)).happened == happened
        await goes_to(desk, deal, "new", at)


async def test_of_a_clients_records_the_most_recent_open_one_moves_by_default(desk: Desk) -> None:
    await published(desk, trigger("called", "offer"))
    async with desk.database.transaction() as tx:
        client = await builders.contact(tx)
    older = await desk.deal(contact=client, at=NOON - HOUR)
    recent = await desk.deal(contact=client)
    closed = await desk.deal(contact=client, stage="lost", at=NOON + MINUTE)
    answer = await hears(desk, contact=client, at=NOON + HOUR)
    assert (answer.happened, answer.records) == ("moved", [recent])
    assert [await stage(desk, record) for record in (older, closed)] == ["new", "lost"]


async def test_all_open_records_of_a_client_move_where_that_is_the_policy(desk: Desk) -> None:
    await published(desk, trigger("called", "offer", records="all"))
    async with desk.database.transaction() as tx:
        client = await builders.contact(tx)
    deals = [await desk.deal(contact=client) for _ in range(3)]
    other = await desk.deal()
    assert sorted((await hears(desk, contact=client)).records) == deals
    assert [await stage(desk, deal) for deal in (*deals, other)] == ["offer"] * 3 + ["new"]


async def test_while_the_record_is_suspended_the_move_is_dropped_and_the_call_told_so(desk: Desk) -> None:
    await published(desk, trigger("called", "offer"))
    deal = await desk.deal(suspended="by the loop guard")
    assert (await hears(desk, record=deal)).happened == "suspended"
    assert await stage(desk, deal) == "new"
    assert ("not_moved", "", "trigger:called", {}) in await desk.journal(deal)


async def test_the_loop_guard_drops_one_move_too_many_and_suspends(desk: Desk) -> None:
    await published(desk, trigger("on", "offer"), trigger("back", "new", direction="any", names=["email"]))
    deal = await desk.deal()
    answers = []
    for minute in range(13):
        activity = "email" if minute % 2 or minute == 12 else "call"
        answers.append((await hears(desk, activity, record=deal, at=NOON + minute * MINUTE)).happened)
    assert answers == ["moved"] * 10 + ["suspended"] * 3
    assert (await desk.record(deal))["suspended"]


async def test_an_edit_fires_on_the_fields_it_changes(desk: Desk) -> None:
    await published(
        desk,
        trigger("priced", "offer", event="field_changed", names=["record.amount"]),
        trigger("handed-on", "deal", event="responsible_changed"),
    )
    priced, handed, titled = await desk.deal(), await desk.deal(), await desk.deal()
    for deal, changed in (
        (priced, ("record.amount",)), (handed, ("record.responsible", "responsible")),
        (titled, ("record.title",)),
    ):  # fmt: skip
        async with desk.locked(deal) as locked:
            bell = await fire(Runner(locked, House(), desk.ids, NOON), edited(changed))
            assert (bell is None) == (deal == titled)
    assert [await stage(desk, deal) for deal in (priced, handed, titled)] == ["offer", "deal", "new"]


async def test_a_deleted_record_is_moved_by_nothing(desk: Desk) -> None:
    await published(desk, trigger("called", "offer"))
    async with desk.database.transaction() as tx:
        client = await builders.contact(tx)
    deal = await desk.deal(contact=client, deleted_at=NOON)
    assert (await hears(desk, contact=client)).happened == "no_match"
    assert await stage(desk, deal) == "new"


async def test_the_rules_that_count_are_the_current_ones(desk: Desk) -> None:
    await published(desk, trigger("called", "offer"))
    deal = await desk.deal()
    await published(desk, trigger("called", "offer", active=False))
    assert (await hears(desk, record=deal)).happened == "no_match"
