"""What a visit does never depends on how soon its journey hears of it; a slip of the hand does nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tests.journeys.product import Deal, Product
from tests.journeys.rules import comment, control, move, rules, wait

Json = dict[str, Any]
HOUR, DAY = {"after": {"hours": 1}}, {"after": {"days": 1}}
MINUTE = timedelta(minutes=1)
HOT = {"field": "record.hot", "op": "equal", "value": True}
PASSED_BY: list[Json] = [
    comment("goes_on", on_exit="keep", **HOUR),
    comment("further", below=True, **HOUR),
    comment("at_once", on_exit="run_now", **DAY),
    wait("not_opened", below=True),
    comment("after_it", below=True, **DAY),
    comment("cold", on_exit="run_now", condition=HOT, if_false="wait"),
    comment("ends"),
    wait("patience", on_exit="keep"),
    comment("cut_off", below=True),
    move("moves", "won", on_exit="keep"),
    control("watch", {"hours": 1}, on_exit="keep"),
    comment("below_the_control", below=True),
]
STALE = "stale left_before_start"


async def passed_through(product: Product, **pipeline: Any) -> Deal:
    """A deal that its journey hears of when it has been in `offer` and is in `deal`."""
    listed = {"offer": rules(PASSED_BY), "deal": rules([comment("hello")])}
    name = await product.pipeline(listed, **pipeline)
    record_id, bell = await product.made(name)
    deal = Deal(product, record_id)
    product.doorbell.ring(bell)
    await deal.rest()
    await deal.move("offer", ring=False)
    await product.rows_changed("delete from outbox where record_id = :id", id=deal.id)
    return deal


async def test_of_a_visit_that_was_missed_the_effects_of_kept_chains_go_on(product: Product) -> None:
    deal = await passed_through(product)
    (entry,) = await deal.lines("moved")
    await deal.move("deal")
    await deal.rest()
    at_once = {"at_once": "done", "after_it": "done", "cold": "skipped condition"}
    stale = ("not_opened", "ends", "patience", "cut_off", "moves", "watch")
    found = await deal.outcomes(2)
    assert found == at_once | dict.fromkeys(stale, STALE) | {"below_the_control": "done"}
    await deal.pass_time(hours=3)
    assert (await deal.outcomes(2))["further"] == "done"
    assert await deal.acted_at("goes_on") == entry["at"] + timedelta(hours=1)
    assert await deal.acted_at("further") == entry["at"] + timedelta(hours=2)
    assert await deal.outcomes(3) == {"hello": "done"}


async def test_unless_the_pipeline_has_changed_since(product: Product) -> None:
    deal = await passed_through(product)
    await deal.move("deal", ring=False)
    await deal.change_pipeline(await product.pipeline({"new": rules([comment("there")])}))
    await deal.rest()
    assert await deal.outcomes(2) == {rule["id"]: STALE for rule in PASSED_BY}
    assert await deal.comments() == ["there"]


# -- a slip of the hand -------------------------------------------------------------------------------
async def test_a_visit_that_a_person_begins_is_opened_when_the_grace_is_over(product: Product) -> None:
    below, watch = comment("below", below=True, **HOUR), control("watch", {"days": 1})
    listed = [comment("it"), below, wait("patience"), watch]
    name = await product.pipeline({"new": rules([comment("hello")]), "offer": rules(listed)}, grace=600)
    record_id, bell = await product.made(name)
    deal = Deal(product, record_id)
    product.doorbell.ring(bell)
    await deal.rest()
    assert await deal.comments() == ["hello"]  # a creation is no move
    await deal.move("offer")
    shown = await deal.rest()
    (entry,) = await deal.lines("moved")
    opening = entry["at"] + 10 * MINUTE
    assert shown.progress.next_due == opening
    assert await deal.outcomes(2) == {}
    await deal.client()
    await deal.reach(opening + MINUTE)
    assert await deal.outcomes(2) == {"it": "done", "patience": "done client", "watch": "open"}
    assert await deal.acted_at("it") == opening
    await deal.pass_time(hours=2)
    assert await deal.acted_at("below") == opening + timedelta(hours=1)


async def test_what_its_date_rules_out_is_told_when_the_visit_is_opened(product: Product) -> None:
    gone = comment("gone", basis="record.visit_at", if_past="fail")
    name = await product.pipeline({"offer": rules([gone])}, grace=600)
    record_id, bell = await product.made(name, fields={"visit_at": "2020-01-01T09:00:00Z"})
    deal = Deal(product, record_id)
    product.doorbell.ring(bell)
    await deal.rest()
    await deal.move("offer")
    await deal.rest()
    (entry,) = await deal.lines("moved")
    opening = entry["at"] + 10 * MINUTE
    await deal.reach(opening + MINUTE)
    assert await deal.outcomes(2) == {"gone": "failed if_past"}
    assert [line["at"] for line in await deal.lines("failed")] == [opening]


async def test_one_that_is_left_before_is_passed_through_as_a_slip_of_the_hand(product: Product) -> None:
    deal = await passed_through(product, grace=600)
    await deal.move("new", at=await deal.now() + 5 * MINUTE)
    await deal.rest()
    await deal.pass_time(days=3)
    assert await deal.outcomes(2) == {rule["id"]: STALE for rule in PASSED_BY}


async def test_the_same_where_its_journey_waits_for_the_opening(product: Product) -> None:
    name = await product.pipeline({"offer": rules(PASSED_BY)}, grace=600)
    record_id, bell = await product.made(name)
    deal = Deal(product, record_id)
    product.doorbell.ring(bell)
    await deal.rest()
    await deal.move("offer")
    await deal.rest()
    await deal.pass_time(minutes=5)
    await deal.move("new")
    await deal.rest()
    assert await deal.outcomes(2) == {rule["id"]: STALE for rule in PASSED_BY}
    await deal.pass_time(days=3)
    assert await deal.comments() == []


async def test_what_a_rule_or_a_program_moves_is_opened_at_once(product: Product) -> None:
    listed = {"new": rules([move("on", "offer")]), "offer": rules([comment("it")])}
    record_id, bell = await product.made(await product.pipeline(listed, grace=600))
    deal = Deal(product, record_id)
    product.doorbell.ring(bell)
    await deal.rest()
    assert await deal.comments() == ["it"]
