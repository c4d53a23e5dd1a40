"""A rule with `if_false: wait` runs as soon as its condition is met, whatever it reads."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tests.journeys.product import Product, utc_now
from tests.journeys.rules import comment, rules

PARIS = ZoneInfo("Europe/Paris")
HOT = {"field": "record.hot", "op": "equal", "value": True}
WEEK_OVER = {"field": "record.due_on", "op": "less_or_equal", "value": {"today": {"days": -7}}}
"""A week after the due date."""


def waits(name: str, condition: dict[str, Any], **more: Any) -> dict[str, Any]:
    return comment(name, condition=condition, if_false="wait", **more)


def midnight(days: int) -> datetime:
    """00:00 in Paris, where the company is, that many days from now."""
    day = utc_now().astimezone(PARIS).date() + timedelta(days=days)
    return datetime.combine(day, time(), PARIS)


# -- the clock turns it ------------------------------------------------------------------------------
async def test_a_date_filled_in_later_makes_the_clock_turn_the_condition(product: Product) -> None:
    unpaid = {"all": [WEEK_OVER, {"not": HOT}]}
    deal = await product.deal({"new": rules([waits("remind", unpaid)])})
    await deal.pass_time(days=1)
    await deal.edit(due_on=midnight(2).date())
    await deal.pass_time(days=6)
    assert await deal.comments() == []
    await deal.pass_time(days=3)
    assert await deal.acted_at("remind") == midnight(9)


async def test_a_date_put_off_is_followed_by_the_clock_too(product: Product) -> None:
    deal = await product.deal({"new": rules([waits("remind", WEEK_OVER)])})
    for days in (2, 5, 3):
        await deal.edit(due_on=midnight(days).date())
        await deal.rest()
    await deal.pass_time(days=13)
    assert await deal.acted_at("remind") == midnight(10)


# -- a date that leaves the due time as it was --------------------------------------------------------
async def test_a_date_that_leaves_the_due_time_as_it_was_makes_nothing_past(product: Product) -> None:
    morning = waits("call", HOT, basis="record.visit_at", at="09:00", if_past="skip")
    deal = await product.deal({"new": rules([morning])}, fields={"visit_at": midnight(1).isoformat()})
    await deal.pass_time(days=2)
    await deal.edit(visit_at=(midnight(1) + timedelta(hours=4)).isoformat())
    await deal.rest()
    assert await deal.outcomes() == {}
    await deal.edit(hot=True)
    await deal.rest()
    assert await deal.comments() == ["call"]
