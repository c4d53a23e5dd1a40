"""A journey that begins anew knows what the one before knew: PostgreSQL has it all.

That this is so of every journey of these tests is checked wherever one comes to rest (`Deal.rest`).
"""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

from temporalio.client import WorkflowExecutionStatus

from db.doorbell import deliver
from db.outbox import Bell
from domain.journey import Face
from tests.journeys.product import Deal, Product, utc_now
from tests.journeys.rules import comment, control, move, rule, rules, wait
from tests.journeys.test_operations import share

HOT = {"field": "record.hot", "op": "equal", "value": True}
MAIL = {"to": ["ada@x.example"], "subject": "Hello", "text": "Hello."}


async def begun_anew(deal: Deal) -> None:
    """Its journey is lost, and the next bell starts another."""
    await deal.handle.terminate("it is lost")
    (row,) = await deal.product.rows("select visit_no from record where id = :id", id=deal.id)
    face = Face(record_type="deal")
    bell = Bell(uuid4(), deal.id, "entered", {"visit_no": row["visit_no"]}, row["visit_no"], face)
    await deliver(deal.product.environment.client, bell, deal.product.queue)
    await deal.rest()
    assert [line["event"] for line in await deal.lines("rebuilt")] == ["rebuilt"]


async def test_a_step_that_a_person_rescheduled_acts_when_the_person_said(product: Product) -> None:
    deal = await product.deal({"new": rules([comment("later", after={"days": 1}), wait("patience")])})
    start = await deal.now()
    await deal.operate("reschedule", "later", due=start + timedelta(days=5))
    await deal.operate("reschedule", "patience", due=start + timedelta(days=6))
    await begun_anew(deal)
    await deal.reach(start + timedelta(days=7))
    assert await deal.acted_at("later") == start + timedelta(days=5)
    assert await deal.acted_at("patience") == start + timedelta(days=6)


async def test_what_was_spread_after_an_outage_keeps_its_place(product: Product) -> None:
    spread = comment("spread", catch_up={"spread_over": {"hours": 8}}, after={"hours": 1})
    deal = await product.deal({"new": rules([spread])})
    await deal.operate("suspend")
    await deal.pass_time(hours=6)
    await deal.operate("resume")
    await deal.rest()
    (resumed,) = await deal.lines("resume")
    await begun_anew(deal)
    await deal.pass_time(hours=24)
    due = resumed["at"] + timedelta(hours=8) * share(f"deal-{deal.id}/spread")
    assert await deal.acted_at("spread") == due


async def test_what_waits_for_its_condition_is_not_late_for_that(product: Product) -> None:
    due = {"after": {"hours": 1}, "catch_up": {"drop_if_late": {"hours": 2}}}
    thanks = comment("thanks", condition=HOT, if_false="wait", **due)
    deal = await product.deal({"new": rules([thanks])})
    await deal.pass_time(hours=2)
    await begun_anew(deal)
    await deal.pass_time(hours=8)
    await deal.edit(hot=True)
    await deal.rest()
    assert await deal.outcomes() == {"thanks": "done"}


async def test_what_was_changed_while_there_was_no_journey_is_noticed(product: Product) -> None:
    thanks = comment("thanks", condition=HOT, if_false="wait")
    signature = control("signature", {"days": 3}, params={"until": HOT})
    deal = await product.deal({"new": rules([thanks, signature])})
    await deal.product.rows_changed(
        "update record set fields = fields || '{\"hot\": true}' where id = :id", id=deal.id
    )
    await begun_anew(deal)
    assert await deal.outcomes() == {"thanks": "done", "signature": "done resolved"}


async def test_a_rule_below_a_control_counts_from_its_opening_however_it_ended(product: Product) -> None:
    signature = control("signature", {"days": 9}, params={"until": HOT})
    below = comment("below", below=True, after={"days": 3}, run_if_previous="done")
    deal = await product.deal({"new": rules([signature, below])})
    start = (await deal.lines("created"))[0]["at"]
    await deal.pass_time(days=1)
    await deal.operate("skip", "signature")
    await begun_anew(deal)
    await deal.pass_time(days=9)
    assert await deal.outcomes() == {"signature": "skipped operator", "below": "done"}
    assert await deal.acted_at("below") == start + timedelta(days=3)


async def test_what_was_run_now_while_it_waited_for_its_condition_follows_its_date_no_more(
    product: Product,
) -> None:
    dated = comment("it", basis="record.visit_at", if_past="fail", condition=HOT, if_false="wait")
    soon, before = ((utc_now() + timedelta(hours=hours)).isoformat() for hours in (1, -1))
    deal = await product.deal({"new": rules([dated])}, fields={"visit_at": soon})
    await deal.pass_time(hours=2)
    await deal.operate("run_now", "it")
    await begun_anew(deal)
    await deal.edit(visit_at=before)
    await deal.edit(hot=True)
    await deal.rest()
    assert await deal.outcomes() == {"it": "done"}


async def test_whoever_was_told_of_lateness_is_told_how_it_ended_once(product: Product) -> None:
    watch = control("watch", {"hours": 1}, params={"recipients": ["employee:hugo"]})
    deal = await product.deal({"new": rules([watch]), "offer": []})
    await deal.pass_time(hours=2)
    await deal.handle.terminate("it is lost")
    await deal.move("offer", ring=False)
    for _ in range(2):
        await start_anew(deal)
        await deal.handle.terminate("it is lost")
    assert len(await deal.lines("told_how_it_ended")) == 1


async def start_anew(deal: Deal) -> None:
    (row,) = await deal.product.rows("select visit_no from record where id = :id", id=deal.id)
    await deal.start(wanted=row["visit_no"])
    await deal.rest()


async def test_kept_steps_of_a_stage_that_was_left_keep_their_time(product: Product) -> None:
    kept = [comment("first", on_exit="keep"), comment("kept", below=True, after={"days": 2})]
    at_once = [comment("hello", on_exit="run_now", after={"days": 9})]
    onwards = move("on", "offer", after={"days": 1})
    deal = await product.deal({"new": rules([*kept, *at_once, onwards]), "offer": rules([comment("thanks")])})
    start = (await deal.lines("created"))[0]["at"]
    await deal.pass_time(days=1, hours=1)
    await begun_anew(deal)
    await deal.pass_time(days=3)
    assert await deal.acted_at("kept") == start + timedelta(days=2)
    assert sorted(await deal.comments()) == ["first", "hello", "kept", "thanks"]


async def test_a_record_restored_while_its_journey_winds_up_is_followed(product: Product) -> None:
    listed = rules([rule("send_email", "mail", MAIL, after={"hours": 1}), wait("patience")])
    deal = await product.deal({"offer": listed}, stage="offer")
    first, gate = (await deal.handle.describe()).run_id, product.gates.close(deal.handle.id, "send_email")
    await deal.operate("run_now", "mail")
    await gate.reached.wait()
    await deal.delete()
    await deal.opened(2)
    await deal.restore()
    await product.rung()
    gate.open.set()
    await deal.rest()
    again = await deal.handle.describe()
    assert (again.run_id != first, again.status) == (True, WorkflowExecutionStatus.RUNNING)
    assert await deal.outcomes(3) == {"patience": "open"}
