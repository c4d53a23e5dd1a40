"""A trigger that a rule fires moves the record with the place of that rule, after all else that is due."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from db.doorbell import deliver
from db.outbox import Bell
from domain.journey import Face
from tests.journeys.product import Deal, Product
from tests.journeys.rules import comment, edit, move, rules, wait

HOUR: dict[str, Any] = {"after": {"hours": 1}}


def priced(stage: str, **more: Any) -> dict[str, Any]:
    fields = {"event": "field_changed", "names": ["record.amount"], "stage": stage}
    return {"id": f"priced-{stage}"} | fields | more


async def stage(deal: Deal) -> str:
    (row,) = await deal.product.rows("select stage_id from record where id = :id", id=deal.id)
    return str(row["stage_id"])


async def test_what_a_rule_edits_as_the_stage_is_entered_moves_the_record_when_all_else_is_done(
    product: Product,
) -> None:
    below, later = comment("below", below=True), comment("later", **HOUR)
    listed = [edit("price", "amount", 7), below, comment("beside"), later]
    stages = {"new": rules(listed), "offer": rules([comment("there")])}
    deal = await product.deal(stages, triggers=[priced("offer")])
    assert await deal.comments() == ["below", "beside", "there"]
    assert await stage(deal) == "offer"
    assert (await deal.outcomes())["later"] == "cancelled left_stage"
    visits = await product.rows("select actor from visit where record_id = :id order by visit_no", id=deal.id)
    assert [visit["actor"] for visit in visits] == ["eve", "trigger:priced-offer"]


async def test_what_a_delayed_rule_edits_does_so_too_its_condition_judged_last(product: Product) -> None:
    rich = {"field": "record.title", "op": "equal", "value": "Rich"}
    listed = [edit("price", "amount", 7, **HOUR), edit("title", "title", "Rich", **HOUR)]
    deal = await product.deal({"new": rules(listed)}, triggers=[priced("offer", condition=rich)])
    await deal.pass_time(hours=2)
    assert await stage(deal) == "offer"


async def test_a_transition_nearer_the_top_wins_over_what_a_rule_below_it_fired(product: Product) -> None:
    listed = [move("on", "deal", **HOUR), edit("price", "amount", 7, **HOUR)]
    deal = await product.deal({"new": rules(listed)}, triggers=[priced("offer")])
    await deal.pass_time(hours=2)
    assert await stage(deal) == "deal"
    assert await deal.outcomes() == {"on": "done", "price": "done", "trigger:price": "superseded"}


async def test_a_transition_below_the_rule_that_fired_is_superseded(product: Product) -> None:
    listed = [edit("price", "amount", 7, **HOUR), move("on", "deal", **HOUR)]
    deal = await product.deal({"new": rules(listed)}, triggers=[priced("offer")])
    await deal.pass_time(hours=2)
    assert await stage(deal) == "offer"
    assert await deal.outcomes() == {"price": "done", "trigger:price": "done", "on": "superseded"}


async def test_what_does_not_match_moves_nothing_and_the_visit_goes_on(product: Product) -> None:
    poor = {"field": "record.amount", "op": "less", "value": 5}
    listed = [edit("price", "amount", 7), wait("patience"), comment("then", below=True)]
    deal = await product.deal({"new": rules(listed)}, triggers=[priced("offer", condition=poor)])
    assert (await deal.outcomes())["trigger:price"] == "skipped condition"
    await deal.pass_time(hours=4)
    assert await deal.comments() == ["then"]
    assert await stage(deal) == "new"


@pytest.mark.parametrize("left", [False, True], ids=["in the present visit", "by a kept rule of one left"])
async def test_it_is_judged_though_an_administrator_ended_the_journey_between_the_act_and_the_trigger(
    product: Product, left: bool
) -> None:
    price = edit("price", "amount", 7, on_exit="keep", **HOUR)
    deal = await product.deal({"new": rules([price])}, triggers=[priced("deal")])
    if left:
        await deal.move("offer")
    due = (await deal.rest()).progress.next_due
    assert due is not None
    gate = product.gates.close(deal.handle.id, "edit_record")
    await deal.forward(due)
    await gate.reached.wait()
    await deal.handle.terminate("an administrator pressed the button")
    gate.open.set()
    assert await stage(deal) == ("offer" if left else "new")
    visit, face = {"visit_no": 2 if left else 1}, Face(record_type="deal", pipeline="sales", stage="new")
    bell = Bell(uuid4(), deal.id, "entered", visit, 1, face)
    await deliver(product.environment.client, bell, product.queue)
    await deal.pass_time(hours=2)  # the new journey's clock begins with the machine's
    assert await stage(deal) == "deal"
    assert (await deal.outcomes())["trigger:price"] == "done"
