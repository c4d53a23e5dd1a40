"""Row 24: a lead becomes a deal and a client, a deal a quote and an invoice; all or nothing."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from activities.catalogue import nature
from db.records import By, move
from tests import builders
from tests.builders import NOON
from tests.kinds.births import ROOF, give, publish, runs
from tests.kinds.conftest import Desk, refused_on_save

DEAL = {"pipeline": "sales"}
CLARA = {
    "first_name": "Clara", "last_name": "Klein", "email": ["clara@client.example"],
    "company_name": "Klein & Sons", "priority": "high",
}  # fmt: skip
ALL = {"deal": DEAL, "contact": True, "company": True}


async def a_lead(desk: Desk, **given: Any) -> int:
    return await desk.lead(**({"fields": CLARA, "amount": "999.60", "source": "fair"} | given))


# -- of a lead ---------------------------------------------------------------------------------------
async def test_a_lead_becomes_a_deal_a_contact_and_a_company(desk: Desk) -> None:
    lead = await a_lead(desk)
    await give(desk, lead, *ROOF)
    done = await desk.does(lead, "create_from_source", **ALL)
    deal = await desk.row("record", f"parent_id = {lead}")
    contact, company = await desk.row("contact"), await desk.row("company")
    made = {"deal": deal["id"], "contact": contact["id"], "company": company["id"]}
    assert made.items() <= done.results.items()
    assert (deal["record_type"], deal["pipeline_id"], deal["stage_id"]) == ("deal", "sales", "new")
    assert (deal["contact_id"], deal["company_id"]) == (contact["id"], company["id"])
    assert (deal["title"], deal["amount"], deal["source"]) == ("A roof for Klein", Decimal("999.60"), "fair")
    assert (deal["responsible_id"], deal["depth"], deal["repeat"]) == ("ada", 1, False)
    assert deal["fields"] == CLARA, "the fields that deals of the pipeline have too"
    assert len(await desk.rows("product_line", f"record_id = {deal['id']}")) == 2
    assert (contact["first_name"], contact["last_name"]) == ("Clara", "Klein")
    assert contact["emails"] == ["clara@client.example"]
    assert (company["name"], contact["company_id"]) == ("Klein & Sons", company["id"])
    assert [bell.record_id for bell in done.bells] == [deal["id"]]


async def test_the_lead_goes_to_its_success_status_and_is_linked_to_what_was_made(desk: Desk) -> None:
    lead = await a_lead(desk)
    done = await desk.does(lead, "create_from_source", **ALL)
    record = await desk.record(lead)
    assert (record["stage_id"], record["visit_no"], record["converted_at"]) == ("converted", 2, NOON)
    assert (record["contact_id"], record["company_id"]) == (done.results["contact"], done.results["company"])
    assert done.moved_to == 2
    assert {"contact.first_name", "company.name"} <= set(done.changed)
    assert done.results["changed"] == [*done.changed]
    left = await desk.row("visit", f"record_id = {lead} and visit_no = 1")
    assert (left["left_reason"], left["left_by"]) == ("closed", "the-rule")


@pytest.mark.parametrize("status", ["converted", "junk"])
async def test_a_lead_that_is_closed_already_can_still_be_converted(desk: Desk, status: str) -> None:
    lead = await a_lead(desk, stage=status)
    done = await desk.does(lead, "create_from_source", deal=DEAL)
    record = await desk.record(lead)
    assert (record["stage_id"], record["converted_at"]) == ("converted", NOON)
    assert done.moved_to == (0 if status == "converted" else 2), "it is there already: that ends nothing"


async def test_whatever_is_ticked_is_made(desk: Desk) -> None:
    for what in ({"deal": DEAL}, {"contact": True}, {"company": True}):
        lead = await a_lead(desk)
        done = await desk.does(lead, "create_from_source", **what)
        assert set(done.results) == {*what, "changed"}
        assert (await desk.record(lead))["stage_id"] == "converted"
    assert [len(await desk.rows(table)) for table in ("contact", "company")] == [1, 1]


async def test_the_deal_begins_where_it_is_said_and_belongs_to_whom_it_is_said(desk: Desk) -> None:
    lead = await a_lead(desk)
    place = {"pipeline": "service", "stage": "repair"}
    await desk.does(lead, "create_from_source", deal=place, contact=True, responsible="ben")
    deal = await desk.row("record", f"parent_id = {lead}")
    assert (deal["pipeline_id"], deal["stage_id"], deal["responsible_id"]) == ("service", "repair", "ben")
    assert (await desk.row("contact"))["responsible_id"] == "ben"


async def test_the_leads_todos_are_completed_if_that_is_said(desk: Desk) -> None:
    for complete in (False, True):
        lead = await a_lead(desk)
        await desk.does(lead, "create_todo", rule="a", subject="Call")
        await desk.does(lead, "create_from_source", deal=DEAL, complete_todos=complete, acting="ben")
        todo = await desk.row("todo", f"record_id = {lead}")
        done = (NOON, "ben") if complete else (None, None)
        assert (todo["completed_at"], todo["completed_by"]) == done


async def test_a_contact_with_the_leads_address_is_found_and_not_made_twice(desk: Desk) -> None:
    async with desk.database.transaction() as tx:
        known = await builders.contact(tx, first_name="Clara", emails=["clara@client.example"])
    lead = await a_lead(desk)
    done = await desk.does(lead, "create_from_source", contact=True)
    assert (done.results["contact"], len(await desk.rows("contact"))) == (known, 1)


async def test_two_leads_of_one_person_at_once_make_one_contact(desk: Desk) -> None:
    leads = [await a_lead(desk) for _ in range(4)]
    made = await asyncio.gather(*(desk.does(lead, "create_from_source", **ALL) for lead in leads))
    assert len({done.results["contact"] for done in made}) == 1
    assert len(await desk.rows("contact")) == 1


async def test_a_repeat_lead_gives_a_deal_with_its_client(desk: Desk) -> None:
    async with desk.database.transaction() as tx:
        clara = await builders.contact(tx)
    lead = await a_lead(desk, contact=clara, repeat=True)
    await desk.does(lead, "create_from_source", deal=DEAL)
    assert (await desk.row("record", f"parent_id = {lead}"))["contact_id"] == clara


# -- of a deal ---------------------------------------------------------------------------------------
async def test_a_quote_and_an_invoice_take_over_the_products_and_are_numbered(desk: Desk) -> None:
    async with desk.database.transaction() as tx:
        clients = {"contact": await builders.contact(tx), "company": await builders.client_company(tx)}
    deal = await desk.deal(amount="1", currency="CHF", **clients)
    await give(desk, deal, *ROOF)
    done = await desk.does(deal, "create_from_source", quote=True, invoice=True)
    quote, invoice = await desk.rows("sales_document", order="kind desc")
    assert done.results == {
        "quote": quote["id"], "quote_number": "Q-2026-00001",
        "invoice": invoice["id"], "invoice_number": "INV-2026-00001",
    }  # fmt: skip
    assert (quote["number"], invoice["number"]) == ("Q-2026-00001", "INV-2026-00001")
    for row in (quote, invoice):
        assert (row["record_id"], row["visit_no"], row["rule"]) == (deal, 1, "the-rule")
        assert (row["contact_id"], row["company_id"]) == (clients["contact"], clients["company"])
        assert (row["currency"], row["responsible_id"], row["created_at"]) == ("CHF", "ada", NOON)
        assert (row["net"], row["tax"], row["total"]) == (
            Decimal(840),
            Decimal("159.60"),
            Decimal("999.60"),
        )
        assert [(line["name"], line["quantity"]) for line in row["lines"]] == [
            ("Tiles", "120.0000"),
            ("Work", "7.5000"),
        ]
    assert (done.moved_to, (await desk.record(deal))["visit_no"]) == (0, 1), "the deal stays where it is"


async def test_of_a_deal_without_products_they_hold_its_amount(desk: Desk) -> None:
    deal = await desk.deal(amount="1234.5")
    await desk.does(deal, "create_from_source", invoice=True)
    row = await desk.row("sales_document")
    assert (row["net"], row["tax"], row["total"]) == (Decimal("1234.5"), 0, Decimal("1234.5"))
    assert [line["name"] for line in row["lines"]] == ["A roof for Klein"]


async def test_numbers_go_on_in_their_series_in_the_year_of_the_record(desk: Desk) -> None:
    await desk.run("insert into number_series (id, pattern, next) values ('south', '{year}/{number}', 7)")
    deal = await desk.deal(amount="1")
    late = datetime(2026, 12, 31, 23, 30, tzinfo=UTC)  # 2027 in Paris
    for rule in ("a", "b"):
        await desk.does(deal, "create_from_source", rule=rule, invoice=True, invoice_series="south", now=late)
    assert [row["number"] for row in await desk.rows("sales_document", order="id")] == ["2027/7", "2027/8"]


async def test_many_at_once_leave_no_gap_and_no_number_twice(desk: Desk) -> None:
    deals = [await desk.deal(amount=None if n % 4 == 3 else "1") for n in range(16)]
    await publish(desk, "create_from_source", invoice=True)
    await desk.run("update visit set rules_number = 1")
    outcomes = await asyncio.gather(*(runs(desk, deal) for deal in deals))
    assert [outcome.result for outcome, _ in outcomes] == ["done", "done", "done", "failed"] * 4
    numbers = sorted(row["number"] for row in await desk.rows("sales_document"))
    assert numbers == [f"INV-2026-{n:05}" for n in range(1, 13)]


# -- what cannot be made -----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("lead", "params", "reason"),
    [
        ({"converted_at": NOON}, {"deal": DEAL}, "converted"),
        ({"repeat": True}, {"deal": DEAL, "contact": True}, "repeat_lead"),
        ({"repeat": True}, {"company": True}, "repeat_lead"),
        ({"fields": {}}, {"deal": DEAL, "contact": True}, "no_contact_data"),
        ({"fields": {"last_name": "Klein"}}, {"contact": True, "company": True}, "no_company_name"),
        ({"depth": 3}, {"company": True, "deal": DEAL}, "loop"),
        ({}, {"deal": {"pipeline": "closed"}, "contact": True}, "wrong_pipeline"),
        ({}, {"deal": {"pipeline": "sales", "stage": "closed"}, "company": True}, "wrong_stage"),
        ({}, {"deal": DEAL, "responsible": "gone"}, "wrong_responsible"),
        ({}, {"quote": True}, "wrong_record"),
    ],
)
async def test_a_lead_gives_all_or_nothing_and_the_responsible_is_told_what_was_not_made(
    desk: Desk, lead: dict[str, Any], params: dict[str, Any], reason: str
) -> None:
    await desk.run(lambda tx: builders.employee(tx, "gone", active=False))
    await publish(desk, "create_from_source", "leads", **params)
    made = await a_lead(desk, **lead)
    before = await desk.record(made)
    outcome, bells = await runs(desk, made)
    assert (outcome.result, outcome.reason, bells) == ("failed", reason, [])
    assert await desk.rows("record") == [before]
    assert [await desk.rows(table) for table in ("contact", "company", "sales_document")] == [[], [], []]
    todo = await desk.row("todo")
    assert (todo["employee_id"], todo["rule"], todo["completed_at"]) == ("ada", "the-rule", None)
    asked = [what for what in ("deal", "contact", "company", "quote") if what in params]
    assert todo["subject"] == f"Not made of 'A roof for Klein': {', '.join(asked)}"
    error = (await desk.row("ledger"))["error"]
    assert todo["description"] == error != ""
    assert error in (await desk.row("notification", "employee_id = 'eve'"))["body"], "and so is the owner"


async def test_what_a_repeat_lead_does_not_give_is_named(desk: Desk) -> None:
    await publish(desk, "create_from_source", "leads", **ALL)
    await runs(desk, await a_lead(desk, repeat=True))
    assert "a contact and a company" in (await desk.row("ledger"))["error"]


@pytest.mark.parametrize(
    ("deal", "params", "reason"),
    [
        ({}, {"quote": True}, "nothing_sold"),
        ({"amount": "1"}, {"quote": True, "invoice": True, "invoice_series": "none"}, "unknown_series"),
        ({"amount": "1"}, {"contact": True}, "wrong_record"),
    ],
)
async def test_a_deal_gives_all_or_nothing_too(
    desk: Desk, deal: dict[str, Any], params: dict[str, Any], reason: str
) -> None:
    await publish(desk, "create_from_source", **params)
    outcome, _ = await runs(desk, await desk.deal(**deal))
    assert (outcome.result, outcome.reason) == ("failed", reason)
    assert await desk.rows("sales_document") == []
    assert len(await desk.rows("todo")) == 1


async def test_without_an_active_responsible_there_is_nobody_to_give_the_todo_to(desk: Desk) -> None:
    await publish(desk, "create_from_source", invoice=True)
    outcome, _ = await runs(desk, await desk.deal(responsible=None))
    assert outcome.reason == "nothing_sold"
    assert await desk.rows("todo") == []


# -- the frame ---------------------------------------------------------------------------------------
async def test_run_twice_it_converts_once(desk: Desk) -> None:
    await publish(desk, "create_from_source", "leads", **ALL)
    lead = await a_lead(desk)
    first, bells = await runs(desk, lead)
    again, none = await runs(desk, lead)
    assert (first.result, first.moved_to, len(bells), none) == ("done", 2, 1, [])
    assert again == first, "what it changed and where it moved included"
    assert len(await desk.rows("record")) == 2


async def test_of_a_status_that_was_left_nothing_is_made(desk: Desk) -> None:
    await publish(desk, "create_from_source", "leads", **ALL)
    lead = await a_lead(desk)
    async with desk.locked(lead) as locked:
        await move(locked, "working", By("ada", NOON))
    outcome, _ = await runs(desk, lead)
    assert outcome.result == "stale"
    assert (len(await desk.rows("record")), await desk.rows("todo")) == (1, [])


def test_of_a_lead_it_is_a_transition_of_a_deal_an_effect() -> None:
    assert nature("create_from_source", {"contact": True}) == "transition"
    assert nature("create_from_source", {"deal": {"pipeline": "sales"}}) == "transition"
    assert nature("create_from_source", {"quote": True, "deal": None, "contact": False}) == "database"


def test_what_is_refused_on_save() -> None:
    def wrong(of: str, **params: object) -> set[str]:
        return set(refused_on_save("create_from_source", of, **params))

    assert wrong("leads", **ALL) == set()
    assert wrong("sales", quote=True, invoice=True) == set()
    assert wrong("sales") == wrong("leads") == {""}, "nothing is ticked"
    assert wrong("sales", contact=True, company=True) == {"/contact", "/company"}
    assert wrong("sales", deal=DEAL) == {"/deal"}
    assert wrong("sales", quote=True, quote_series="ofers", invoice_series="nor this") == {"/quote_series"}
    assert wrong("sales", quote=True, quote_series="offers") == set()
    assert wrong("leads", quote=True, deal=DEAL) == {"/quote"}
    assert wrong("leads", deal={"pipeline": "leads"}) == {"/deal/pipeline"}
    assert wrong("leads", deal={"pipeline": "sales", "stage": "intake"}) == {"/deal/stage"}
    assert wrong("leads", contact=True, responsible="bob") == {"/responsible"}
