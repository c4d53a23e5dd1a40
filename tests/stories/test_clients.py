"""Contacts and companies by the API: what is kept of them, who hears of a change, and what is refused."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from db.engine import Database
from tests import builders
from tests.builders import NOON
from tests.stories.conftest import Api, Stored

CLARA: dict[str, Any] = {
    "first_name": "Clara", "last_name": "Klein", "birthday": "1990-05-01", "responsible": "ada",
    "emails": [{"address": " Clara@Client.Example", "kind": "home"}, "c.klein@work.example"],
    "phones": [{"address": "030 901820", "kind": "work"}, "+33 1 42 68 53 00"],
}  # fmt: skip
KLEIN: dict[str, Any] = {"name": "Klein & Sons", "address": "Rue 1", "emails": ["Info@Klein.example"]}


def refused(answer: httpx2.Response, status: int, reason: str) -> str:
    """The words of an answer that has to be a problem."""
    assert answer.status_code == status, answer.text
    assert answer.json()["type"] == f"urn:jalon:problem:{reason}"
    return str(answer.json()["detail"])


async def custom(database: Database) -> None:
    """Contacts get fields of their own."""
    fields = [{"name": "vip", "type": "boolean"}, {"name": "locked", "type": "text", "writable": False}]
    async with database.transaction() as tx:
        await builders.setting(tx, "contact_fields", fields)


# -- made and read -----------------------------------------------------------------------------------
async def test_a_contact_is_kept_with_normalised_addresses_and_what_they_are_for(api: Api) -> None:
    company = (await api.made("/companies", **KLEIN))["id"]
    made = await api.made("/contacts", **CLARA, company=company)
    assert made["emails"] == [
        {"address": "clara@client.example", "kind": "home"},
        {"address": "c.klein@work.example", "kind": None},
    ]
    assert made["phones"] == [
        {"address": "+4930901820", "kind": "work"},
        {"address": "+33142685300", "kind": None},
    ]
    assert (made["birthday"], made["responsible"], made["company"]) == ("1990-05-01", "ada", company)
    assert (made["version"], made["fields"]) == (1, {})
    assert await api.seen(f"/contacts/{made['id']}") == made


async def test_a_company_is_kept_and_read(api: Api) -> None:
    made = await api.made("/companies", **KLEIN)
    assert (made["name"], made["address"], made["version"]) == ("Klein & Sons", "Rue 1", 1)
    assert made["emails"] == [{"address": "info@klein.example", "kind": None}]
    assert await api.seen(f"/companies/{made['id']}") == made


async def test_a_client_is_made_once_a_key(api: Api, stored: Stored) -> None:
    key = {"Idempotency-Key": "one"}
    for kind, body in (("contacts", CLARA), ("companies", KLEIN)):
        key = {"Idempotency-Key": kind}
        first, second = [await api.post(f"/{kind}", json=body, headers=key) for _ in range(2)]
        assert (first.status_code, first.json()) == (201, second.json())
    assert await stored("select (select count(*) from contact) + (select count(*) from company) as n") == [
        {"n": 2}
    ]


async def test_records_name_them_and_rules_may_quote_their_custom_fields(
    api: Api, database: Database
) -> None:
    await custom(database)
    contact = await api.made("/contacts", last_name="Klein", fields={"vip": True})
    assert contact["fields"] == {"vip": True}
    greet = {
        "id": "greet",
        "kind": "add_comment",
        "params": {"text": "{{ contact.vip }} {{ contact.email }}"},
    }
    answer = await api.put("/pipelines/sales/rules", json={"owner": "eve", "stages": {"new": [greet]}})
    assert answer.status_code == 201, answer.text
    wrong = greet | {"params": {"text": "{{ contact.vop }}"}}
    refused(
        await api.put("/pipelines/sales/rules", json={"owner": "eve", "stages": {"new": [wrong]}}),
        422, "rules-refused",
    )  # fmt: skip
    deal = await api.made("/records", type="deal", pipeline="sales", title="A roof", contact=contact["id"])
    assert deal["contact"] == contact["id"]


async def test_a_lead_says_whom_it_is_about_before_there_is_a_contact(api: Api) -> None:
    own = {"first_name": "Clara", "email": ["clara@client.example"], "phone": "030 901820"}
    lead = await api.made("/records", type="lead", pipeline="leads", title="Clara", fields=own)
    assert lead["fields"] == own | {"phone": ["030 901820"]}
    assert lead["repeat"] is False
    edited = await api.patch(f"/records/{lead['id']}", json={"fields": {"last_name": "Klein", "phone": None}})
    assert edited.json()["fields"] == own | {"last_name": "Klein", "phone": []}


# -- found -------------------------------------------------------------------------------------------
async def test_they_are_found_by_an_address_however_it_is_written(api: Api) -> None:
    clara = await api.made("/contacts", **CLARA)
    other = await api.made("/contacts", last_name="Petit", emails=["clara@client.example"])
    for params in ({"phone": "+49 30 901820"}, {"email": "C.Klein@work.example", "phone": "030 901820"}):
        assert await api.seen("/contacts", **params) == {"items": [clara], "next": None}
    assert (await api.seen("/contacts", email="CLARA@client.example"))["items"] == [clara, other]
    assert (await api.seen("/contacts", email="nobody@client.example"))["items"] == []
    assert refused(await api.get("/contacts", params={"email": "nobody"}), 422, "wrong-type")
    klein = await api.made("/companies", **KLEIN)
    assert (await api.seen("/companies", email="info@klein.example"))["items"] == [klein]


async def test_they_are_listed_a_page_at_a_time(api: Api) -> None:
    made = [(await api.made("/contacts", last_name=str(number)))["id"] for number in range(3)]
    first = await api.seen("/contacts", limit=2)
    assert [one["id"] for one in first["items"]] == made[:2]
    rest = await api.seen("/contacts", limit=2, after=first["next"])
    assert ([one["id"] for one in rest["items"]], rest["next"]) == (made[2:], None)


# -- edited ------------------------------------------------------------------------------------------
async def test_an_edit_sets_what_it_names_and_has_a_history(api: Api) -> None:
    made = await api.made("/contacts", **CLARA)
    body = {
        "last_name": "Petit",
        "birthday": None,
        "emails": ["clara@client.example"],
        "version": 1,
        "by": "ben",
    }
    answer = await api.patch(f"/contacts/{made['id']}", json=body)
    row = answer.json()
    assert (answer.status_code, row["first_name"], row["last_name"]) == (200, "Clara", "Petit")
    assert (row["birthday"], row["version"], row["phones"]) == (None, 2, made["phones"])
    assert row["emails"] == [{"address": "clara@client.example", "kind": "home"}], "it is for what it was for"
    created, edited = (await api.seen(f"/contacts/{made['id']}/history"))["items"]
    assert (created["event"], created["actor"]) == ("created", "api")
    assert (edited["event"], edited["actor"], edited["record_id"]) == ("edited", "ben", None)
    assert edited["at"] == NOON.isoformat().replace("+00:00", "Z")
    assert edited["detail"] == {
        "last_name": ["Klein", "Petit"],
        "birthday": ["1990-05-01", None],
        "email": [["clara@client.example", "c.klein@work.example"], ["clara@client.example"]],
    }


async def test_the_same_again_changes_nothing(api: Api) -> None:
    made = await api.made("/contacts", **CLARA)
    answer = await api.patch(f"/contacts/{made['id']}", json=CLARA)
    assert answer.json() == made
    assert len((await api.seen(f"/contacts/{made['id']}/history"))["items"]) == 1


async def test_a_contact_comes_to_a_company_and_leaves_it(api: Api) -> None:
    company = (await api.made("/companies", **KLEIN))["id"]
    contact = (await api.made("/contacts", last_name="Klein"))["id"]
    for wanted in (company, None):
        answer = await api.patch(f"/contacts/{contact}", json={"company": wanted})
        assert answer.json()["company"] == wanted
    history = (await api.seen(f"/contacts/{contact}/history"))["items"]
    assert [line["detail"] for line in history[1:]] == [
        {"company": [None, company]}, {"company": [company, None]},
    ]  # fmt: skip


async def test_what_an_address_is_for_may_be_said_later(api: Api) -> None:
    contact = (await api.made("/contacts", phones=["030 901820"]))["id"]
    body = {"phones": [{"address": "030 901820", "kind": "mobile"}]}
    assert (await api.patch(f"/contacts/{contact}", json=body)).json()["phones"] == [
        {"address": "+4930901820", "kind": "mobile"}
    ]
    *_, line = (await api.seen(f"/contacts/{contact}/history"))["items"]
    assert line["detail"] == {"address_kinds": [{}, {"+4930901820": "mobile"}]}


async def test_the_journeys_that_may_wait_for_it_hear_of_an_edit_and_no_others(
    api: Api, stored: Stored
) -> None:
    contact = (await api.made("/contacts", last_name="Klein"))["id"]
    company = (await api.made("/companies", **KLEIN))["id"]
    waits = {
        "id": "greet", "kind": "add_comment", "params": {"text": "hello"}, "if_false": "wait",
        "condition": {"all": [{"field": "contact.email", "op": "is_not_empty"},
                              {"field": "company.address", "op": "is_not_empty"}]},
    }  # fmt: skip
    await api.put("/pipelines/sales/rules", json={"owner": "eve", "stages": {"new": [waits]}})
    deal = {"type": "deal", "title": "A roof", "contact": contact, "company": company}
    deals = [(await api.made("/records", **deal, pipeline="sales"))["id"] for _ in range(2)]
    await api.made("/records", **deal, pipeline="service")
    await api.patch(f"/contacts/{contact}", json={"first_name": "Clara"})
    assert await stored("select 1 from outbox where kind = 'facts_changed'") == []
    await api.patch(f"/contacts/{contact}", json={"emails": ["clara@client.example"]})
    await api.patch(f"/companies/{company}", json={"address": "Rue 2"})
    rung = await stored(
        "select record_id, payload from outbox where kind = 'facts_changed' order by record_id, payload"
    )
    assert [(row["record_id"], row["payload"]["fields"]) for row in rung] == [
        (deal, [field, "client"]) for deal in deals for field in ("company.address", "contact.email")
    ]


# -- what is refused ---------------------------------------------------------------------------------
WRONG_CONTACTS: list[tuple[dict[str, Any], str]] = [
    ({"emails": ["nobody"]}, "wrong-type"),
    ({"phones": ["call me"]}, "wrong-type"),
    ({"responsible": "nobody"}, "wrong-responsible"),
    ({"company": 404}, "wrong-client"),
    ({"fields": {"colour": "red"}}, "unknown-field"),
    ({"fields": {"locked": "x"}}, "unknown-field"),
    ({"fields": {"first_name": "x"}}, "unknown-field"),
    ({"fields": {"email": "a@client.example"}}, "unknown-field"),
    ({"fields": {"vip": "perhaps"}}, "wrong-type"),
    ({"by": "nobody"}, "unknown-actor"),
    ({"emails": [{"address": "a@client.example", "kind": "yacht"}]}, "invalid-request"),
    ({"emails": [""]}, "invalid-request"),
    ({"emails": ["a@client.example"] * 101}, "invalid-request"),
    ({"birthday": "soon"}, "invalid-request"),
    ({"first_name": "a\0b"}, "invalid-request"),
    ({"first_name": "a" * 201}, "invalid-request"),
    ({"colour": "red"}, "invalid-request"),
]


async def test_a_contact_that_cannot_be_right_is_refused(
    api: Api, stored: Stored, database: Database
) -> None:
    await custom(database)
    contact = (await api.made("/contacts", **CLARA))["id"]
    before = await stored("select * from contact")
    for body, reason in WRONG_CONTACTS:
        refused(await api.post("/contacts", json={"last_name": "Petit"} | body), 422, reason)
        refused(await api.patch(f"/contacts/{contact}", json={"last_name": "Petit"} | body), 422, reason)
    assert await stored("select * from contact") == before
    assert len(await stored("select 1 from client_change")) == 1


@pytest.mark.parametrize(
    ("kind", "body"), [("contacts", {}), ("contacts", {"first_name": " "}), ("companies", {})]
)
async def test_a_client_of_whom_nothing_is_said_is_refused(api: Api, kind: str, body: dict[str, Any]) -> None:
    refused(await api.post(f"/{kind}", json=body), 422, "required-field-empty")


async def test_a_company_keeps_its_name(api: Api) -> None:
    company = (await api.made("/companies", **KLEIN))["id"]
    refused(await api.patch(f"/companies/{company}", json={"name": " "}), 422, "required-field-empty")


@pytest.mark.parametrize(("kind", "body"), [("contacts", {"last_name": "K"}), ("companies", KLEIN)])
async def test_an_edit_of_what_another_has_changed_is_refused(
    api: Api, kind: str, body: dict[str, Any]
) -> None:
    client = (await api.made(f"/{kind}", **body))["id"]
    edit = {"phones": ["030 901820"], "version": 1}
    assert (await api.patch(f"/{kind}/{client}", json=edit)).status_code == 200
    refused(await api.patch(f"/{kind}/{client}", json=edit), 409, "stale-version")


@pytest.mark.parametrize("kind", ["contacts", "companies"])
async def test_a_client_there_is_not_is_gone(api: Api, kind: str) -> None:
    refused(await api.get(f"/{kind}/404"), 404, "gone")
    refused(await api.get(f"/{kind}/404/history"), 404, "gone")
    refused(await api.patch(f"/{kind}/404", json={"phones": []}), 404, "gone")
