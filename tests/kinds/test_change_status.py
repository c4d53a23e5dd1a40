"""Row 21: a lead gets another status."""

from __future__ import annotations

import pytest

from activities.catalogue import effects
from domain.errors import Refused
from tests.kinds.conftest import Desk, refused_on_save


async def test_the_lead_has_the_status_and_is_in_a_new_visit(desk: Desk) -> None:
    lead = await desk.lead(stage="fresh")
    done = await desk.does(lead, "change_status", rule="take-up", status="working")
    assert (await desk.record(lead))["stage_id"] == "working"
    assert (done.moved_to, done.results) == (2, {"status": "working", "moved": True})
    assert (await desk.row("visit", "visit_no = 1"))["left_by"] == "take-up"


async def test_already_there_it_is_done_and_nothing_happens(desk: Desk) -> None:
    lead = await desk.lead(stage="working")
    done = await desk.does(lead, "change_status", status="working")
    assert (done.moved_to, done.results["moved"]) == (0, False)
    assert (await desk.record(lead))["visit_no"] == 1


async def test_a_status_that_is_gone_since_fails(desk: Desk) -> None:
    lead = await desk.lead()
    with pytest.raises(Refused) as refused:
        await desk.does(lead, "change_status", status="lukewarm")
    assert refused.value.reason == "wrong_stage"


def test_it_is_for_leads_only() -> None:
    assert effects()["change_status"].record_types == ("lead",)


def test_an_unknown_status_is_refused_on_save() -> None:
    assert set(refused_on_save("change_status", "leads", status="offer")) == {"/status"}
    assert refused_on_save("change_status", "leads", status="junk") == {}
