"""Row 25: the client of a deal becomes a lead once more."""

from __future__ import annotations

import pytest

from domain.errors import Refused
from tests import builders
from tests.builders import NOON
from tests.kinds.conftest import Desk, refused_on_save


async def client_of(desk: Desk) -> dict[str, int]:
    async with desk.database.transaction() as tx:
        return {"contact": await builders.contact(tx), "company": await builders.client_company(tx)}


async def test_a_new_lead_has_the_deals_clients_and_is_linked_back(desk: Desk) -> None:
    clients = await client_of(desk)
    deal = await desk.deal(stage="won", currency="CHF", **clients)
    done = await desk.does(deal, "create_repeat_lead")
    lead = await desk.row("record", f"id <> {deal}")
    assert done.results == {"lead": lead["id"]}
    assert (lead["record_type"], lead["pipeline_id"], lead["stage_id"]) == ("lead", "leads", "fresh")
    assert (lead["contact_id"], lead["company_id"]) == (clients["contact"], clients["company"])
    assert (lead["parent_id"], lead["depth"], lead["repeat"]) == (deal, 1, True)
    assert (lead["title"], lead["responsible_id"], lead["currency"]) == ("A roof for Klein", "ada", "CHF")
    assert lead["created_at"] == NOON


async def test_its_journey_starts(desk: Desk) -> None:
    deal = await desk.deal(**await client_of(desk))
    done = await desk.does(deal, "create_repeat_lead")
    lead = done.results["lead"]
    (bell,) = done.bells
    assert (bell.record_id, bell.kind, bell.visit_no) == (lead, "entered", 1)
    waiting = await desk.row("outbox", f"record_id = {lead}")
    assert (waiting["id"], waiting["next_at"]) == (bell.id, None), "the relay rings it if nobody does"
    ((event, _, _, detail),) = await desk.journal(int(str(lead)))
    assert (event, detail) == ("created", {"to": "leads/fresh", "rule": "the-rule", "parent": deal})


async def test_title_and_responsible_may_be_said(desk: Desk) -> None:
    deal = await desk.deal(**await client_of(desk))
    await desk.does(
        deal,
        "create_repeat_lead",
        title="{{ contact.last_name }}, again",
        responsible="ben",
        acting="responsible",
    )
    lead = await desk.row("record", f"id <> {deal}")
    assert (lead["title"], lead["responsible_id"]) == ("Klein, again", "ben")
    assert (await desk.row("visit", f"record_id = {lead['id']}"))["actor"] == "ada"


async def test_one_of_the_two_clients_is_enough(desk: Desk) -> None:
    clients = await client_of(desk)
    deal = await desk.deal(company=clients["company"])
    await desk.does(deal, "create_repeat_lead")
    assert (await desk.row("record", f"id <> {deal}"))["contact_id"] is None


async def test_a_deal_without_a_responsible_gives_a_lead_without_one(desk: Desk) -> None:
    deal = await desk.deal(responsible=None, **await client_of(desk))
    await desk.does(deal, "create_repeat_lead")
    assert (await desk.row("record", f"id <> {deal}"))["responsible_id"] is None


@pytest.mark.parametrize(
    ("deal", "params", "reason"),
    [
        ({"contact": None}, {}, "no_client"),
        ({"depth": 3}, {}, "loop"),
        ({"responsible": "gone"}, {}, "wrong_responsible"),
        ({}, {"responsible": "gone"}, "wrong_responsible"),
        ({}, {"title": "{{ record.coupon }}"}, "title_empty"),
    ],
)
async def test_it_fails_with_a_name_and_leaves_nothing(
    desk: Desk, deal: dict[str, object], params: dict[str, object], reason: str
) -> None:
    await desk.run(lambda tx: builders.employee(tx, "gone", active=False))
    contact = (await client_of(desk))["contact"]
    made = await desk.deal(**({"contact": contact} | deal))
    with pytest.raises(Refused) as refused:
        await desk.does(made, "create_repeat_lead", **params)
    assert refused.value.reason == reason
    assert [row["id"] for row in await desk.rows("record")] == [made]


async def test_without_a_pipeline_of_leads_it_fails(desk: Desk) -> None:
    deal = await desk.deal(**await client_of(desk))
    await desk.run("delete from stage where pipeline_id = 'leads'", "delete from pipeline where id = 'leads'")
    with pytest.raises(Refused) as refused:
        await desk.does(deal, "create_repeat_lead")
    assert refused.value.reason == "wrong_pipeline"


async def test_the_last_that_may_be_born_is(desk: Desk) -> None:
    deal = await desk.deal(depth=2, **await client_of(desk))
    await desk.does(deal, "create_repeat_lead")
    assert (await desk.row("record", f"id <> {deal}"))["depth"] == 3


def test_what_is_refused_on_save() -> None:
    assert set(refused_on_save("create_repeat_lead", responsible="bob")) == {"/responsible"}
    assert set(refused_on_save("create_repeat_lead", stage="fresh")) == {"/stage"}
    assert refused_on_save("create_repeat_lead") == {}
