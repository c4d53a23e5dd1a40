"""Row 8: any number of fields set in one update; types checked; old and new values in history."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from activities.catalogue import nature
from domain.errors import Refused
from tests import builders
from tests.kinds.conftest import Desk, refused_on_save


def sets(**values: Any) -> list[dict[str, Any]]:
    return [{"field": name, "value": value} for name, value in values.items()]


async def test_fields_are_set_in_one_update_and_history_has_old_and_new_values(desk: Desk) -> None:
    deal = await desk.deal(amount="1000", fields={"score": 3, "coupon": "X"})
    wanted = sets(amount="{{ record.score }}00", due_on="2026-04-01", score=7, hot=True)
    done = await desk.does(deal, "edit_record", rule="set-them", acting="hugo", set=wanted)
    record = await desk.record(deal)
    assert (record["amount"], record["version"], record["visit_no"]) == (Decimal(300), 2, 1)
    assert record["fields"] == {"score": 7, "coupon": "X", "due_on": "2026-04-01", "hot": True}
    assert done.changed == ("record.amount", "record.due_on", "record.score", "record.hot")
    assert (done.results, done.moved_to) == ({"changed": list(done.changed)}, 0)
    *_, last = await desk.journal(deal)
    detail = {"amount": [1000, 300], "due_on": [None, "2026-04-01"], "score": [3, 7], "hot": [None, True]}
    assert last == ("edited", "set-them", "hugo", detail)


async def test_what_is_there_already_changes_nothing(desk: Desk) -> None:
    deal = await desk.deal(amount="1000", fields={"tags": ["a"], "due_on": "2026-04-01"})
    same = sets(amount="1000.00", tags=["a"], due_on="2026-04-01", responsible="ada", source="", hot=None)
    done = await desk.does(deal, "edit_record", set=same)
    assert (done.changed, done.results) == ((), {"changed": []})
    assert (await desk.record(deal))["version"] == 1
    assert [event for event, *_ in await desk.journal(deal)] == ["created"]


async def test_the_name_may_be_written_with_record_before_it(desk: Desk) -> None:
    deal = await desk.deal()
    await desk.does(deal, "edit_record", set=[{"field": "record.title", "value": "Another"}])
    assert (await desk.record(deal))["title"] == "Another"


async def test_values_quote_fields_and_are_read_as_the_type_of_theirs(desk: Desk) -> None:
    async with desk.database.transaction() as tx:
        client = await builders.contact(tx, birthday=date(1990, 5, 1), emails=["c@client.example"])
        deal = await builders.deal(tx, contact=client, amount="12.5")
    wanted = sets(
        due_on="{{ contact.birthday }}", source="{{ contact.email.first }}", score="{{ record.amount }}",
        visit_at="{{ record.created_at }}", title="{{ contact.first_name }}'s roof", priority="HIGH",
    )  # fmt: skip
    await desk.does(deal, "edit_record", set=wanted)
    record = await desk.record(deal)
    assert (record["title"], record["source"]) == ("Clara's roof", "c@client.example")
    assert record["fields"] == {
        "due_on": "1990-05-01", "score": 12.5, "visit_at": "2026-03-02T12:00:00+00:00", "priority": "high",
    }  # fmt: skip


async def test_append_adds_to_fields_that_hold_several(desk: Desk) -> None:
    deal = await desk.deal(fields={"tags": ["old", "roof"]})
    await desk.does(deal, "edit_record", append=True, set=sets(tags=["roof", "new"], title="Other"))
    await desk.does(deal, "edit_record", append=True, set=sets(tags="{{ record.title }}"))
    record = await desk.record(deal)
    assert (record["fields"]["tags"], record["title"]) == (["old", "roof", "new", "Other"], "Other")
    await desk.does(deal, "edit_record", set=sets(tags=["only"]))
    assert (await desk.record(deal))["fields"]["tags"] == ["only"]


async def test_a_new_responsible_counts_from_the_next_step_on(desk: Desk) -> None:
    deal = await desk.deal(responsible="ada")
    done = await desk.does(deal, "edit_record", set=sets(responsible="ben"))
    assert done.changed == (
        "record.responsible", "responsible", "responsible.name", "responsible.email", "responsible.phone",
        "responsible.mobile",
    )  # fmt: skip
    assert (await desk.record(deal))["responsible_id"] == "ben"


# -- a stage among them ------------------------------------------------------------------------------
@pytest.mark.parametrize("field", ["stage", "record.stage"])
def test_a_stage_among_them_makes_it_a_transition(field: str) -> None:
    assert nature("edit_record", {"set": [{"field": field, "value": "offer"}]}) == "transition"
    assert nature("edit_record", {"set": [{"field": "title", "value": "stage"}]}) == "database"
    assert nature("edit_record", {"set": "nonsense"}) == "database"


async def test_the_record_is_edited_then_moved(desk: Desk) -> None:
    deal = await desk.deal(stage="new")
    done = await desk.does(deal, "edit_record", rule="win", set=sets(stage="won", amount=500))
    record = await desk.record(deal)
    assert (record["stage_id"], record["visit_no"], record["amount"]) == ("won", 2, Decimal(500))
    assert (done.moved_to, done.changed) == (2, ("record.amount", "record.stage"))
    assert [event for event, *_ in await desk.journal(deal)] == ["created", "edited", "closed"]
    assert (await desk.row("visit", "visit_no = 1"))["left_by"] == "win"


async def test_a_stage_it_is_in_already_moves_nothing(desk: Desk) -> None:
    deal = await desk.deal(stage="offer")
    done = await desk.does(deal, "edit_record", set=sets(stage="offer", amount=500))
    assert (done.moved_to, done.changed) == (0, ("record.amount",))
    assert (await desk.record(deal))["visit_no"] == 1


# -- what fails, with nothing written ----------------------------------------------------------------
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"reference": "{{ contact.first_name }}"}, "required_field_empty"),
        ({"title": "   "}, "required_field_empty"),
        ({"amount": "{{ record.title }}"}, "wrong_type"),
        ({"amount": "123456789012345"}, "wrong_type"),
        ({"due_on": "tomorrow"}, "wrong_type"),
        ({"visit_at": "2026-03-02T12:00:00"}, "wrong_type"),
        ({"priority": "urgent"}, "wrong_type"),
        ({"hot": "perhaps"}, "wrong_type"),
        ({"title": ["a", "b"]}, "wrong_type"),
        ({"assistant": "nobody"}, "wrong_type"),
        ({"responsible": "nobody"}, "wrong_responsible"),
        ({"responsible": "gone"}, "wrong_responsible"),
        ({"colour": "red"}, "unknown_field"),
        ({"imported_from": "elsewhere"}, "unknown_field"),
        ({"pipeline": "service"}, "unknown_field"),
        ({"stage": "{{ record.title }}"}, "wrong_stage"),
        ({"stage": None}, "wrong_stage"),
    ],
)
async def test_what_cannot_be_set_fails_and_nothing_is_written(
    desk: Desk, value: dict[str, Any], reason: str
) -> None:
    await desk.run(lambda tx: builders.employee(tx, "gone", active=False))
    deal = await desk.deal(fields={"reference": "R1"})
    before = await desk.record(deal)
    async with desk.locked(deal) as locked:
        kept = locked.record.model_copy(deep=True)
        with pytest.raises(Refused) as refused:
            await desk.acts(locked, "edit_record", set=[*sets(currency="CHF"), *sets(**value)])
        assert locked.record == kept, "nor in memory"
        assert locked.around.responsible.id == "ada"
    assert refused.value.reason == reason
    assert await desk.record(deal) == before
    assert [event for event, *_ in await desk.journal(deal)] == ["created"]


async def test_appending_what_does_not_fit_fails_too(desk: Desk) -> None:
    deal = await desk.deal()
    with pytest.raises(Refused) as refused:
        await desk.does(deal, "edit_record", append=True, set=[{"field": "tags", "value": [1]}])
    assert refused.value.reason == "wrong_type"


# -- saving ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("field", "value", "place", "said"),
    [
        ("amuont", 1, "field", "did you mean 'record.amount'"),
        ("contact.first_name", "x", "field", "there is no field"),
        ("imported_from", "x", "field", "read-only"),
        ("created_at", "x", "field", "read-only"),
        ("pipeline", "service", "field", "change_pipeline"),
        ("amount", "much", "value", "is not an amount"),
        ("score", True, "value", "is not a number"),
        ("priority", "urgent", "value", "low, high"),
        ("title", "", "value", "required"),
        ("reference", None, "value", "required"),
        ("stage", "offers", "value", "new, offer, deal, won, lost"),
        ("responsible", "bob", "value", "no employee 'bob'"),
        ("tags", ["roof", "{{ record.title }}"], "value", "a template stands alone"),
    ],
)
def test_what_cannot_be_right_is_refused_on_save(field: str, value: object, place: str, said: str) -> None:
    wrong = refused_on_save("edit_record", set=[{"field": field, "value": value}])
    assert set(wrong) == {f"/set/0/{place}"}
    assert said in wrong[f"/set/0/{place}"]


def test_what_only_the_moment_shows_is_not_refused_on_save() -> None:
    wanted = sets(amount="{{ record.score }}", title="{{ contact.first_name }}", stage="{{ record.coupon }}")
    assert refused_on_save("edit_record", set=wanted) == {}


def test_nothing_to_set_and_one_field_set_twice_are_refused_on_save() -> None:
    assert set(refused_on_save("edit_record", set=[])) == {"/set"}
    twice = [{"field": "amount", "value": 1}, {"field": "record.amount", "value": 2}]
    assert set(refused_on_save("edit_record", set=twice)) == {"/set/1/field"}


# -- fields that hold several ------------------------------------------------------------------------
def how(field: str, what: str, *value: Any) -> dict[str, Any]:
    return {"field": field, "how": what} | ({"value": value[0]} if value else {})


async def test_a_field_of_several_that_is_quoted_alone_is_copied_whole(desk: Desk) -> None:
    async with desk.database.transaction() as tx:
        client = await builders.contact(tx, emails=["a@client.example", "b@client.example"])
        deal = await builders.deal(tx, contact=client, fields={"tags": ["x, y", "z"]})
    await desk.does(deal, "edit_record", set=sets(email="{{ contact.email }}", tags="{{record.tags}}"))
    record = await desk.record(deal)
    assert record["fields"]["email"] == ["a@client.example", "b@client.example"]
    assert record["fields"]["tags"] == ["x, y", "z"]


async def test_each_field_says_what_is_done_to_it(desk: Desk) -> None:
    deal = await desk.deal(amount="10", fields={"tags": ["a", "b"], "coupon": "X"})
    await desk.does(deal, "edit_record", set=[how("tags", "append", ["b", "c"]), how("coupon", "clear")])
    assert (await desk.record(deal))["fields"] == {"tags": ["a", "b", "c"], "coupon": None}
    await desk.does(deal, "edit_record", append=True, set=[how("tags", "remove", ["a", "nowhere"])])
    assert (await desk.record(deal))["fields"]["tags"] == ["b", "c"]
    await desk.does(deal, "edit_record", append=True, set=[how("tags", "set", "d")])
    assert (await desk.record(deal))["fields"]["tags"] == ["d"]
    await desk.does(deal, "edit_record", set=[how("tags", "clear"), how("amount", "clear")])
    record = await desk.record(deal)
    assert (record["fields"]["tags"], record["amount"]) == ([], None)


def test_what_is_done_to_a_field_has_to_fit_it() -> None:
    wrong = refused_on_save("edit_record", set=[
        how("title", "append", "x"), how("coupon", "remove", "x"), how("tags", "clear", "x"),
        how("title", "clear"), how("stage", "clear"), how("tags", "append"), how("tags", "swap", "x"),
    ])  # fmt: skip
    assert set(wrong) == {"/set/6/how"}  # the form is judged first
    wrong = refused_on_save("edit_record", set=[
        how("title", "append", "x"), how("coupon", "remove", "x"), how("tags", "clear", "x"),
        how("company_name", "append", "x"), how("stage", "clear"), how("source", "set"),
    ])  # fmt: skip
    assert set(wrong) >= {f"/set/{number}/how" for number in range(6)}


# -- one check for every writer ----------------------------------------------------------------------
TOO_MUCH: dict[str, Any] = {
    "title": "x" * 1001, "currency": "euro", "source": "x" * 201, "first_name": "x" * 201,
    "tags": [str(number) for number in range(101)], "coupon": "x" * 100_001,
    "email": "a@b.example, c@d.example",
}  # fmt: skip


@pytest.mark.parametrize("field", TOO_MUCH)
async def test_a_rule_writes_nothing_that_a_person_may_not(desk: Desk, field: str) -> None:
    """What the API refuses (`tests/stories/test_junk.py`) fails the rule, and a constant on save."""
    value = TOO_MUCH[field]
    assert refused_on_save("edit_record", set=sets(**{field: value}))
    deal = await desk.deal(fields={"long": value} if isinstance(value, str) else {})
    with pytest.raises(Refused) as refused:
        await desk.does(deal, "edit_record", set=sets(**{field: value}))
    assert refused.value.reason in ("wrong_type", "template")
    assert (await desk.record(deal))["version"] == 1
