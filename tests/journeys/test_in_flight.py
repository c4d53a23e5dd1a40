"""What happens while an act is in flight: done, and not heard of yet by its journey."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest

from domain.errors import Refused
from domain.journey import FactsChanged
from tests import builders
from tests.journeys.product import Deal, Product, utc_now
from tests.journeys.rules import comment, control, rules, wait

PARIS, AUCKLAND = ZoneInfo("Europe/Paris"), ZoneInfo("Pacific/Auckland")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
HOT = {"field": "record.hot", "op": "equal", "value": True}
HOUR = {"after": {"hours": 1}}
BY_DATE = {"basis": "record.visit_at"}


def in_days(days: int) -> datetime:
    return utc_now().replace(microsecond=0) + timedelta(days=days)


async def while_in_flight(deal: Deal, kind: str, meanwhile: Callable[[], Awaitable[None]]) -> None:
    await deal.while_in_flight(kind, meanwhile)
    await deal.rest()


async def due(deal: Deal, rule: str = "it") -> datetime | None:
    step = (await deal.rest()).progress.step(1, rule)
    return step.due if step else None


# -- suspension --------------------------------------------------------------------------------------
async def test_an_act_that_met_the_suspension_is_released_by_the_resume_heard_first(product: Product) -> None:
    deal = await product.deal({"new": rules([comment("it", **HOUR), comment("below", below=True)])})
    await deal.operate("suspend")
    await while_in_flight(deal, "add_comment", lambda: deal.operate("resume"))
    assert await deal.comments() == ["it", "below"]


async def test_what_the_client_let_go_on_is_released_by_the_resume_heard_first(product: Product) -> None:
    listed = [wait("patience"), comment("it", below=True), comment("below", below=True)]
    deal = await product.deal({"new": rules(listed)})
    await deal.operate("suspend")
    gate = product.gates.close(deal.handle.id, "add_comment")
    assert await deal.client() == "ended_wait"
    await gate.reached.wait()
    await deal.operate("resume")
    gate.open.set()
    await deal.rest()
    assert await deal.comments() == ["it", "below"]


async def test_a_hold_that_met_the_suspension_is_released_by_the_resume_heard_first(product: Product) -> None:
    deal = await product.deal({"new": rules([wait("patience"), comment("below", below=True)])})
    await deal.operate("suspend")
    await while_in_flight(deal, "wait", lambda: deal.operate("resume"))
    assert await deal.outcomes() == {"patience": "done time", "below": "done"}


# -- fields --------------------------------------------------------------------------------------
async def test_a_condition_that_comes_to_hold_meanwhile_lets_it_act(product: Product) -> None:
    waits = comment("it", condition=HOT, if_false="wait", **HOUR)
    deal = await product.deal({"new": rules([waits, comment("below", below=True)])})
    await while_in_flight(deal, "add_comment", lambda: deal.edit(hot=True))
    assert await deal.comments() == ["it", "below"]


async def test_a_control_that_was_resolved_meanwhile_is_resolved(product: Product) -> None:
    deal = await product.deal({"new": rules([control("it", {"days": 9}, params={"until": HOT}, **HOUR)])})
    await while_in_flight(deal, "control", lambda: deal.edit(hot=True))
    assert await deal.outcomes() == {"it": "done resolved"}


OPENS = {"wait": wait("it", BY_DATE, **HOUR), "control": control("it", BY_DATE, **HOUR)}


@pytest.mark.parametrize("kind", OPENS)
@pytest.mark.parametrize("days", [2, 9], ids=["nearer", "further"])
async def test_a_hold_that_opens_ends_by_the_date_set_meanwhile(
    product: Product, kind: str, days: int
) -> None:
    fields = {"visit_at": in_days(5).isoformat()}
    deal = await product.deal({"new": rules([OPENS[kind]])}, fields=fields)
    date = in_days(days)
    await while_in_flight(deal, kind, lambda: deal.edit(visit_at=date.isoformat()))
    assert await due(deal) == date
    await deal.reach(date + timedelta(hours=1))
    assert [line["at"] for line in await deal.lines("done", "late")] == [date]


async def test_the_rule_below_follows_the_date_set_meanwhile(product: Product) -> None:
    listed = [comment("first", **HOUR), comment("it", below=True, **BY_DATE)]
    deal = await product.deal({"new": rules(listed)}, fields={"visit_at": in_days(-5).isoformat()})
    date = in_days(5)
    await while_in_flight(deal, "add_comment", lambda: deal.edit(visit_at=date.isoformat()))
    assert await deal.comments() == ["first"]
    assert await due(deal) == date


async def asked_when(
    product: Product, meanwhile: Callable[[Deal], Awaitable[None]], *, responsible: str = "ada",
    calendar_id: str | None = None, **schedule: Any,
) -> Deal:  # fmt: skip
    """Something happens while it is asked when the step below a wait is due."""
    listed = [wait("patience"), comment("it", below=True, **schedule)]
    pipeline = await product.pipeline({"new": rules(listed)}, calendar_id=calendar_id)
    record = {"responsible": responsible, "fields": {"visit_at": in_days(9).isoformat()}}
    record_id, bell = await product.made(pipeline, **record)
    deal = Deal(product, record_id)
    product.doorbell.ring(bell)
    await deal.rest()
    gate = product.gates.close(deal.handle.id, "schedule_steps")
    assert await deal.client() == "ended_wait"
    await gate.reached.wait()
    await meanwhile(deal)
    await deal.heard()
    gate.open.set()
    await deal.rest()
    return deal


async def test_a_date_set_while_it_is_asked_when_a_step_is_due_is_followed(product: Product) -> None:
    date = in_days(5)
    deal = await asked_when(product, lambda deal: deal.edit(visit_at=date.isoformat()), **BY_DATE)
    assert await due(deal) == date


# -- people, their calendars and absences -------------------------------------------------------------
MORNING = {"after": {"days": 2}, "at": "09:00"}


async def hired(product: Product, **more: Any) -> str:
    """An employee of this test alone."""
    name = f"e{uuid4().hex[:12]}"
    async with product.database.transaction() as tx:
        await builders.employee(tx, name, **more)
    return name


async def of_its_pipeline(deal: Deal, **settings: str) -> None:
    """A zone or a calendar applies from now on, as the journey is told."""
    named = ", ".join(f"{name} = '{value}'" for name, value in settings.items())
    own = "(select pipeline_id from record where id = :id)"
    await deal.product.rows_changed(f"update pipeline set {named} where id = {own}", id=deal.id)
    fields = ["calendar" if name == "calendar_id" else name for name in settings]
    await deal.signal(FactsChanged(id=uuid4().hex, at=await deal.now(), fields=fields))


async def test_a_responsible_set_while_it_is_asked_when_a_step_is_due_is_followed(product: Product) -> None:
    other = await hired(product, zone="Pacific/Auckland")
    deal = await asked_when(product, lambda deal: deal.edit(responsible=other), **MORNING)
    assert (await hour(deal, AUCKLAND)) == 9


async def test_a_zone_set_while_it_is_asked_when_a_step_is_due_is_followed(product: Product) -> None:
    deal = await asked_when(product, lambda deal: of_its_pipeline(deal, zone="Pacific/Auckland"), **MORNING)
    assert (await hour(deal, AUCKLAND)) == 9


async def test_a_calendar_set_while_it_is_asked_when_a_step_is_due_is_followed(product: Product) -> None:
    nights = {"zone": "Europe/Paris", "week": {day: ["22:00-23:00"] for day in DAYS}}
    name = f"c{uuid4().hex[:12]}"
    async with product.database.transaction() as tx:
        await builders.calendar_of(tx, name, nights)
    deal = await asked_when(
        product, lambda deal: of_its_pipeline(deal, calendar_id=name), calendar_id="office",
        after={"days": 2}, working_time=True,
    )  # fmt: skip
    assert await hour(deal, PARIS) == 22


async def test_an_absence_entered_while_it_is_asked_when_a_step_is_due_is_followed(product: Product) -> None:
    who, date = await hired(product), in_days(3)

    async def off(deal: Deal) -> None:
        async with product.database.transaction() as tx:
            await builders.absence(tx, who, in_days(-1), date)
        await deal.signal(FactsChanged(id=uuid4().hex, at=await deal.now(), fields=["absence"]))

    deal = await asked_when(product, off, responsible=who, on_duty=True)
    assert await due(deal) == date


async def hour(deal: Deal, zone: ZoneInfo) -> int:
    """At what hour of the day the step is due."""
    found = await due(deal)
    assert found is not None
    return found.astimezone(zone).hour


# -- a leaving -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("on_exit", "ended"),
    [("cancel", "cancelled left_stage"), ("run_now", "skipped condition"), ("keep", "pending")],
)
async def test_what_has_not_acted_as_the_stage_is_left_ends_or_goes_on_as_its_chain_says(
    product: Product, on_exit: str, ended: str
) -> None:
    waits = comment("it", condition=HOT, if_false="wait", on_exit=on_exit, **HOUR)
    deal = await product.deal({"new": rules([waits])})
    await while_in_flight(deal, "add_comment", lambda: deal.move("offer"))
    assert (await deal.outcomes()).get("it", "pending") == ended


# -- operators ---------------------------------------------------------------------------------------
async def test_a_step_is_skipped_while_it_is_asked_when_it_is_due(product: Product) -> None:
    deal = await asked_when(product, lambda deal: deal.operate("skip", "it"), **BY_DATE)
    assert (await deal.outcomes())["it"] == "skipped operator"


async def test_a_step_is_rescheduled_while_it_is_asked_when_it_is_due(product: Product) -> None:
    date = in_days(2)
    deal = await asked_when(product, lambda deal: deal.operate("reschedule", "it", due=date), **BY_DATE)
    assert await due(deal) == date


async def test_a_control_is_skipped_and_rescheduled_while_its_act_is_in_flight(product: Product) -> None:
    again = {"after": {"days": 1}, "recipients": ["employee:eve"]}
    told = {"recipients": ["employee:hugo"], "escalate": [again]}
    date = in_days(2)
    deal = await product.deal({"new": rules([control("it", {"hours": 1}, params=told)])})
    await while_in_flight(deal, "control", lambda: deal.operate("reschedule", "it", due=date))
    assert await due(deal) == date
    await while_in_flight(deal, "control", lambda: deal.operate("skip", "it"))
    assert await deal.outcomes() == {"it": "skipped operator"}


async def test_what_acts_at_this_moment_is_not_pending(product: Product) -> None:
    async def skip() -> None:
        with pytest.raises(Refused):
            await deal.operate("skip", "it")

    deal = await product.deal({"new": rules([comment("it", **HOUR)])})
    await while_in_flight(deal, "add_comment", skip)
    assert await deal.comments() == ["it"]
