"""Row 9: fields of the record's company set in one update, with history; its other records hear of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from domain.errors import Refused
from tests import builders
from tests.builders import NOON
from tests.kinds.births import publish, runs
from tests.kinds.conftest import Desk, refused_on_save


def sets(**values: Any) -> list[dict[str, Any]]:
    return [{"field": name, "value": value} for name, value in values.items()]


async def klein(desk: Desk, **more: Any) -> int:
    """A company with a custom field."""
    async with desk.database.transaction() as tx:
        await builders.setting(tx, "company_fields", [{"name": "employees", "type": "number"}])
        return await builders.client_company(tx, **more)


async def test_fields_are_set_in_one_update_and_history_has_old_and_new_values(desk: Desk) -> None:
    company = await klein(desk, fields={"employees": 3})
    deal = await desk.deal(company=company)
    wanted = sets(address="{{ record.title }} 1", employees="4", email="INFO@Klein.example")
    done = await desk.does(deal, "edit_company", rule="set-them", acting="hugo", set=wanted)
    row = await desk.row("company")
    assert (row["name"], row["address"], row["fields"]) == (
        "Klein & Sons", "A roof for Klein 1", {"employees": 4},
    )  # fmt: skip
    assert (row["emails"], row["version"]) == (["info@klein.example"], 2)
    assert done.changed == ("company.address", "company.employees", "company.email")
    assert done.results == {"changed": list(done.changed)}
    detail = {
        "address": [None, "A roof for Klein 1"], "employees": [3, 4], "email": [[], ["info@klein.example"]],
    }  # fmt: skip
    *_, last = await desk.journal(deal)
    assert last == ("edited", "set-them", "hugo", {f"company.{name}": pair for name, pair in detail.items()})
    change = await desk.row("client_change")
    assert (change["company_id"], change["contact_id"], change["at"]) == (company, None, NOON)
    assert (change["record_id"], change["rule"], change["detail"]) == (deal, "set-them", detail)


async def test_a_lead_has_a_company_too(desk: Desk) -> None:
    lead = await desk.lead(company=await klein(desk))
    await desk.does(lead, "edit_company", set=sets(name="Klein & Daughters"))
    assert (await desk.row("company"))["name"] == "Klein & Daughters"


async def test_append_adds_addresses(desk: Desk) -> None:
    deal = await desk.deal(company=await klein(desk, emails=["info@klein.example"]))
    wanted = sets(email=["Info@Klein.example", "sales@klein.example"], phone="030 901820")
    await desk.does(deal, "edit_company", append=True, set=wanted)
    row = await desk.row("company")
    assert row["emails"] == ["info@klein.example", "sales@klein.example"]
    assert row["phones"] == ["+4930901820"]


async def test_a_later_rule_quotes_what_was_set(desk: Desk) -> None:
    deal = await desk.deal(company=await klein(desk))
    async with desk.locked(deal) as locked:
        await desk.acts(locked, "edit_company", set=sets(name="Gross & Sons", employees=5))
        await desk.acts(locked, "add_comment", text="{{ company.name }}: {{ company.employees }}")
    assert (await desk.row("comment"))["body"] == "Gross & Sons: 5"


async def test_other_records_of_the_company_hear_of_it(desk: Desk) -> None:
    company = await klein(desk)
    condition = {"field": "company.name", "op": "equal", "value": "Gross"}
    rule = {"id": "greet", "kind": "add_comment", "params": {"text": "hello"}, "condition": condition}
    await desk.run(lambda tx: builders.rule_set(tx, {"new": [rule | {"if_false": "wait"}]}))
    deal, other = [await desk.deal(company=company) for _ in range(2)]
    done = await desk.does(deal, "edit_company", set=sets(name="Gross"))
    assert [bell.record_id for bell in done.bells] == [other]


async def test_many_records_of_one_company_at_once_do_not_block_each_other(desk: Desk) -> None:
    company = await klein(desk)
    deals = [await desk.deal(company=company, title=f"030 90182{number}") for number in range(8)]
    wanted = sets(phone="{{ record.title }}")
    await asyncio.gather(*(desk.does(deal, "edit_company", append=True, set=wanted) for deal in deals))
    assert sorted((await desk.row("company"))["phones"]) == [f"+493090182{number}" for number in range(8)]


# -- what fails, with nothing written ----------------------------------------------------------------
@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"name": "{{ record.source }}"}, "required_field_empty"),
        ({"employees": "{{ record.title }}"}, "wrong_type"),
        ({"phone": "{{ record.title }}"}, "wrong_type"),
        ({"colour": "red"}, "unknown_field"),
    ],
)
async def test_a_value_that_does_not_fit_fails_and_nothing_is_written(
    desk: Desk, values: dict[str, Any], reason: str
) -> None:
    deal = await desk.deal(company=await klein(desk))
    before = await desk.row("company")
    with pytest.raises(Refused) as refused:
        await desk.does(deal, "edit_company", set=sets(address="Elsewhere", **values))
    assert refused.value.reason == reason
    assert await desk.row("company") == before


async def test_without_a_company_it_fails(desk: Desk) -> None:
    await publish(desk, "edit_company", set=sets(name="Gross"))
    outcome, _ = await runs(desk, await desk.deal())
    assert (outcome.result, outcome.reason) == ("failed", "no_company")


# -- run twice, run stale ----------------------------------------------------------------------------
async def test_run_twice_it_edits_once_and_says_the_same(desk: Desk) -> None:
    await publish(desk, "edit_company", set=sets(name="{{ company.name }}!"))
    deal = await desk.deal(company=await klein(desk))
    first, _ = await runs(desk, deal)
    assert (first.result, first.changed) == ("done", ["company.name"])
    assert (await runs(desk, deal))[0] == first
    assert (await desk.row("company"))["name"] == "Klein & Sons!"


async def test_run_stale_it_does_nothing(desk: Desk) -> None:
    await publish(desk, "edit_company", set=sets(name="Gross"))
    deal = await desk.deal(company=await klein(desk))
    await desk.does(deal, "change_stage", stage="offer")
    assert (await runs(desk, deal))[0].result == "stale"
    assert (await desk.row("company"))["name"] == "Klein & Sons"


# -- what is refused on save -------------------------------------------------------------------------
def test_what_cannot_be_right_is_refused_on_save() -> None:
    for field, value in (("colour", "red"), ("contact.first_name", "x")):
        assert set(refused_on_save("edit_company", set=[{"field": field, "value": value}])) == {
            "/set/0/field"
        }
    for field, value in (("name", " "), ("email", "nobody"), ("phone", "call me"), ("address", 7)):
        assert set(refused_on_save("edit_company", set=[{"field": field, "value": value}])) == {
            "/set/0/value"
        }
    assert "/set" in refused_on_save("edit_company", set=[])
