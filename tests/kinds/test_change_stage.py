"""Row 20: the record moves to another stage of its pipeline."""

from __future__ import annotations

from datetime import timedelta

import pytest

from domain.errors import Refused
from tests import builders
from tests.builders import NOON
from tests.kinds.conftest import Desk, refused_on_save

LATER = NOON + timedelta(hours=1)


async def test_the_record_is_in_a_new_visit_and_the_journal_says_who_moved_it(desk: Desk) -> None:
    deal = await desk.deal(stage="new")
    done = await desk.does(deal, "change_stage", rule="on", acting="responsible", now=LATER, stage="offer")
    record = await desk.record(deal)
    assert (record["stage_id"], record["visit_no"], record["version"]) == ("offer", 2, 2)
    assert (done.moved_to, done.results) == (2, {"stage": "offer", "moved": True})
    left, entered = await desk.rows("visit", order="visit_no")
    assert (left["left_at"], left["left_reason"], left["left_by"]) == (LATER, "left_stage", "on")
    assert (entered["cause"], entered["automatic"], entered["actor"]) == ("moved", True, "ada")
    *_, (event, _, actor, detail) = await desk.journal(deal)
    assert (event, actor) == ("moved", "ada")
    assert detail == {"from": "sales/new", "to": "sales/offer", "rule": "on"}


async def test_its_own_outcome_tells_the_journey_so_no_bell_is_left_to_ring(desk: Desk) -> None:
    deal = await desk.deal()
    await desk.does(deal, "change_stage", stage="offer", now=LATER)
    assert [row["payload"]["visit_no"] for row in await desk.rows("outbox")] == [1]


async def test_already_there_it_is_done_and_nothing_happens(desk: Desk) -> None:
    deal = await desk.deal(stage="offer")
    before = await desk.record(deal)
    done = await desk.does(deal, "change_stage", stage="offer")
    assert (done.moved_to, done.results["moved"]) == (0, False)
    assert await desk.record(deal) == before
    assert len(await desk.rows("visit")) == 1


async def test_leaving_the_process_closes_it(desk: Desk) -> None:
    deal = await desk.deal()
    await desk.does(deal, "change_stage", stage="won")
    assert (await desk.row("visit", "visit_no = 1"))["left_reason"] == "closed"


async def test_what_is_kept_is_marked_by_the_move(desk: Desk) -> None:
    comment = {"kind": "add_comment", "params": {"text": "Hi"}, "schedule": {"after": {"days": 1}}}
    rules = [comment | {"id": "goes-on", "on_exit": "keep"}, comment | {"id": "ends"}]
    await desk.run(lambda tx: builders.rule_set(tx, {"new": rules}))
    await desk.does(await desk.deal(), "change_stage", stage="offer")
    assert (await desk.row("visit", "visit_no = 1"))["kept"] == ["goes-on"]


@pytest.mark.parametrize("stage", ["nowhere", "repair", "retired"])
async def test_a_stage_that_is_gone_since_fails_and_nothing_moves(desk: Desk, stage: str) -> None:
    await desk.run(
        "insert into stage (pipeline_id, id, title, meaning, retired_at) "
        "values ('sales', 'retired', 'Retired', 'process', '2026-01-01T00:00Z')"
    )
    deal = await desk.deal()
    with pytest.raises(Refused) as refused:
        await desk.does(deal, "change_stage", stage=stage)
    assert refused.value.reason == "wrong_stage"
    assert (await desk.record(deal))["visit_no"] == 1


async def test_a_lead_moves_too(desk: Desk) -> None:
    lead = await desk.lead()
    await desk.does(lead, "change_stage", stage="working")
    assert (await desk.record(lead))["stage_id"] == "working"


def test_a_stage_of_no_or_another_pipeline_is_refused_on_save() -> None:
    assert refused_on_save("change_stage", stage="repair") == {
        "/stage": "there is no stage 'repair'; there is new, offer, deal, won, lost"
    }
    assert refused_on_save("change_stage", "service", stage="repair") == {}
