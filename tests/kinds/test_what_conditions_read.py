"""Whatever a condition can read wakes it when it changes: every field there is, every result of a kind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import to_json

from activities.announcing import facts_changed
from activities.providers.console import ConsoleMail
from activities.visits import enter, replan
from activities.work import Activities
from db.client_bells import client_bells
from db.client_edits import Changes, edit_client
from db.clients import take_client
from db.doorbell import Doorbell
from db.edits import edit
from db.locked import registry
from db.records import By, move
from db.settings import Settings
from domain.fields import Field
from domain.journey import Replan
from domain.progress import Progress
from tests import builders
from tests.builders import NOON
from tests.kinds.conftest import Desk
from tests.kinds.test_every_kind import KINDS, Work
from tests.stories.conftest import away

LATER = NOON + timedelta(hours=1)
BY = By("eve", LATER)
OF_CLIENTS: dict[str, list[dict[str, Any]]] = {
    "contact": [{"name": "shoe_size", "type": "number"}],
    "company": [{"name": "trade", "type": "choice", "choices": ["roofs", "walls"]}],
}
KNOWN = registry(
    "deal", to_json(builders.FIELDS), to_json(OF_CLIENTS["contact"]), to_json(OF_CLIENTS["company"])
)
NEVER = {
    "record.created_at": "a record is created once",
    "record.pipeline": "with the pipeline everything that could wait for it ends",
    "record.imported_from": "it is written by an import, before there is anybody to wait",
}
"""What can be read and does not change while something waits."""
PRESENT = {
    "record.title": "A roof for Klein", "record.currency": "EUR", "record.responsible": "ada",
    "record.stage": "new", "record.repeat": False, "record.reference": "1",
    "record.entered_at": NOON.isoformat(), "contact.first_name": "Clara", "contact.last_name": "Klein",
    "contact.email": "clara@client.example",
    "company.name": "Klein & Sons", "responsible.name": "Ada", "responsible.email": "ada@company.example",
}  # fmt: skip
"""What is there before the change; every other field is empty."""
NEW: dict[str, object] = {
    "text": "other", "number": 7, "money": 7, "boolean": True, "date": "2026-05-01", "employee": "ben",
    "datetime": "2026-05-01T09:00:00+00:00",
}
Way = Callable[[Desk, int, Field], Awaitable[Sequence[str]]]


def changes_to(field: Field) -> object:
    if field.name in ("email", "phone"):
        return ["other@client.example" if field.name == "email" else "+4915112345678"]
    if field.name == "currency":
        return "CHF"
    new = field.choices[-1] if field.choices else NEW[field.type]
    return [new] if field.multiple else new


# -- the ways in which each field changes ----------------------------------------------------------------
async def _edited(desk: Desk, record: int, field: Field) -> Sequence[str]:
    async with desk.locked(record) as locked:
        changed = (await edit(locked, {field.name: changes_to(field)}, BY)).changed
        bell = await facts_changed(locked, changed, LATER)
        return bell.payload["fields"] if bell else ()  # type: ignore[return-value]  # JSON


async def _of_the_client(client: Any, desk: Desk, record: int, field: Field) -> Sequence[str]:
    row = await desk.record(record)
    async with desk.database.transaction() as tx:
        taken = await take_client(tx, client, row[f"{client}_id"])
        assert taken is not None
        wanted = Changes({field.name: changes_to(field)})
        changed = (await edit_client(tx, taken, wanted, BY, "FR")).changed
        (bell,) = await client_bells(tx, desk.book, taken.row, client, changed, LATER)
        return bell.payload["fields"]  # type: ignore[return-value]  # JSON


async def _another_responsible(desk: Desk, record: int, field: Field) -> Sequence[str]:
    return await _edited(desk, record, KNOWN.record["responsible"])


async def _booked(desk: Desk, record: int, field: Field) -> Sequence[str]:
    done = await desk.does(record, "book_resource", field=field.name, start="2026-03-09T09:00:00+00:00",
                           duration={"hours": 1})  # fmt: skip
    return done.changed


async def _known_again(desk: Desk, record: int, field: Field) -> Sequence[str]:
    return (await desk.does(record, "create_contact")).changed


async def _moved(desk: Desk, record: int, field: Field) -> Sequence[str]:
    async with desk.locked(record) as locked:
        await move(locked, "offer", BY)
    return ()  # its journey opens the visit, and reads the rest


def way(reference: str) -> Way:
    section, _, name = reference.partition(".")
    if section in ("contact", "company"):
        return lambda desk, record, field: _of_the_client(section, desk, record, field)
    if section == "responsible":
        return _another_responsible
    if name in ("stage", "entered_at"):
        return _moved
    if name == "repeat":
        return _known_again
    return _booked if KNOWN.record[name].type == "booking" else _edited


# -- every field -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("reference", sorted(set(KNOWN.references()) - NEVER.keys()))
async def test_what_waits_for_a_field_is_woken_when_it_changes(desk: Desk, reference: str) -> None:
    field = KNOWN.find(reference)
    asked: dict[str, Any] = {"field": reference, "op": "is_not_empty"}
    if reference in PRESENT:
        asked = asked | {"op": "contains" if field.multiple else "equal", "value": PRESENT[reference]}
        asked = {"not": asked}
    params = {"kind": "add_comment", "params": {"text": "woken"}, "on_exit": "keep"}
    rule = {"id": "woken", "condition": asked, "if_false": "wait"} | params
    of, stage = ("leads", "fresh") if reference == "record.repeat" else ("sales", "new")
    await desk.run(
        *(lambda tx, c=c, f=f: builders.setting(tx, f"{c}_fields", f) for c, f in OF_CLIENTS.items()),
        "update employee set phone = '+4915112345678', mobile = '+4915112345679' where id = 'ben'",
        lambda tx: builders.rule_set(tx, {stage: [rule]}, pipeline=of),
    )  # fmt: skip
    async with desk.database.transaction() as tx:
        company = await builders.client_company(tx)
        contact = await builders.contact(tx, company_id=company)
        made = builders.lead if of == "leads" else builders.deal
        given = {"contact": contact, "company": company, "fields": {"reference": "1"}}
        record = await made(tx, **given)
    worker = Activities(desk.database, Doorbell(desk.database, away, "jalon"), ConsoleMail(), Settings())
    driven = await worker._on_record(record, Progress(), NOON, lambda runner: enter(runner, Progress()))
    assert await desk.rows("comment") == []
    changed = await way(reference)(desk, record, field)
    if changed:
        replanned = Replan(record_id=record, progress=driven.progress, at=LATER, fields=[*changed])
        heard = driven.progress
        await worker._on_record(record, heard, LATER, lambda runner: replan(runner, heard, replanned))
    else:
        await worker._on_record(record, driven.progress, LATER, lambda runner: enter(runner, driven.progress))
    assert [row["body"] for row in await desk.rows("comment")] == ["woken"]


def test_what_never_changes_is_among_what_can_be_read() -> None:
    assert NEVER.keys() <= set(KNOWN.references())


# -- every result ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", sorted(KINDS))
async def test_an_act_says_which_results_it_brought_that_something_waits_for(
    desk: Desk, tmp_path: Path, kind: str
) -> None:
    work = Work(desk, tmp_path)
    results = [f"steps.example.{name}" for name in KINDS[kind].results]
    waits = {
        "id": "waits", "kind": "add_comment", "params": {"text": "woken"}, "if_false": "wait",
        "condition": {"any": [{"field": result, "op": "is_not_empty"} for result in results]},
    }  # fmt: skip
    record = await work.record(kind, *([waits] if results else []))
    outcome = await work.run(record, kind)
    brought = (await desk.row("ledger", "rule = 'example' and n = 0"))["results"]
    assert brought.keys() <= KINDS[kind].results.keys()
    assert {f"steps.example.{name}" for name in brought} <= set(outcome.changed)
