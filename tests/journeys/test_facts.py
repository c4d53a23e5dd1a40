"""What is pending follows its facts; holds act at their times, in working time, and say how they ended."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.journeys.product import Deal, Product, utc_now
from tests.journeys.rules import comment, control, edit, move, rule, rules, wait

PARIS = ZoneInfo("Europe/Paris")
HOT = {"field": "record.hot", "op": "equal", "value": True}
BY_DATE = {"basis": "record.visit_at"}
FOLLOWS = {
    "a pending step": comment("it", **BY_DATE),
    "the end of an open wait": wait("it", BY_DATE),
    "the deadline of a control": control("it", BY_DATE, params={"recipients": ["employee:hugo"]}),
}


def in_days(days: int) -> datetime:
    return utc_now().replace(microsecond=0) + timedelta(days=days)


async def due(deal: Deal, rule: str = "it") -> datetime | None:
    step = (await deal.rest()).progress.step(1, rule)
    return step.due if step else None


def instants(detail: dict[str, Any], *names: str) -> list[datetime]:
    return [datetime.fromisoformat(detail[name]) for name in names]


@pytest.mark.parametrize("what", FOLLOWS)
async def test_follows_its_date_and_the_journal_says_from_what_to_what(product: Product, what: str) -> None:
    before, after = in_days(3), in_days(5)
    deal = await product.deal({"new": rules([FOLLOWS[what]])}, fields={"visit_at": before.isoformat()})
    assert await due(deal) == before
    await deal.edit(visit_at=after.isoformat())
    assert await due(deal) == after
    (line,) = await deal.lines("replanned", rule="it")
    assert instants(line["detail"], "from", "to") == [before, after]
    await deal.reach(after + timedelta(hours=1))
    ended = await deal.lines("done", "late")
    assert [(line["rule"], line["at"]) for line in ended] == [("it", after)]


@pytest.mark.parametrize("what", FOLLOWS)
async def test_a_fact_that_puts_it_into_the_past_makes_it_due_at_once(product: Product, what: str) -> None:
    deal = await product.deal({"new": rules([FOLLOWS[what]])}, fields={"visit_at": in_days(3).isoformat()})
    await deal.edit(visit_at=in_days(-3).isoformat())
    await deal.rest()
    assert [line["rule"] for line in await deal.lines("done", "late")] == ["it"]


async def test_what_a_rule_edits_is_followed_as_what_a_person_edits(product: Product) -> None:
    after = in_days(5)
    sets = edit("set", "visit_at", after.isoformat(), after={"hours": 1})
    deal = await product.deal(
        {"new": rules([comment("it", **BY_DATE), sets])}, fields={"visit_at": in_days(3).isoformat()}
    )
    await deal.pass_time(hours=2)
    assert await due(deal) == after


STAGE_AND_FIELDS = {
    "a rule": [
        {"field": "visit_at", "value": "2020-01-01T09:00:00+00:00"},
        {"field": "hot", "value": True},
        {"field": "stage", "value": "offer"},
    ],
    "a person": [],
}


@pytest.mark.parametrize("who", STAGE_AND_FIELDS)
async def test_what_is_set_together_with_a_move_is_a_fact_of_the_stage_entered(
    product: Product, who: str
) -> None:
    waits = {"condition": HOT, "if_false": "wait"}
    listed = [
        comment("must_not_be_late", if_past="fail", **BY_DATE),
        comment("may_be_late", if_past="skip", **BY_DATE),
        comment("waits", **waits),
        control("watch", {"days": 2}, params={"until": HOT}),
        wait("patience", BY_DATE),
        comment("kept", on_exit="keep", **waits),
    ]
    if sets := STAGE_AND_FIELDS[who]:
        listed.append(rule("edit_record", "moves", {"set": sets}, after={"hours": 1}))
    deal = await product.deal(
        {"new": rules(listed), "offer": rules([comment("there", **waits)])},
        fields={"visit_at": in_days(3).isoformat()},
    )
    if sets:
        await deal.pass_time(hours=2)
    else:
        await deal.edit_and_move("offer", hot=True, visit_at=in_days(-9).isoformat())
    await deal.rest()
    names = ("must_not_be_late", "may_be_late", "waits", "watch", "patience")
    acted = {"kept": "done", "there": "done"} | ({"moves": "done"} if sets else {})
    assert await deal.outcomes() == dict.fromkeys(names, "cancelled left_stage") | acted


async def test_an_empty_date_is_waited_for(product: Product) -> None:
    deal = await product.deal({"new": rules([comment("it", **BY_DATE)])})
    assert await due(deal) is None
    await deal.edit(visit_at=in_days(2).isoformat())
    await deal.pass_time(days=3)
    assert await deal.comments() == ["it"]


async def test_a_rule_waits_for_its_condition_and_acts_as_soon_as_it_is_met(product: Product) -> None:
    deal = await product.deal({"new": rules([comment("it", condition=HOT, if_false="wait")])})
    assert await deal.comments() == []
    await deal.edit(hot=True)
    await deal.rest()
    assert await deal.comments() == ["it"]


async def test_below_a_hold_the_client_ended_the_due_time_is_computed_from_its_end(product: Product) -> None:
    morning = comment("then", below=True, after={"days": 1}, at="09:00")
    deal = await product.deal({"new": rules([wait("patience", {"days": 9}), morning])})
    await deal.pass_time(days=2)
    await deal.client()
    told = (await deal.now()).astimezone(PARIS)
    next_day = datetime.combine(told.date() + timedelta(days=1), time(9), PARIS)
    assert await due(deal, "then") == next_day
    assert (await deal.scheduled())["schedule_steps"] == 1
    await deal.pass_time(days=2)
    assert await deal.acted_at("then") == next_day


# -- controls ----------------------------------------------------------------------------------------
async def test_a_control_is_resolved_as_soon_as_its_condition_holds(product: Product) -> None:
    listed = [
        control("in_time", {"days": 2}, params={"until": HOT}),
        control("too_late", {"hours": 1}, params={"until": HOT}),
        comment("below", below=True),
    ]
    deal = await product.deal({"new": rules(listed)})
    assert await deal.comments() == ["below"]
    await deal.pass_time(hours=2)
    await deal.edit(hot=True)
    await deal.rest()
    assert await deal.outcomes() == {
        "below": "done", "in_time": "done resolved", "too_late": "done resolved_late",
    }  # fmt: skip


def monday() -> datetime:
    """10:00 in Paris, of the first Monday that is not today or tomorrow."""
    day = (utc_now() + timedelta(days=2)).astimezone(PARIS).date()
    return datetime.combine(day + timedelta(days=-day.weekday() % 7), time(10), PARIS)


async def notices(deal: Deal) -> list[tuple[datetime, str]]:
    rows = await deal.product.rows(
        "select employee_id, at from notification where record_id = :id order by id", id=deal.id
    )
    return [(row["at"].astimezone(UTC), row["employee_id"]) for row in rows]


async def test_a_control_escalates_in_working_time_and_says_how_it_ended(product: Product) -> None:
    again = {
        "after": {"hours": 4},
        "recipients": ["employee:eve"],
        "repeat": {"every": {"hours": 4}, "at_most": 2},
    }
    watch = control(
        "watch",
        {"after": {"hours": 4}, "working_time": True},
        params={"recipients": ["employee:hugo"], "escalate": [again]},
    )
    deal = await product.deal({"offer": rules([watch])}, responsible="ben")
    start = monday()
    await deal.reach(start)
    await deal.move("offer", at=start)
    await deal.reach(start + timedelta(days=7))
    noon = start.replace(hour=12)
    assert await notices(deal) == [
        (start.replace(hour=16), "hugo"),
        (start.replace(hour=11) + timedelta(days=1), "eve"),
        (start.replace(hour=17) + timedelta(days=1), "eve"),
        (noon + timedelta(days=2), "eve"),
    ]
    assert [line["at"] for line in await deal.lines("late")] == [start.replace(hour=16)]
    await deal.move("won")
    await deal.rest()
    assert (await deal.outcomes())["watch"] == "done resolved_late"
    assert sorted(employee for _, employee in (await notices(deal))[4:]) == ["eve", "hugo"]


# -- the loop guard ----------------------------------------------------------------------------------
async def test_a_wait_whose_move_the_loop_guard_stops_stays_open(product: Product) -> None:
    def on(name: str, stage: str) -> list[dict[str, Any]]:
        return rules([wait(name, {"minutes": 1}, ends={"on_timeout": {"move_to": stage}})])

    deal = await product.deal({"new": on("forth", "offer"), "offer": on("back", "new")})
    await deal.pass_time(minutes=30)
    assert (await deal.state()).progress.visit_no == 11  # ten moves were made, the eleventh was not
    assert await deal.outcomes(11) == {"forth": "open"}
    assert [employee for _, employee in await notices(deal)] == ["eve"]
    assert [line["reason"] for line in await deal.lines("suspended")] == ["loop"]
    await deal.operate("resume")
    await deal.rest()
    assert await deal.outcomes(11) == {"forth": "done time"}
    assert (await deal.state()).progress.visit_no == 12


async def test_a_step_the_loop_guard_stops_stays_pending(product: Product) -> None:
    minute = {"after": {"minutes": 1}}
    deal = await product.deal(
        {"new": rules([move("forth", "offer", **minute)]), "offer": rules([move("back", "new", **minute)])}
    )
    await deal.pass_time(minutes=30)
    assert (await deal.state()).progress.visit_no == 11
    assert await deal.outcomes(11) == {}
    await deal.operate("resume")
    await deal.rest()
    assert await deal.outcomes(11) == {"forth": "done"}


async def test_after_a_resume_it_counts_again_though_the_clock_stands_still(product: Product) -> None:
    deal = await product.deal({"new": rules([move("forth", "offer")]), "offer": rules([move("back", "new")])})
    assert (await deal.state()).progress.visit_no == 11
    for resumed in (1, 2):
        await deal.operate("resume")
        assert (await deal.rest()).progress.visit_no == 11 + 10 * resumed
        assert (await deal.rest()).face.suspended
