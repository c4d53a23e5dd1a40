"""What a journey hears, from the product and from clients of Temporal, and what it makes of it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import WorkflowExecutionStatus

from db.doorbell import deliver
from db.outbox import Bell
from domain.journey import WORKFLOW, ClientActivity, Entered, Face, FactsChanged, JourneyState, Move
from tests.journeys.product import Deal, Product, utc_now
from tests.journeys.rules import comment, rules, wait


async def test_an_event_for_a_visit_already_opened_changes_nothing(product: Product) -> None:
    deal = await product.deal({"new": rules([comment("hello"), comment("later", after={"hours": 1})])})
    before = await deal.lines()
    shown = await deal.state()
    for visit_no in (1, 1, 0):
        await deal.signal(Entered(id=uuid4().hex, visit_no=visit_no))
    after = await deal.rest()
    assert (await deal.lines(), after.progress) == (before, shown.progress)


async def test_a_visit_there_is_not_hides_none_that_is_heard_of_meanwhile(product: Product) -> None:
    deal = await product.deal({"new": rules([comment("hello")]), "offer": rules([comment("thanks")])})
    looks = product.gates.close(deal.handle.id, "enter_stage")
    await deal.signal(Entered(id=uuid4().hex, visit_no=1000))
    await looks.reached.wait()
    await deal.move("offer", ring=False)
    await deal.signal(Entered(id=uuid4().hex, visit_no=2))
    looks.open.set()
    await deal.rest()
    assert await deal.comments() == ["hello", "thanks"]


async def visits(product: Product, stages: dict[str, Any], *path: str) -> Deal:
    """A deal that went through stages while its journey heard nothing."""
    record_id, _ = await product.made(await product.pipeline(stages))
    deal = Deal(product, record_id)
    for stage in path:
        await deal.move(stage, ring=False)
    return deal


async def entries(deal: Deal) -> list[Any]:
    """When each visit began."""
    asked = "select entered_at from visit where record_id = :id order by visit_no"
    rows = await deal.product.rows(asked, id=deal.id)
    return [row["entered_at"] for row in rows]


async def test_a_journey_opens_and_leaves_every_visit_it_missed(product: Product) -> None:
    stages = {
        "new": rules([comment("hello"), wait("patience"), comment("then", below=True)]),
        "offer": rules([comment("thanks")]),
    }
    deal = await visits(product, stages, *("offer", "new") * 3)
    await deal.start(wanted=7)
    await deal.rest()
    for visit_no in (1, 3, 5):
        assert await deal.outcomes(visit_no) == dict.fromkeys(
            ("hello", "patience", "then"), "stale left_before_start"
        )
    for visit_no in (2, 4, 6):
        assert await deal.outcomes(visit_no) == {"thanks": "stale left_before_start"}
    assert await deal.outcomes(7) == {"hello": "done", "patience": "open"}
    assert await deal.comments() == ["hello"]


async def test_keep_chains_of_missed_visits_go_on_from_the_stage_entry(product: Product) -> None:
    stages = {
        "new": rules([comment("kept", after={"hours": 1}, on_exit="keep"), comment("below", below=True)])
    }
    deal = await visits(product, stages, *("offer", "new") * 3)
    began = await entries(deal)
    await deal.start(wanted=7)
    await deal.pass_time(hours=2)
    done = await deal.lines("done", rule="kept")
    assert [(line["visit_no"], line["at"]) for line in done] == [
        (visit_no, began[visit_no - 1] + timedelta(hours=1)) for visit_no in (1, 3, 5, 7)
    ]
    assert await deal.comments() == ["kept", "below"] * 4


async def test_keep_chains_do_not_outlive_a_pipeline_change_nobody_heard_of(product: Product) -> None:
    stages = {"new": rules([comment("kept", after={"hours": 1}, on_exit="keep")])}
    deal = await visits(product, stages, "offer")
    await deal.change_pipeline(await product.pipeline({"new": rules([comment("other")])}))
    await deal.rest()
    await deal.pass_time(hours=2)
    assert await deal.comments() == ["other"]
    assert (await deal.outcomes())["kept"].split()[0] in ("stale", "cancelled")


async def test_a_client_activity_told_directly_ends_a_wait(product: Product) -> None:
    deal = await product.deal({"new": rules([wait("patience"), comment("then", below=True)])})
    call = ClientActivity(id=uuid4().hex, type="call")
    await asyncio.gather(deal.signal(call), deal.signal(call))
    await deal.rest()
    assert await deal.outcomes() == {"patience": "done client", "then": "done"}
    recorded = await product.rows("select type from client_activity where record_id = :id", id=deal.id)
    assert recorded == [{"type": "call"}]


async def test_a_move_told_directly_twice_moves_once(product: Product) -> None:
    deal = await product.deal({"offer": rules([comment("thanks")])})
    ask = Move(id=uuid4().hex, stage="offer", by="eve")
    await asyncio.gather(deal.signal(ask), deal.signal(ask))
    await deal.rest()
    await deal.move("new")
    await deal.rest()
    await deal.signal(ask)
    await deal.rest()
    assert await deal.comments() == ["thanks"]
    moves = await deal.lines("moved")
    assert [(line["visit_no"], line["actor"]) for line in moves] == [(2, "eve"), (3, "eve")]


async def test_a_move_to_a_stage_there_is_not_is_journaled_with_who_asked(product: Product) -> None:
    deal = await product.deal({})
    await deal.signal(Move(id=uuid4().hex, stage="nowhere", by="eve"))
    await deal.rest()
    (line,) = await deal.lines("not_moved")
    assert (line["reason"], line["actor"], line["visit_no"]) == ("wrong_stage", "eve", 1)


async def test_changed_facts_told_directly_are_followed(product: Product) -> None:
    dated = comment("dated", basis="record.visit_at")
    due = utc_now().replace(microsecond=0) + timedelta(days=3)
    deal = await product.deal({"new": rules([dated])}, fields={"visit_at": due.isoformat()})
    later = due + timedelta(days=1)
    changed = "fields || jsonb_build_object('visit_at', cast(:at as text))"
    edit = f"update record set fields = {changed} where id = :id"
    await product.rows_changed(edit, id=deal.id, at=later.isoformat())
    assert (await deal.state()).progress.next_due == due
    await deal.signal(FactsChanged(id=uuid4().hex, at=await deal.now(), fields=["record.visit_at"]))
    assert (await deal.rest()).progress.next_due == later


# -- a record that is gone ---------------------------------------------------------------------------
async def purge(deal: Deal) -> None:
    await deal.product.rows_changed("delete from record where id = :id", id=deal.id)


async def ring(deal: Deal, kind: str, payload: dict[str, Any]) -> None:
    """Ring a bell of the record late."""
    face = Face(record_type="deal", pipeline="sales", stage="new")
    bell = Bell(uuid4(), deal.id, kind, payload, 1, face)
    await deliver(deal.product.environment.client, bell, deal.product.queue)


LATE = {
    "entered": {"visit_no": 2},
    "client_activity": {"recorded": False, "type": "call"},
    "facts_changed": {"at": "2026-03-02T12:00:00Z", "fields": ["record.score"]},
}


@pytest.mark.parametrize("purged", [False, True], ids=["deleted", "purged"])
@pytest.mark.parametrize("kind", LATE)
async def test_a_late_signal_for_a_record_that_is_gone_is_a_line_in_the_journal(
    product: Product, kind: str, purged: bool
) -> None:
    deal = await product.deal({"new": rules([wait("patience")])})
    await deal.delete()
    await deal.over()
    if purged:
        await purge(deal)
    before = len(await deal.lines())
    await ring(deal, kind, LATE[kind])
    await deal.over()
    lines = (await deal.lines())[before:]
    assert {line["event"] for line in lines} == {"ignored"}
    assert await deal.comments() == []


async def test_a_signal_with_start_by_hand_for_no_record_leaves_no_workflow_open(product: Product) -> None:
    deal = Deal(product, uuid4().int >> 66)
    await product.environment.client.start_workflow(
        WORKFLOW, JourneyState(record_id=deal.id), id=deal.handle.id, task_queue=product.queue,
        start_signal="client_activity", start_signal_args=[ClientActivity(id=uuid4().hex, type="call")],
    )  # fmt: skip
    await deal.over()
    # the start, and the signal
    assert [line["event"] for line in await deal.lines()] == ["ignored", "ignored"]


@pytest.mark.parametrize("kind", ["client_activity", "move", "facts_changed"])
async def test_a_journey_whose_record_is_purged_ends_with_the_next_signal(
    product: Product, kind: str
) -> None:
    deal = await product.deal({"new": rules([wait("patience")])})
    at = await deal.now()
    await purge(deal)
    messages = {
        "client_activity": ClientActivity(id=uuid4().hex, type="call"),
        "move": Move(id=uuid4().hex, stage="offer"),
        "facts_changed": FactsChanged(id=uuid4().hex, at=at, fields=["record.score"]),
    }
    await deal.signal(messages[kind])
    await deal.over()
    assert (await deal.handle.describe()).status == WorkflowExecutionStatus.COMPLETED
    assert "ignored" in [line["event"] for line in await deal.lines()]
