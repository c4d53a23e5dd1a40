"""Editing a record: what the API and the rules have in common."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import event

from db.edits import Edited, edit
from db.records import By
from domain.errors import Refused
from domain.schedule import Schedule
from tests import builders
from tests.builders import NOON
from tests.kinds.conftest import Desk

EVE = By("eve", NOON)


async def test_typed_values_are_written_and_told_before_and_after(desk: Desk) -> None:
    deal = await desk.deal(amount="1000")
    async with desk.locked(deal) as locked:
        wanted = {"amount": Decimal("12.345678"), "due_on": date(2026, 4, 1), "tags": ["a", "b"]}
        edited = await edit(locked, wanted, EVE)
        assert (locked.record.amount, locked.record.version) == (Decimal("12.3457"), 2)
        assert locked.values(1)["record.due_on"] == date(2026, 4, 1)
        in_memory = locked.record
    assert edited.before == {"amount": Decimal(1000), "due_on": None, "tags": []}
    assert edited.after == {"amount": Decimal("12.3457"), "due_on": date(2026, 4, 1), "tags": ["a", "b"]}
    async with desk.locked(deal) as locked:
        assert locked.record == in_memory, "memory is what the database says"


async def test_an_edit_is_one_statement_and_one_line_in_the_journal(desk: Desk) -> None:
    deal = await desk.deal()
    async with desk.locked(deal) as locked:
        ran: list[str] = []
        event.listen(locked.tx.sync_connection, "after_cursor_execute", lambda *seen: ran.append(seen[2]))
        await edit(locked, {"title": "Another", "amount": 5, "score": 1, "hot": True}, EVE)
        assert len(ran) == 1
        assert await edit(locked, {"title": "Another", "amount": 5}, EVE) == Edited()
        assert len(ran) == 1
    *_, said = await desk.journal(deal)
    assert said == ("edited", "", "eve", {
        "title": ["A roof for Klein", "Another"], "amount": [None, 5], "score": [None, 1],
        "hot": [None, True],
    })  # fmt: skip


async def test_custom_fields_are_merged_into_those_there_are(desk: Desk) -> None:
    deal = await desk.deal(fields={"score": 1, "from_an_import": {"kept": True}})
    async with desk.locked(deal) as locked:
        await edit(locked, {"score": None, "coupon": "X"}, EVE)
    assert (await desk.record(deal))["fields"] == {
        "score": None, "coupon": "X", "from_an_import": {"kept": True},
    }  # fmt: skip


async def test_fields_that_need_no_value_may_be_emptied(desk: Desk) -> None:
    deal = await desk.deal(amount="5", source="fair")
    async with desk.locked(deal) as locked:
        await edit(locked, {"amount": None, "source": "", "responsible": None}, EVE)
        assert locked.around.responsible is None
    record = await desk.record(deal)
    assert (record["amount"], record["source"], record["responsible_id"]) == (None, "", None)


async def test_contact_and_company_are_set_by_their_ids(desk: Desk) -> None:
    deal = await desk.deal()
    async with desk.database.transaction() as tx:
        contact = await builders.contact(tx, first_name="Dora")
        company = await builders.client_company(tx, name="Dora & Co")
    async with desk.locked(deal) as locked:
        edited = await edit(locked, {}, EVE, links={"contact": contact, "company": company})
        values = locked.values(1)
        assert (values["contact.first_name"], values["company.name"]) == ("Dora", "Dora & Co")
        assert {"contact.birthday", "company.name"} <= set(edited.changed)
    record = await desk.record(deal)
    assert (record["contact_id"], record["company_id"], record["version"]) == (contact, company, 2)
    *_, (_, _, _, detail) = await desk.journal(deal)
    assert detail == {"contact": [None, contact], "company": [None, company]}
    async with desk.locked(deal) as locked:
        assert await edit(locked, {}, EVE, links={"contact": contact}) == Edited()
        await edit(locked, {}, EVE, links={"contact": None})
        assert locked.values(1)["contact.first_name"] is None


@pytest.mark.parametrize("link", ["contact", "company"])
async def test_a_client_there_is_not_is_refused(desk: Desk, link: Any) -> None:
    async with desk.locked(await desk.deal()) as locked:
        with pytest.raises(Refused) as refused:
            await edit(locked, {"title": "Another"}, EVE, links={link: 404})
        assert (locked.record.title, locked.record.version) == ("A roof for Klein", 1)
    assert refused.value.reason == "wrong_client"


async def test_an_inactive_responsible_may_stay_but_not_become_it(desk: Desk) -> None:
    await desk.run(lambda tx: builders.employee(tx, "gone", active=False))
    async with desk.locked(await desk.deal(responsible="gone")) as locked:
        assert await edit(locked, {"responsible": "gone"}, EVE) == Edited()
        await edit(locked, {"responsible": "ada"}, EVE)
        with pytest.raises(Refused) as refused:
            await edit(locked, {"responsible": "gone"}, EVE)
    assert refused.value.reason == "wrong_responsible"


async def test_zone_and_calendar_are_those_of_the_new_responsible(desk: Desk) -> None:
    nights = {"zone": "America/New_York", "week": {"mon": ["20:00-24:00"]}}
    await desk.run(
        lambda tx: builders.calendar_of(tx, "nights", nights),
        lambda tx: builders.employee(tx, "nora", calendar_id="nights", zone="America/New_York"),
    )
    working = Schedule.model_validate({"after": {"hours": 1}, "working_time": True})
    async with desk.locked(await desk.deal()) as locked:
        assert (await locked.schedule_facts(working)).zone == "Europe/Paris"
        edited = await edit(locked, {"responsible": "nora"}, EVE)
        assert working.reads & set(edited.changed), "what is pending follows"
        facts = await locked.schedule_facts(working)
        assert facts.zone == "America/New_York"
        assert facts.calendar is not None
        assert facts.calendar.zone == "America/New_York"


async def test_a_text_the_database_cannot_hold_is_refused(desk: Desk) -> None:
    async with desk.locked(await desk.deal()) as locked:
        for wanted in ({"title": "a\0b"}, {"coupon": "a\0b"}, {"tags": ["a\0b"]}):
            with pytest.raises(Refused) as refused:
                await edit(locked, wanted, EVE)
            assert refused.value.reason == "wrong_type"
        await edit(locked, {"title": "'; drop table record; -- {{ 7 }} \\ \U0001f600 \n"}, EVE)
    assert (await desk.rows("record"))[0]["title"] == "'; drop table record; -- {{ 7 }} \\ \U0001f600"


@pytest.mark.parametrize("name", ["stage", "pipeline", "created_at", "imported_from", "version", "colour"])
async def test_what_is_no_writable_field_is_refused(desk: Desk, name: str) -> None:
    async with desk.locked(await desk.deal()) as locked:
        with pytest.raises(Refused) as refused:
            await edit(locked, {name: "x"}, EVE)
    assert refused.value.reason == "unknown_field"


async def test_instants_are_kept_in_utc(desk: Desk) -> None:
    deal = await desk.deal()
    async with desk.locked(deal) as locked:
        await edit(locked, {"visit_at": "2026-03-02T10:00:00+01:00"}, EVE)
        assert await edit(locked, {"visit_at": datetime(2026, 3, 2, 9, tzinfo=UTC)}, EVE) == Edited()
    assert (await desk.record(deal))["fields"] == {"visit_at": "2026-03-02T09:00:00+00:00"}
