"""Records born of rules have journeys of their own: everything real. And products, by the API."""

from __future__ import annotations

from typing import Any

import pytest

from tests.stories.conftest import Api, Stored
from tests.stories.test_api import a_deal
from tests.stories.test_api_and_journey import api as live
from tests.stories.test_api_and_journey import opened, until

__all__ = ["live"]
HELLO: dict[str, Any] = {"id": "hello", "kind": "add_comment", "params": {"text": "{{ record.title }}"}}
LINES: list[dict[str, Any]] = [
    {"sku": "T-1", "name": "Tiles", "quantity": 120, "unit_price": 2.5, "tax_rate": 19},
    {"name": "Work", "quantity": "7.5", "unit_price": "80", "discount": 10, "tax_rate": 19},
]


async def publish(api: Api, pipeline: str, stages: dict[str, list[dict[str, Any]]]) -> None:
    answer = await api.put(f"/pipelines/{pipeline}/rules", json={"owner": "eve", "stages": stages})
    assert answer.status_code == 201, answer.text


async def commented(api: Api, record_id: int) -> list[str]:
    return [row["body"] for row in (await api.seen(f"/records/{record_id}/comments"))["items"]]


async def born(api: Api, stored: Stored, parent: int, many: int) -> list[dict[str, Any]]:
    """What the API says of the records born of one, once their journeys have said hello."""

    async def found() -> list[int]:
        return [
            row["id"] for row in await stored(f"select id from record where parent_id = {parent} order by id")
        ]

    async def all_there() -> bool:
        ids = await found()
        return len(ids) == many and all([await commented(api, one) for one in ids])

    await until(all_there)
    return [await api.seen(f"/records/{one}") for one in await found()]


# -- journeys ----------------------------------------------------------------------------------------
async def test_a_deal_is_copied_into_two_pipelines_and_each_copy_goes_its_own_way(
    live: Api, stored: Stored
) -> None:
    copy: dict[str, Any] = {"pipelines": [{"pipeline": "service"}, {"stage": "offer"}]}
    rules = {"won": [{"id": "copy", "kind": "copy_deal", "params": copy}], "offer": [HELLO]}
    await publish(live, "sales", rules)
    await publish(live, "service", {"intake": [HELLO | {"id": "welcome"}]})
    deal = (await live.made("/records", type="deal", pipeline="sales", title="A roof", amount=100))["id"]
    await live.made(f"/records/{deal}/move", stage="won")
    service, offer = await born(live, stored, deal, 2)
    assert [(row["pipeline"], row["stage"], row["parent"]) for row in (service, offer)] == [
        ("service", "intake", deal), ("sales", "offer", deal),
    ]  # fmt: skip
    assert (service["title"], service["amount"]) == ("A roof (copy)", 100)
    assert await commented(live, service["id"]) == ["A roof (copy)"]
    await live.made(f"/records/{offer['id']}/move", stage="won")  # and is copied in its turn
    assert [row["parent"] for row in await born(live, stored, offer["id"], 2)] == [offer["id"]] * 2


async def test_a_lead_is_converted_into_a_deal_a_contact_and_a_company(live: Api, stored: Stored) -> None:
    params: dict[str, Any] = {"deal": {"pipeline": "sales"}, "contact": True, "company": True}
    convert = {"id": "convert", "kind": "create_from_source", "params": params}
    patience = {"id": "patience", "kind": "wait", "params": {"until": {"after": {"days": 3}}}}
    await publish(live, "leads", {"working": [convert, patience], "converted": [HELLO | {"id": "thanks"}]})
    await publish(live, "sales", {"new": [HELLO]})
    fields = {
        "first_name": "Clara",
        "last_name": "Klein",
        "phone": ["030 901820"],
        "company_name": "Klein & Sons",
    }
    lead = (await live.made("/records", type="lead", pipeline="leads", title="A roof", fields=fields))["id"]
    await live.made(f"/records/{lead}/move", stage="working")
    (deal,) = await born(live, stored, lead, 1)

    async def closed() -> bool:
        return bool(await commented(live, lead))

    await until(closed)
    record = await live.seen(f"/records/{lead}")
    assert (record["stage"], record["visit_no"], record["holds"]) == ("converted", 3, [])
    assert record["converted_at"] is not None
    assert (deal["contact"], deal["company"]) == (record["contact"], record["company"])
    assert None not in (deal["contact"], deal["company"])
    outcomes = await stored(
        f"select rule, outcome, reason from ledger where record_id = {lead} order by at, rule"
    )
    assert [tuple(row.values()) for row in outcomes] == [
        ("convert", "done", ""), ("patience", "cancelled", "closed"), ("thanks", "done", ""),
    ]  # fmt: skip


async def test_a_won_deal_gives_a_repeat_lead_and_that_is_the_end_of_it(live: Api, stored: Stored) -> None:
    """Leads that give deals that give leads: the third birth is the last."""
    again = {"id": "again", "kind": "create_repeat_lead", "params": {"title": "{{ record.title }}!"}}
    deal_of = {
        "id": "deal-of",
        "kind": "create_from_source",
        "params": {"deal": {"pipeline": "sales", "stage": "won"}},
    }
    await publish(live, "sales", {"won": [again]})
    await publish(live, "leads", {"fresh": [deal_of]})
    contact = (await stored("insert into contact (last_name) values ('Klein') returning id"))[0]["id"]
    await live.made("/records", type="deal", pipeline="sales", stage="won", title="A roof", contact=contact)

    async def ended() -> bool:
        return bool(await stored("select 1 from ledger where outcome = 'failed'"))

    await until(ended)
    made = await stored("select record_type, title, depth, repeat, contact_id from record order by depth")
    assert [tuple(row.values()) for row in made] == [
        ("deal", "A roof", 0, False, contact),
        ("lead", "A roof!", 1, True, contact),
        ("deal", "A roof!", 2, False, contact),
        ("lead", "A roof!!", 3, True, contact),
    ]
    (failed,) = await stored("select rule, reason from ledger where outcome = 'failed'")
    assert tuple(failed.values()) == ("deal-of", "loop")


# -- products ----------------------------------------------------------------------------------------
async def test_products_are_put_read_and_make_the_amount(api: Api) -> None:
    deal = await a_deal(api)
    empty = await api.seen(f"/records/{deal}/products")
    assert empty == {"lines": [], "currency": "EUR", "net": 0, "tax": 0, "total": 0, "version": 1}
    answer = await api.put(f"/records/{deal}/products", json={"lines": LINES, "version": 1})
    put = answer.json()
    assert (answer.status_code, put["net"], put["tax"], put["total"]) == (200, 840, 159.6, 999.6)
    assert put["lines"][1] == {
        "sku": "", "name": "Work", "quantity": 7.5, "unit_price": 80, "discount": 10, "tax_rate": 19,
    }  # fmt: skip
    assert await api.seen(f"/records/{deal}/products") == put
    record = await api.seen(f"/records/{deal}")
    assert (record["amount"], record["version"]) == (999.6, put["version"])


async def test_lines_take_the_place_of_those_there_are_and_the_amount_may_stay(
    api: Api, stored: Stored
) -> None:
    deal = await a_deal(api, amount=5)
    for lines in (LINES, LINES[:1], []):
        body = {"lines": lines, "set_amount": False, "by": "ada"}
        assert (await api.put(f"/records/{deal}/products", json=body)).status_code == 200
        assert len((await api.seen(f"/records/{deal}/products"))["lines"]) == len(lines)
    record = await api.seen(f"/records/{deal}")
    assert (record["amount"], record["version"]) == (5, 4)
    said = await stored("select actor, detail from journal where event = 'products' order by id")
    assert said[0] == {"actor": "ada", "detail": {"lines": 2, "total": "999.60"}}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, "invalid-request"),
        ({"lines": [{"name": "Tiles"}]}, "invalid-request"),
        ({"lines": [LINES[0] | {"quantity": 0}]}, "invalid-request"),
        ({"lines": [LINES[0] | {"colour": "red"}]}, "invalid-request"),
        ({"lines": LINES, "by": "nobody"}, "unknown-actor"),
        ({"lines": [LINES[0] | {"unit_price": "99999999999999"}]}, "amount-too-large"),
    ],
)
async def test_what_makes_no_sense_is_refused(
    api: Api, stored: Stored, body: dict[str, Any], reason: str
) -> None:
    deal = await a_deal(api)
    answer = await api.put(f"/records/{deal}/products", json=body)
    assert (answer.status_code, answer.json()["type"]) == (422, f"urn:jalon:problem:{reason}")
    assert await stored("select 1 from product_line") == []


async def test_who_has_read_an_older_version_is_told(api: Api) -> None:
    deal = await a_deal(api)
    answer = await api.put(f"/records/{deal}/products", json={"lines": LINES, "version": 7})
    assert answer.status_code == 409
    for missing in (
        await api.get("/records/99/products"),
        await api.put("/records/99/products", json={"lines": []}),
    ):
        assert missing.status_code == 404


# -- quotes and invoices -----------------------------------------------------------------------------
async def test_quotes_and_invoices_are_listed_a_page_at_a_time(live: Api, stored: Stored) -> None:
    both = {"id": "both", "kind": "create_from_source", "params": {"quote": True, "invoice": True}}
    await publish(live, "sales", {"offer": [both]})
    deal = (await live.made("/records", type="deal", pipeline="sales", title="A roof"))["id"]
    assert (await live.put(f"/records/{deal}/products", json={"lines": LINES})).status_code == 200
    await live.made(f"/records/{deal}/move", stage="offer")
    await until(lambda: opened(live, deal))
    page = await live.seen("/sales-documents", record=deal, limit=1)
    (quote,) = page["items"]
    assert (quote["kind"], quote["number"][:2], quote["total"], quote["record_id"]) == (
        "quote",
        "Q-",
        999.6,
        deal,
    )
    assert [line["name"] for line in quote["lines"]] == ["Tiles", "Work"]
    rest = await live.seen("/sales-documents", record=deal, after=page["next"])
    assert [row["kind"] for row in rest["items"]] == ["invoice"]
    assert rest["next"] is None
    assert (await live.seen("/sales-documents", kind="invoice"))["items"] == rest["items"]
    assert await live.seen(f"/sales-documents/{quote['id']}") == quote
    assert (await live.get("/sales-documents/0")).status_code == 422
    assert (await live.get(f"/sales-documents/{quote['id'] + 99}")).status_code == 404
