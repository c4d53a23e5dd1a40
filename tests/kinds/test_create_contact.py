"""Row 23: a contact made of what the lead says, or found; the lead becomes a repeat lead."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from activities.check import check
from domain.errors import Refused
from domain.rule import RuleSet
from tests import builders
from tests.builders import NOON
from tests.kinds.births import publish, runs
from tests.kinds.conftest import Desk, refused_on_save, setting

OWN: dict[str, Any] = {
    "first_name": "Clara", "last_name": "Klein", "email": ["Clara@Client.example"], "phone": ["030 901820"],
}  # fmt: skip


async def known(desk: Desk, **more: Any) -> int:
    async with desk.database.transaction() as tx:
        return await builders.contact(tx, **more)


# -- made --------------------------------------------------------------------------------------------
async def test_a_contact_is_made_of_the_leads_own_fields_and_linked(desk: Desk) -> None:
    lead = await desk.lead(fields=OWN, responsible="ben")
    done = await desk.does(lead, "create_contact", rule="client", acting="hugo")
    contact = await desk.row("contact")
    assert done.results["id"] == contact["id"]
    assert done.results["how"] == "created"
    assert (contact["first_name"], contact["last_name"]) == ("Clara", "Klein")
    assert (contact["emails"], contact["phones"]) == (["clara@client.example"], ["+4930901820"])
    assert (contact["responsible_id"], contact["version"]) == ("ben", 1)
    record = await desk.record(lead)
    assert (record["contact_id"], record["repeat"]) == (contact["id"], True)
    made = await desk.row("client_change")
    assert (made["event"], made["contact_id"], made["record_id"]) == ("created", contact["id"], lead)
    assert (made["rule"], made["actor"], made["at"]) == ("client", "hugo", NOON)


async def test_the_lead_is_not_converted_and_says_what_changed_of_it(desk: Desk) -> None:
    lead = await desk.lead(fields=OWN)
    done = await desk.does(lead, "create_contact", rule="client", acting="hugo")
    record = await desk.record(lead)
    assert (record["stage_id"], record["visit_no"], record["converted_at"]) == ("fresh", 1, None)
    assert {"contact.first_name", "contact.email", "record.repeat"} <= set(done.changed)
    assert done.results["changed"] == list(done.changed)
    lines = await desk.journal(lead)
    assert ("edited", "client", "hugo", {"contact": [None, record["contact_id"]]}) in lines
    assert ("edited", "client", "hugo", {"repeat": [False, True]}) in lines


async def test_name_and_addresses_may_be_said_otherwise(desk: Desk) -> None:
    lead = await desk.lead(title="Petit", fields=OWN)
    await desk.does(
        lead, "create_contact", first_name="", last_name="{{ record.title }}", responsible="hugo",
        emails="{{ record.email }}, b@client.example", phones="+33 1 42 68 53 00; 030 901821",
    )  # fmt: skip
    contact = await desk.row("contact")
    assert (contact["first_name"], contact["last_name"]) == ("", "Petit")
    assert contact["emails"] == ["clara@client.example", "b@client.example"]
    assert contact["phones"] == ["+33142685300", "+4930901821"]
    assert contact["responsible_id"] == "hugo"


@pytest.mark.parametrize(
    "own", [{"first_name": "Clara"}, {"email": ["c@x.example"]}, {"phone": ["030 901820"]}]
)
async def test_a_name_or_one_address_is_enough(desk: Desk, own: dict[str, Any]) -> None:
    done = await desk.does(await desk.lead(fields=own), "create_contact")
    assert done.results["how"] == "created"


async def test_what_can_be_no_address_is_left_out_and_named(desk: Desk) -> None:
    lead = await desk.lead(fields=OWN | {"email": ["ask my wife"], "phone": ["12", "030 901820"]})
    done = await desk.does(lead, "create_contact")
    assert done.results["left_out"] == ["ask my wife", "12"]
    contact = await desk.row("contact")
    assert (contact["emails"], contact["phones"]) == ([], ["+4930901820"])


async def test_a_lead_of_nobody_gives_a_contact_of_nobody(desk: Desk) -> None:
    await desk.run(lambda tx: builders.employee(tx, "gone", active=False))
    for responsible in (None, "gone"):
        await desk.does(await desk.lead(fields={"last_name": "K"}, responsible=responsible), "create_contact")
    assert [row["responsible_id"] for row in await desk.rows("contact")] == [None, None]


async def test_a_later_rule_quotes_the_contact_and_how_it_came(desk: Desk) -> None:
    await publish(desk, "create_contact", "leads")
    lead = await desk.lead(fields=OWN)
    await runs(desk, lead)
    await desk.does(lead, "add_comment", text="{{ contact.last_name }} {{ steps.the-rule.how }}")
    assert (await desk.row("comment"))["body"] == "Klein created"


# -- found -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "by", [{"emails": ["clara@client.example"]}, {"phones": ["+4930901820"], "emails": []}]
)
async def test_the_contact_with_the_same_address_is_linked_and_left_as_it_is(desk: Desk, by: Any) -> None:
    contact = await known(desk, first_name="C.", **by)
    before = await desk.row("contact")
    lead = await desk.lead(fields=OWN)
    done = await desk.does(lead, "create_contact")
    assert (done.results["id"], done.results["how"]) == (contact, "found")
    assert await desk.row("contact") == before
    record = await desk.record(lead)
    assert (record["contact_id"], record["repeat"]) == (contact, True)
    assert await desk.rows("client_change") == []


async def test_of_several_the_oldest_is_linked(desk: Desk) -> None:
    first = await known(desk, emails=[], phones=["+4930901820"])
    await known(desk, emails=["clara@client.example"])
    done = await desk.does(await desk.lead(fields=OWN), "create_contact")
    assert done.results["id"] == first


@pytest.mark.parametrize(("link_by", "how"), [([], "created"), (["phone"], "created"), (["email"], "found")])
async def test_by_what_it_is_found_is_said(desk: Desk, link_by: list[str], how: str) -> None:
    await known(desk, emails=["clara@client.example"])
    done = await desk.does(await desk.lead(fields=OWN), "create_contact", link_by=link_by)
    assert done.results["how"] == how


async def test_two_leads_of_one_person_at_once_make_one_contact(desk: Desk) -> None:
    others = OWN | {"phone": [], "email": ["new@client.example", "CLARA@client.example"]}
    leads = [await desk.lead(fields=fields) for fields in (OWN, others) * 4]
    done = await asyncio.gather(*(desk.does(lead, "create_contact") for lead in leads))
    (contact,) = await desk.rows("contact")
    assert {one.results["id"] for one in done} == {contact["id"]}
    assert sorted(str(one.results["how"]) for one in done) == ["created", *["found"] * 7]


async def test_a_lead_that_has_a_contact_keeps_it(desk: Desk) -> None:
    contact = await known(desk)
    await known(desk, phones=["+4930901820"])
    lead = await desk.lead(contact=contact, fields=OWN)
    done = await desk.does(lead, "create_contact")
    assert (done.results["id"], done.results["how"]) == (contact, "found")
    assert (done.changed, (await desk.record(lead))["contact_id"]) == (("record.repeat",), contact)
    again = await desk.does(lead, "create_contact")
    assert (again.changed, len(await desk.rows("contact"))) == ((), 2)


# -- what fails --------------------------------------------------------------------------------------
@pytest.mark.parametrize("own", [{}, {"company_name": "Klein & Sons"}, {"phone": ["12"], "first_name": " "}])
async def test_nothing_to_make_it_of_fails(desk: Desk, own: dict[str, Any]) -> None:
    await publish(desk, "create_contact", "leads")
    lead = await desk.lead(fields=own)
    outcome, _ = await runs(desk, lead)
    assert (outcome.result, outcome.reason) == ("failed", "no_contact_data")
    assert await desk.rows("contact") == []
    assert (await desk.record(lead))["repeat"] is False


async def test_a_responsible_who_left_fails(desk: Desk) -> None:
    await desk.run(lambda tx: builders.employee(tx, "gone", active=False))
    lead = await desk.lead(fields=OWN)
    with pytest.raises(Refused) as refused:
        await desk.does(lead, "create_contact", responsible="gone")
    assert refused.value.reason == "wrong_responsible"
    assert await desk.rows("contact") == []


async def test_more_addresses_than_a_contact_may_have_fail(desk: Desk) -> None:
    many = [f"{number}@client.example" for number in range(101)]
    with pytest.raises(Refused) as refused:
        await desk.does(await desk.lead(fields={"email": many}), "create_contact")
    assert refused.value.reason == "wrong_type"
    assert await desk.rows("contact") == []


# -- run twice, run stale ----------------------------------------------------------------------------
async def test_run_twice_it_makes_one_contact_and_says_the_same(desk: Desk) -> None:
    await publish(desk, "create_contact", "leads", link_by=[])
    lead = await desk.lead(fields=OWN)
    first, _ = await runs(desk, lead)
    assert first.result == "done"
    assert (await runs(desk, lead))[0] == first
    assert len(await desk.rows("contact")) == 1


async def test_run_stale_it_makes_nothing(desk: Desk) -> None:
    await publish(desk, "create_contact", "leads")
    lead = await desk.lead(fields=OWN)
    await desk.does(lead, "change_stage", stage="working")
    assert (await runs(desk, lead))[0].result == "stale"
    assert await desk.rows("contact") == []


# -- what is refused on save -------------------------------------------------------------------------
def test_what_cannot_be_right_is_refused_on_save() -> None:
    assert "/responsible" in refused_on_save("create_contact", "leads", responsible="nobody")
    assert "/link_by/0" in refused_on_save("create_contact", "leads", link_by=["name"])
    assert "/colour" in refused_on_save("create_contact", "leads", colour="red")
    assert refused_on_save("create_contact", "leads", responsible="ben") == {}


def test_it_is_for_leads_alone() -> None:
    rules = RuleSet.model_validate({"stages": {"new": [{"id": "client", "kind": "create_contact"}]}})
    assert [problem.place for problem in check(rules, setting("sales"), {})] == ["/stages/new/0/kind"]
