"""A rule with `if_false: wait` runs as soon as its condition is met, whatever it reads."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tests.journeys.product import Product, utc_now
from tests.journeys.rules import comment, control, rule, rules, wait

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


# -- results of other rules ----------------------------------------------------------------------------
def result_is(name: str, value: str) -> dict[str, Any]:
    return {"field": f"steps.{name}", "op": "equal", "value": value}


async def test_the_end_of_a_wait_wakes_what_waits_for_it_whoever_ends_it(product: Product) -> None:
    listed = rules([
        wait("answer", {"days": 3}),
        *(waits(how, result_is("answer.ended", how)) for how in ("client", "time", "person")),
    ])  # fmt: skip
    by_client, by_time, by_person = [await product.deal({"new": listed}) for _ in range(3)]
    await by_client.client()
    await by_time.pass_time(days=4)
    await by_person.operate("skip", "answer")
    for deal, how in ((by_client, "client"), (by_time, "time"), (by_person, "person")):
        await deal.rest()
        assert await deal.comments() == [how]


async def test_what_was_kept_waits_for_a_result_that_the_leaving_brings(product: Product) -> None:
    told = waits("told", result_is("answer.ended", "left_stage"), on_exit="keep")
    deal = await product.deal({"new": rules([wait("answer"), told])})
    await deal.move("offer")
    await deal.rest()
    assert await deal.comments() == ["told"]


async def test_the_state_of_a_control_wakes_what_waits_for_it(product: Product) -> None:
    watch = control("watch", {"hours": 1}, params={"until": HOT, "recipients": ["employee:hugo"]})
    states = ("late", "resolved_late")
    listed = [watch, *(waits(state, result_is("watch.state", state)) for state in states)]
    deal = await product.deal({"new": rules(listed)})
    await deal.pass_time(hours=2)
    assert await deal.comments() == ["late"]
    await deal.edit(hot=True)
    await deal.rest()
    assert await deal.comments() == ["late", "resolved_late"]


async def test_one_resolved_by_a_result_wakes_what_waits_for_its_own(product: Product) -> None:
    answered = control("watch", {"days": 1}, params={"until": result_is("answer.ended", "client")})
    chain = [wait("answer"), answered, waits("seen", result_is("watch.state", "resolved"))]
    deal = await product.deal({"new": rules(chain)})
    await deal.client()
    await deal.rest()
    assert await deal.comments() == ["seen"]


async def test_a_code_generated_later_wakes_what_waits_for_it(product: Product) -> None:
    code = rule("generate_code", "coupon", {"length": 8}, after={"hours": 1})
    there = {"field": "steps.coupon.code", "op": "is_not_empty"}
    deal = await product.deal({"new": rules([code, waits("use", there)])})
    await deal.pass_time(hours=2)
    assert await deal.comments() == ["use"]
