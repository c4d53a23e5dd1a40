"""While a record is suspended its holds still end by facts; what their ends bring waits for the resume."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.journeys.product import Deal, Product, utc_now
from tests.journeys.rules import comment, control, rules, wait

HOT = {"field": "record.hot", "op": "equal", "value": True}
HUGO = {"recipients": ["employee:hugo"]}


async def told(deal: Deal) -> list[str]:
    asked = "select body from notification where record_id = :id order by id"
    rows = await deal.product.rows(asked, id=deal.id)
    return [row["body"] for row in rows]


async def test_how_a_control_ended_is_told_on_resume(product: Product) -> None:
    deal = await product.deal({"new": rules([control("watch", {"hours": 1}, params=HUGO | {"until": HOT})])})
    await deal.pass_time(hours=2)
    await deal.operate("suspend")
    await deal.edit(hot=True)
    await deal.rest()
    assert (await deal.outcomes())["watch"] == "done resolved_late"
    assert await told(deal) == ["watch: A roof is late"]
    await deal.operate("resume")
    await deal.rest()
    assert await told(deal) == ["watch: A roof is late", "watch: resolved late"]


@pytest.mark.parametrize("put_off", [0, 1])
async def test_the_clock_resolves_a_control_whose_deadline_has_come_meanwhile(
    product: Product, put_off: int
) -> None:
    visited = {"field": "record.visit_at", "op": "less_or_equal", "value": {"now": {}}}
    at = utc_now().replace(microsecond=0) + timedelta(days=2)
    watch = control("watch", {"hours": 1}, params=HUGO | {"until": visited})
    deal = await product.deal({"new": rules([watch])}, fields={"visit_at": at.isoformat()})
    await deal.operate("suspend")
    await deal.pass_time(hours=2)
    if put_off:
        at += timedelta(days=put_off)
        await deal.edit(visit_at=at.isoformat())
    await deal.pass_time(days=4)
    assert await deal.outcomes() == {"watch": "done resolved"}
    assert await deal.acted_at("watch") == at
    assert await told(deal) == []


@pytest.mark.parametrize("moved", [False, True])
async def test_what_the_client_ends_lets_the_chain_queue_and_brings_its_notice_on_resume(
    product: Product, moved: bool
) -> None:
    listed = [wait("answer", ends={"on_client": "notify"}), comment("then", below=True)]
    deal = await product.deal({"new": rules(listed)})
    await deal.operate("suspend")
    assert await deal.client() == "ended_wait"
    await deal.rest()
    assert (await deal.outcomes())["answer"] == "done client"
    if moved:
        await deal.move("offer")
        await deal.rest()
    assert (await told(deal), await deal.comments()) == ([], [])
    await deal.operate("resume")
    await deal.rest()
    assert await told(deal) == ["The wait is over: answer"]
    assert await deal.comments() == ([] if moved else ["then"])


async def test_a_todo_of_a_wait_waits_for_the_resume_too(product: Product) -> None:
    deal = await product.deal({"new": rules([wait("answer", ends={"on_client": "todo"})])})
    await deal.operate("suspend")
    await deal.client()
    await deal.rest()
    asked = "select count(*) as n from todo where record_id = :id"
    assert await product.rows(asked, id=deal.id) == [{"n": 0}]
    await deal.operate("resume")
    await deal.rest()
    assert await product.rows(asked, id=deal.id) == [{"n": 1}]


async def test_of_a_deleted_record_nobody_is_told_how_a_control_ended(product: Product) -> None:
    watch: dict[str, Any] = control("watch", {"hours": 1}, params=HUGO)
    deal = await product.deal({"new": rules([watch])})
    await deal.pass_time(hours=2)
    await deal.delete()
    await deal.over()
    assert await told(deal) == ["watch: A roof is late"]
