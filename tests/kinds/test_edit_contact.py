"""Row 10: fields of the record's contact set in one update, with history; its other records hear of it."""

from __future__ import annotations

import asyncio
from datetime import date
from typing import Any

import pytest

from domain.errors import Refused
from tests import builders
from tests.builders import NOON
from tests.kinds.births import publish, runs
from tests.kinds.conftest import Desk, refused_on_save, setting

CUSTOM: list[dict[str, Any]] = [
    {"name": "vip", "type": "boolean"},
    {"name": "language", "type": "choice", "choices": ["de", "fr"], "required": True},
    {"name": "hobbies", "type": "text", "multiple": True},
    {"name": "advisor", "type": "employee"},
    {"name": "imported_from", "type": "text", "writable": False},
]


def sets(**values: Any) -> list[dict[str, Any]]:
    return [{"field": name, "value": value} for name, value in values.items()]


async def clara(desk: Desk, **more: Any) -> int:
    """A contact with custom fields."""
    async with desk.database.transaction() as tx:
        await builders.setting(tx, "contact_fields", CUSTOM)
        return await builders.contact(tx, **more)


async def refusal(desk: Desk, record: int, **values: Any) -> str:
    before = await desk.rows("contact", order="id")
    with pytest.raises(Refused) as refused:
        await desk.does(record, "edit_contact", set=sets(**values))
    assert await desk.rows("contact", order="id") == before
    assert await desk.rows("client_change") == []
    return refused.value.reason


# -- what it sets ------------------------------------------------------------------------------------
async def test_fields_are_set_in_one_update_and_history_has_old_and_new_values(desk: Desk) -> None:
    contact = await clara(desk, fields={"vip": False, "hobbies": ["chess"]})
    deal = await desk.deal(contact=contact, title="Claire's roof")
    wanted = sets(
        first_name="{{ record.title | truncate: 6, '' }}", birthday="1990-05-01", vip=True,
        responsible="{{ record.responsible }}", language="FR",
    )  # fmt: skip
    done = await desk.does(deal, "edit_contact", rule="set-them", acting="hugo", set=wanted)
    row = await desk.row("contact")
    assert (row["first_name"], row["last_name"], row["birthday"]) == ("Claire", "Klein", date(1990, 5, 1))
    assert (row["responsible_id"], row["version"]) == ("ada", 2)
    assert row["fields"] == {"vip": True, "hobbies": ["chess"], "language": "fr"}
    assert done.changed == tuple(
        f"contact.{name}" for name in ("first_name", "birthday", "vip", "responsible", "language")
    )
    assert done.results == {"changed": list(done.changed)}
    detail = {
        "first_name": ["Clara", "Claire"], "birthday": [None, "1990-05-01"], "vip": [False, True],
        "responsible": [None, "ada"], "language": [None, "fr"],
    }  # fmt: skip
    *_, last = await desk.journal(deal)
    quoted = {f"contact.{name}": pair for name, pair in detail.items()}
    assert last == ("edited", "set-them", "hugo", quoted)
    change = await desk.row("client_change")
    assert (change["contact_id"], change["event"], change["at"]) == (contact, "edited", NOON)
    assert (change["record_id"], change["rule"], change["actor"]) == (deal, "set-them", "hugo")
    assert change["detail"] == detail
    assert (await desk.record(deal))["version"] == 1, "the deal itself is as it was"


async def test_what_is_there_already_changes_nothing(desk: Desk) -> None:
    deal = await desk.deal(contact=await clara(desk, phones=["+4930901820"]))
    same = sets(first_name="Clara ", email=["CLARA@client.example"], phone="030 901820", vip=None)
    done = await desk.does(deal, "edit_contact", set=same)
    assert (done.changed, done.results, done.bells) == ((), {"changed": []}, ())
    assert (await desk.row("contact"))["version"] == 1
    assert await desk.rows("client_change") == []


async def test_addresses_are_normalised(desk: Desk) -> None:
    deal = await desk.deal(contact=await clara(desk))
    wanted = sets(email=[" A@Client.Example", "a@client.example", "b@client.example"], phone="030 901820")
    await desk.does(deal, "edit_contact", set=wanted)
    row = await desk.row("contact")
    assert row["emails"] == ["a@client.example", "b@client.example"]
    assert row["phones"] == ["+4930901820"]


async def test_append_adds_addresses_and_other_fields_that_hold_several(desk: Desk) -> None:
    contact = await clara(desk, phones=["+4930901820"], fields={"hobbies": ["chess"]})
    deal = await desk.deal(
        contact=contact, fields={"email": ["Clara@Client.example", "other@client.example"]}
    )
    wanted = sets(email="{{ record.email.last }}", phone=["030 901820", "0171 1234567"], hobbies=["go"])
    await desk.does(deal, "edit_contact", append=True, set=wanted + sets(first_name="Claire"))
    row = await desk.row("contact")
    assert row["emails"] == ["clara@client.example", "other@client.example"]
    assert row["phones"] == ["+4930901820", "+491711234567"]
    assert (row["fields"]["hobbies"], row["first_name"]) == (["chess", "go"], "Claire")


async def test_an_address_that_goes_takes_what_it_was_for_with_it(desk: Desk) -> None:
    kinds = {"clara@client.example": "work", "+4930901820": "home"}
    deal = await desk.deal(contact=await clara(desk, phones=["+4930901820"], address_kinds=kinds))
    await desk.does(deal, "edit_contact", set=sets(email="other@client.example"))
    assert (await desk.row("contact"))["address_kinds"] == {"+4930901820": "home"}


async def test_the_name_may_be_written_with_contact_before_it(desk: Desk) -> None:
    deal = await desk.deal(contact=await clara(desk))
    await desk.does(deal, "edit_contact", set=[{"field": "contact.last_name", "value": ""}])
    assert (await desk.row("contact"))["last_name"] == ""


async def test_a_later_rule_quotes_what_was_set(desk: Desk) -> None:
    deal = await desk.deal(contact=await clara(desk))
    async with desk.locked(deal) as locked:
        await desk.acts(locked, "edit_contact", set=sets(first_name="Claire", vip=True))
        await desk.acts(locked, "add_comment", text="{{ contact.first_name }} {{ contact.vip }}")
    assert (await desk.row("comment"))["body"] == "Claire true"


# -- the client is shared ----------------------------------------------------------------------------
WAITING: dict[str, Any] = {
    "id": "greet", "kind": "add_comment", "params": {"text": "hello"}, "if_false": "wait",
    "condition": {"field": "contact.first_name", "op": "equal", "value": "Claire"},
}  # fmt: skip


async def test_other_records_of_the_contact_whose_rules_read_it_hear_of_it(desk: Desk) -> None:
    contact = await clara(desk)
    await desk.run(lambda tx: builders.rule_set(tx, {"offer": [WAITING]}))
    deal, other, later = [
        await desk.deal(contact=contact, stage=stage) for stage in ("offer", "offer", "new")
    ]
    deleted = await desk.deal(contact=contact, stage="offer", deleted_at=NOON)
    await desk.deal(contact=contact, pipeline="service", stage="intake")
    await desk.deal(stage="offer")
    done = await desk.does(deal, "edit_contact", set=sets(first_name="Claire", last_name="Petit"))
    rung = await desk.rows("outbox", "kind = 'facts_changed'", order="record_id")
    assert [row["record_id"] for row in rung] == [other, later], "also one that may be on its way there"
    assert deleted not in {row["record_id"] for row in rung}
    assert rung[0]["payload"] == {
        "at": NOON.isoformat(), "fields": ["contact.first_name", "contact.last_name", "client"],
    }  # fmt: skip
    assert [(bell.id, bell.record_id) for bell in done.bells] == [
        (row["id"], row["record_id"]) for row in rung
    ]


async def test_what_no_rule_reads_rings_nobody(desk: Desk) -> None:
    contact = await clara(desk)
    await desk.run(lambda tx: builders.rule_set(tx, {"offer": [WAITING]}))
    deal, _ = [await desk.deal(contact=contact, stage="offer") for _ in range(2)]
    done = await desk.does(deal, "edit_contact", set=sets(last_name="Petit"))
    assert done.bells == ()


async def test_many_records_of_one_contact_at_once_each_add_theirs(desk: Desk) -> None:
    contact = await clara(desk, emails=[])
    deals = [await desk.deal(contact=contact, title=str(number)) for number in range(8)]
    wanted = sets(email="{{ record.title }}@client.example")
    await asyncio.gather(*(desk.does(deal, "edit_contact", append=True, set=wanted) for deal in deals))
    row = await desk.row("contact")
    assert sorted(row["emails"]) == [f"{number}@client.example" for number in range(8)]
    assert row["version"] == 9
    assert len(await desk.rows("client_change")) == 8


# -- what fails, with nothing written ----------------------------------------------------------------
async def test_without_a_contact_it_fails(desk: Desk) -> None:
    assert await refusal(desk, await desk.deal(), first_name="Claire") == "no_contact"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"birthday": "{{ record.title }}"}, "wrong_type"),
        ({"email": "{{ record.title }}"}, "wrong_type"),
        ({"phone": "{{ record.title }}"}, "wrong_type"),
        ({"email": [f"{number}@client.example" for number in range(101)]}, "wrong_type"),
        ({"first_name": "a\0b"}, "wrong_type"),
        ({"language": "{{ record.source }}"}, "required_field_empty"),
        ({"language": "{{ record.title }}"}, "wrong_type"),
        ({"advisor": "{{ record.title }}"}, "wrong_type"),
        ({"responsible": "{{ record.title }}"}, "wrong_responsible"),
        ({"imported_from": "x"}, "unknown_field"),
        ({"colour": "red"}, "unknown_field"),
    ],
)
async def test_a_value_that_does_not_fit_fails_and_nothing_is_written(
    desk: Desk, values: dict[str, Any], reason: str
) -> None:
    deal = await desk.deal(contact=await clara(desk))
    assert await refusal(desk, deal, last_name="Petit", **values) == reason


async def test_an_employee_who_left_becomes_nobodys_responsible(desk: Desk) -> None:
    await desk.run(lambda tx: builders.employee(tx, "gone", active=False))
    deal = await desk.deal(contact=await clara(desk))
    assert await refusal(desk, deal, responsible="gone") == "wrong_responsible"
    await desk.does(deal, "edit_contact", set=sets(advisor="gone"))


# -- run twice, run stale ----------------------------------------------------------------------------
async def test_run_twice_it_edits_once_and_says_the_same(desk: Desk) -> None:
    await publish(desk, "edit_contact", set=sets(first_name="{{ contact.first_name }}x"))
    deal = await desk.deal(contact=await clara(desk))
    first, _ = await runs(desk, deal)
    assert (first.result, first.changed) == ("done", ["contact.first_name"])
    assert (await runs(desk, deal))[0] == first
    assert (await desk.row("contact"))["first_name"] == "Clarax"


async def test_run_stale_it_does_nothing(desk: Desk) -> None:
    await publish(desk, "edit_contact", set=sets(first_name="Claire"))
    deal = await desk.deal(contact=await clara(desk))
    await desk.does(deal, "change_stage", stage="offer")
    assert (await runs(desk, deal))[0].result == "stale"
    assert (await desk.row("contact"))["first_name"] == "Clara"


# -- what is refused on save -------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("item", "place"),
    [
        ({"field": "colour", "value": "red"}, "/set/0/field"),
        ({"field": "record.title", "value": "x"}, "/set/0/field"),
        ({"field": "birthday", "value": "soon"}, "/set/0/value"),
        ({"field": "email", "value": "nobody"}, "/set/0/value"),
        ({"field": "email", "value": ["a@client.example", "{{ record.title }}"]}, "/set/0/value"),
        ({"field": "phone", "value": "call me"}, "/set/0/value"),
        ({"field": "responsible", "value": "nobody"}, "/set/0/value"),
    ],
)
def test_what_cannot_be_right_is_refused_on_save(item: dict[str, Any], place: str) -> None:
    assert set(refused_on_save("edit_contact", set=[item])) == {place}


def test_nothing_to_set_and_one_field_set_twice_are_refused_on_save() -> None:
    assert "/set" in refused_on_save("edit_contact", set=[])
    assert "/colour" in refused_on_save("edit_contact", set=sets(first_name="x"), colour="red")
    twice = [{"field": "first_name", "value": "x"}, {"field": "contact.first_name", "value": "y"}]
    assert set(refused_on_save("edit_contact", set=twice)) == {"/set/1/field"}


def test_what_fits_is_saved() -> None:
    assert "email" in setting().registry.contact
    wanted = sets(email="{{ record.email }}", phone=["030 901820"], birthday="1990-05-01", responsible="ben")
    assert refused_on_save("edit_contact", set=wanted) == {}
