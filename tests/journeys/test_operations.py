"""What a person may do to a pending step, an open hold, a whole record; everything with who and why."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from hashlib import sha256
from typing import Any
from uuid import uuid4

import pytest

from api.journeys import operated
from api.view import record
from db import operations
from db.outbox import Bell
from domain.errors import Refused
from domain.journey import Operation, Verb
from tests.journeys.product import Deal, Product, utc_now
from tests.journeys.rules import comment, control, rules, wait

NEVER = {"field": "record.hot", "op": "equal", "value": True}


async def refused(deal: Deal, verb: Verb, rule: str = "", **more: Any) -> str:
    """Why an operation is refused."""
    with pytest.raises(Refused) as caught:
        await deal.operate(verb, rule, **more)
    return caught.value.message


async def test_run_now_drops_the_delay_and_nothing_else(product: Product) -> None:
    later = {"after": {"days": 2}}
    deal = await product.deal(
        {
            "new": rules(
                [
                    comment("later", **later),
                    comment("below", below=True),
                    comment("never", condition=NEVER, **later),
                ]
            )
        }
    )
    await deal.operate("run_now", "later")
    await deal.operate("run_now", "never")
    await deal.rest()
    assert await deal.outcomes() == {"later": "done", "below": "done", "never": "skipped condition"}


async def test_run_now_drops_the_delay_also_of_a_step_that_waits_for_its_condition(product: Product) -> None:
    dated = comment("it", basis="record.visit_at", if_past="fail", condition=NEVER, if_false="wait")
    soon, before = ((utc_now() + timedelta(hours=hours)).isoformat() for hours in (1, -1))
    deal = await product.deal({"new": rules([dated])}, fields={"visit_at": soon})
    await deal.pass_time(hours=2)
    await deal.operate("run_now", "it")
    await deal.edit(visit_at=before)
    await deal.rest()
    assert await deal.outcomes() == {}
    await deal.edit(hot=True)
    await deal.rest()
    assert await deal.outcomes() == {"it": "done"}


async def test_run_now_and_skip_end_an_open_wait_as_done_by_a_person(product: Product) -> None:
    deal = await product.deal(
        {"new": rules([wait("one"), comment("then", below=True), wait("other"), comment("too", below=True)])}
    )
    await deal.operate("run_now", "one")
    await deal.operate("skip", "other")
    await deal.rest()
    assert await deal.outcomes() == {
        "one": "done person", "then": "done", "other": "done person", "too": "done",
    }  # fmt: skip
    ended = await deal.lines("done", rule="one")
    assert [line["actor"] for line in ended] == ["eve"]


async def test_skip_ends_a_pending_step_and_the_chain_goes_on(product: Product) -> None:
    deal = await product.deal(
        {"new": rules([comment("later", after={"days": 2}), comment("below", below=True)])}
    )
    await deal.operate("skip", "later")
    await deal.rest()
    assert await deal.outcomes() == {"later": "skipped operator", "below": "done"}
    assert await deal.comments() == ["below"]


async def test_skip_closes_a_control_as_given_up(product: Product) -> None:
    late = control("late", {"hours": 1}, params={"recipients": ["employee:hugo"]})
    deal = await product.deal({"new": rules([control("watch", {"days": 2}), late])})
    await deal.pass_time(hours=2)
    await deal.operate("skip", "watch")
    await deal.operate("skip", "late")
    await deal.rest()
    assert await deal.outcomes() == {"watch": "skipped operator", "late": "skipped operator"}
    holds = await product.rows("select rule, state from hold where record_id = :id", id=deal.id)
    assert {row["rule"]: row["state"] for row in holds} == {"watch": "given_up", "late": "given_up"}
    told = await deal.lines("told_how_it_ended")
    assert [(line["rule"], line["detail"]["told"]) for line in told] == [("late", ["hugo"])]


async def test_everything_is_journaled_with_who_and_why(product: Product) -> None:
    steps = [comment(name, after={"days": 2}) for name in ("a", "b", "c")]
    deal = await product.deal({"new": rules(steps)})
    due = utc_now() + timedelta(days=5)
    await deal.operate("run_now", "a", who="ada", why="they are here")
    await deal.operate("skip", "b", who="ben", why="no use")
    await deal.operate("reschedule", "c", who="eve", why="they are away", due=due)
    await deal.operate("suspend", who="hugo", why="a complaint")
    await deal.operate("resume", who="hugo", why="settled")
    asked = await deal.lines("run_now", "skip", "reschedule", "suspend", "resume")
    assert [(line["event"], line["rule"], line["actor"], line["detail"]["why"]) for line in asked] == [
        ("run_now", "a", "ada", "they are here"),
        ("skip", "b", "ben", "no use"),
        ("reschedule", "c", "eve", "they are away"),
        ("suspend", "", "hugo", "a complaint"),
        ("resume", "", "hugo", "settled"),
    ]


async def test_what_cannot_be_done_is_refused_and_changes_nothing(product: Product) -> None:
    pending = comment("later", after={"days": 2})
    deal = await product.deal({"new": rules([comment("hello"), pending, control("watch", {"days": 2})])})
    before = await deal.lines()
    for verb in ("run_now", "skip", "reschedule"):
        due = {"due": utc_now() + timedelta(days=5)}
        assert (await refused(deal, verb, "hello", **due)).endswith("is not pending")
        assert (await refused(deal, verb, "unheard", **due)).endswith("is not pending")
        assert (await refused(deal, verb, "later", visit_no=9, **due)).endswith("is not pending")
        assert await refused(deal, verb, "later", who=" ", **due) == "say who asks"
    for verb in ("suspend", "resume"):
        assert await refused(deal, verb, who="") == "say who asks"
    assert (await refused(deal, "reschedule", "later")).startswith("to reschedule")
    assert (await refused(deal, "run_now", "watch")).startswith("a control")
    assert (await refused(deal, "resume")).startswith("the record is not suspended")
    assert await deal.lines() == before
    await deal.operate("suspend")
    assert (await refused(deal, "run_now", "later")).startswith("nothing acts")
    assert await deal.comments() == ["hello"]


async def test_a_rescheduled_step_follows_its_facts_no_more(product: Product) -> None:
    day = utc_now().replace(microsecond=0) + timedelta(days=3)
    dated = {"basis": "record.visit_at"}
    listed = [
        comment("step", **dated),
        wait("patience", dated),
        control("watch", dated),
        comment("other", **dated),
    ]
    deal = await product.deal({"new": rules(listed)}, fields={"visit_at": day.isoformat()})
    fixed = {
        "step": day + timedelta(days=1),
        "patience": day + timedelta(days=2),
        "watch": day + timedelta(days=3),
    }
    for rule, due in fixed.items():
        await deal.operate("reschedule", rule, due=due)
    await deal.edit(visit_at=(day + timedelta(days=20)).isoformat())
    shown = await deal.rest()
    dues = {rule: step.due for rule in (*fixed, "other") if (step := shown.progress.step(1, rule))}
    assert dues == fixed | {"other": day + timedelta(days=20)}
    await deal.reach(day + timedelta(days=4))
    assert (await deal.acted_at("step"), await deal.acted_at("patience")) == (
        fixed["step"],
        fixed["patience"],
    )
    assert [line["at"] for line in await deal.lines("late")] == [fixed["watch"]]


async def test_the_same_request_is_done_once(product: Product) -> None:
    deal = await product.deal({"new": rules([comment("later", after={"days": 2})])})
    request = uuid4().hex
    for _ in range(2):
        await deal.operate("reschedule", "later", key=request, due=utc_now() + timedelta(days=5))
    assert len(await deal.lines("reschedule")) == 1


async def test_what_was_withdrawn_is_not_done_and_may_be_asked_anew(product: Product) -> None:
    deal = await product.deal({"new": rules([comment("later", after={"days": 2})])})
    asked = Operation(id="", key=uuid4().hex, verb="skip", who="eve", rule="later", at=utc_now())

    async def ask() -> Bell | None:
        async with product.database.transaction() as tx:
            return await operations.ask(tx, await record(tx, deal.id), asked, "")

    async def withdraw() -> bool:
        async with product.database.transaction() as tx:
            return await operations.withdraw(tx, asked.key)

    bell = await ask()
    assert await ask() is None
    assert await withdraw()
    product.doorbell.ring(bell)  # in hand as it was withdrawn
    await product.doorbell.settle()
    await deal.rest()
    assert (await deal.outcomes(), await deal.lines("skip")) == ({}, [])
    product.doorbell.ring(await ask())
    await operated(product.database, asked.key)
    assert not await withdraw()
    await deal.rest()
    assert await deal.outcomes() == {"later": "skipped operator"}


# -- suspending --------------------------------------------------------------------------------------
async def test_suspended_nothing_acts_and_what_queued_goes_on_at_the_resume(product: Product) -> None:
    late = control("watch", {"hours": 1}, params={"recipients": ["employee:hugo"]})
    deal = await product.deal(
        {
            "new": rules(
                [
                    comment("later", after={"hours": 1}),
                    comment("below", below=True),
                    wait("patience", {"hours": 2}),
                    comment("then", below=True),
                    wait("call"),
                    comment("thanks", below=True),
                    late,
                ]
            )
        }
    )
    await deal.operate("suspend")
    assert await deal.client() == "ended_wait"  # "call" and "patience": the client still ends waits
    await deal.pass_time(hours=5)
    assert await deal.comments() == []
    assert await deal.lines("late", "told_late") == []
    assert await deal.outcomes() == {"patience": "done client", "call": "done client", "watch": "open"}
    await deal.operate("resume")
    await deal.rest()
    assert sorted(await deal.comments()) == ["below", "later", "thanks", "then"]
    (resumed,) = await deal.lines("resume")
    assert await deal.acted_at("later") >= resumed["at"]
    assert [line["rule"] for line in await deal.lines("late", "told_late")] == ["watch", "watch"]


async def test_the_end_of_a_wait_by_time_queues_while_suspended(product: Product) -> None:
    deal = await product.deal({"new": rules([wait("patience"), comment("then", below=True)])})
    await deal.operate("suspend")
    await deal.pass_time(hours=5)
    assert await deal.outcomes() == {"patience": "open"}
    await deal.operate("resume")
    await deal.rest()
    assert await deal.outcomes() == {"patience": "done time", "then": "done"}


async def test_people_may_move_a_suspended_record(product: Product) -> None:
    deal = await product.deal(
        {"new": rules([comment("later", after={"hours": 1})]), "offer": rules([comment("hello")])}
    )
    await deal.operate("suspend")
    await deal.move("offer")
    await deal.rest()
    assert await deal.outcomes() == {"later": "cancelled left_stage"}
    await deal.operate("resume")
    await deal.rest()
    assert await deal.comments() == ["hello"]


async def test_catch_up_says_what_becomes_of_what_queued(product: Product) -> None:
    period, hour = timedelta(hours=8), {"after": {"hours": 1}}
    deal = await product.deal(
        {
            "new": rules(
                [
                    comment("dropped", catch_up={"drop_if_late": {"hours": 2}}, **hour),
                    comment("in_time", catch_up={"drop_if_late": {"hours": 12}}, **hour),
                    comment("spread", catch_up={"spread_over": {"hours": 8}}, **hour),
                    comment("run", **hour),
                ]
            )
        }
    )
    await deal.operate("suspend")
    await deal.pass_time(hours=6)
    await deal.operate("resume")
    await deal.rest()
    (resumed,) = await deal.lines("resume")
    due = resumed["at"] + period * share(f"deal-{deal.id}/spread")
    assert await deal.outcomes() == {"dropped": "skipped too_late", "in_time": "done", "run": "done"}
    await deal.pass_time(hours=9)
    assert await deal.acted_at("spread") == due


def share(key: str) -> float:
    """The first four bytes of SHA-256 as a part of one."""

    return int.from_bytes(sha256(key.encode()).digest()[:4], "big") / 2**32


async def test_what_happens_at_once_is_answered_one_after_the_other(product: Product) -> None:
    names = [f"r{n}" for n in range(8)]
    deal = await product.deal({"new": rules([comment(name, after={"days": 1}) for name in names])})
    await asyncio.gather(*(deal.operate("run_now", name) for name in names))
    assert sorted(await deal.comments()) == names
