"""Row 18: the deal goes on in another pipeline; everything of the present one stops."""

from __future__ import annotations

import pytest

from activities.catalogue import effects
from domain.errors import Refused
from tests import builders
from tests.kinds.conftest import Desk, refused_on_save


@pytest.mark.parametrize(
    ("left", "landed"), [("new", "intake"), ("deal", "intake"), ("won", "returned"), ("lost", "scrapped")]
)
async def test_it_lands_where_the_meaning_is_the_same(desk: Desk, left: str, landed: str) -> None:
    deal = await desk.deal(stage=left)
    done = await desk.does(deal, "change_pipeline", pipeline="service")
    record = await desk.record(deal)
    assert (record["pipeline_id"], record["stage_id"], record["visit_no"]) == ("service", landed, 2)
    assert record["pass_no"] == 2, "a new pass begins"
    assert (done.moved_to, done.results) == (2, {"pipeline": "service", "stage": landed})


async def test_or_in_the_stage_that_is_given(desk: Desk) -> None:
    deal = await desk.deal(stage="new")
    await desk.does(deal, "change_pipeline", pipeline="service", stage="scrapped")
    assert (await desk.record(deal))["stage_id"] == "scrapped"


async def test_nothing_is_kept_and_the_rules_of_the_new_pipeline_apply(desk: Desk) -> None:
    kept = {"id": "goes-on", "kind": "add_comment", "params": {"text": "Hi"}, "on_exit": "keep"}
    await desk.run(
        lambda tx: builders.rule_set(tx, {"new": [kept | {"schedule": {"after": {"days": 1}}}]}),
        lambda tx: builders.rule_set(tx, {"intake": [kept]}, pipeline="service"),
    )
    deal = await desk.deal()
    await desk.does(deal, "change_pipeline", rule="hand-over", pipeline="service")
    left, entered = await desk.rows("visit", order="visit_no")
    assert (left["kept"], left["left_reason"], left["left_by"]) == ([], "pipeline_changed", "hand-over")
    assert (entered["cause"], entered["rules_number"], entered["pass_no"]) == ("pipeline_changed", 1, 2)


@pytest.mark.parametrize(
    ("pipeline", "stage"), [("sales", None), ("nowhere", None), ("leads", None), ("service", "offer")]
)
async def test_what_cannot_be_fails_and_stops_nothing(desk: Desk, pipeline: str, stage: str | None) -> None:
    deal = await desk.deal()
    before = await desk.record(deal)
    with pytest.raises(Refused) as refused:
        await desk.does(deal, "change_pipeline", pipeline=pipeline, stage=stage)
    assert refused.value.reason == "wrong_pipeline"
    assert await desk.record(deal) == before
    assert (await desk.row("visit"))["left_at"] is None


async def test_a_pipeline_without_a_stage_of_that_meaning_fails(desk: Desk) -> None:
    only = {"in": "process", "out": "success"}
    await desk.run(lambda tx: builders.pipeline(tx, "short", only))
    deal = await desk.deal(stage="lost")
    with pytest.raises(Refused, match="means failure"):
        await desk.does(deal, "change_pipeline", pipeline="short")


def test_it_is_for_deals_only() -> None:
    assert effects()["change_pipeline"].record_types == ("deal",)


def test_what_is_refused_on_save() -> None:
    assert set(refused_on_save("change_pipeline", pipeline="sales")) == {"/pipeline"}, "its own"
    assert set(refused_on_save("change_pipeline", pipeline="nowhere")) == {"/pipeline"}
    assert set(refused_on_save("change_pipeline", pipeline="leads")) == {"/pipeline"}
    assert set(refused_on_save("change_pipeline", pipeline="service", stage="offer")) == {"/stage"}
    assert refused_on_save("change_pipeline", pipeline="service", stage="repair") == {}
