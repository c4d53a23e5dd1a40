"""Dates and amounts follow the document's language, else the pipeline's, else the company's."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from activities.publish import RulesRefused, publish
from db import tables
from domain.errors import Refused
from domain.fields import Field
from domain.rule import RuleSet
from domain.spelled_fields import spelled
from domain.standard_fields import standard
from tests import builders
from tests.builders import NOON
from tests.kinds.conftest import Desk
from tests.kinds.workshop import Workshop, word, words, workshop_of

SAID = '{{ record.amount | money }} until {{ record.due_on | date: "long" }}'
FACTS: dict[str, Any] = {"amount": "1200.50", "fields": {"due_on": "2026-03-09"}}
ENGLISH = "€1,200.50 until March 9, 2026"
GERMAN = "1.200,50\u00a0€ until 9. März 2026"
FRENCH = "1\u202f200,50\u00a0€ until 9 mars 2026"


async def speaks(desk: Desk, *, company: str = "", pipeline: str | None = None) -> None:
    if company:
        await desk.run(lambda tx: builders.setting(tx, "locale", company))
    await desk.run(lambda tx: tx.execute(update(tables.Pipeline).values(locale=pipeline)))


async def commented(desk: Desk) -> str:
    done = await desk.does(await desk.deal(**FACTS), "add_comment", text=SAID)
    return str((await desk.row("comment", f"id = {done.results['id']}"))["body"])


# -- texts -------------------------------------------------------------------------------------------
async def test_where_nobody_says_a_language_texts_are_in_english(desk: Desk) -> None:
    assert await commented(desk) == ENGLISH


async def test_texts_are_in_the_companys_language(desk: Desk) -> None:
    await speaks(desk, company="de-DE")
    assert await commented(desk) == GERMAN


async def test_the_pipelines_language_comes_before_the_companys(desk: Desk) -> None:
    await speaks(desk, company="de-DE", pipeline="fr")
    assert await commented(desk) == FRENCH


@pytest.mark.parametrize("where", [{"company": "xx"}, {"pipeline": "xx"}])
async def test_a_language_there_is_not_is_told_on_save_and_fails_a_text(
    desk: Desk, where: dict[str, str]
) -> None:
    await speaks(desk, **where)
    rule = {"id": "say", "kind": "add_comment", "params": {"text": SAID}}
    rules = RuleSet.model_validate({"stages": {"new": [rule]}})
    with pytest.raises(RulesRefused, match="/stages/new/0/params/text: there is no language 'xx'"):
        await desk.run(lambda tx: publish(tx, "sales", rules, "eve", NOON))
    with pytest.raises(Refused, match="there is no language 'xx'"):
        await commented(desk)


# -- documents ---------------------------------------------------------------------------------------
@pytest.fixture
async def workshop(desk: Desk, tmp_path: Path) -> Workshop:
    return await workshop_of(desk, tmp_path)


LETTER = word(
    "{{ values.said }} | {{ shown.record.amount }} {{ shown.record.due_on }} {{ shown.date }} {{ language }}"
)


async def letter(workshop: Workshop, language: str | None) -> str:
    await workshop.template("note", LETTER, format="docx", language=language)
    deal = await workshop.desk.deal(**FACTS)
    await workshop.desk.does(deal, "create_document", template="note", format="docx", values={"said": SAID})
    return words(await workshop.blobs.get((await workshop.desk.row("document"))["blob"]))


async def test_a_document_is_in_the_language_of_its_template(workshop: Workshop) -> None:
    await speaks(workshop.desk, company="en", pipeline="fr")
    assert await letter(workshop, "de-DE") == f"{GERMAN} | 1.200,50\u00a0€ 09.03.2026 02.03.2026 de"


async def test_a_document_whose_template_says_none_is_in_the_pipelines(workshop: Workshop) -> None:
    await speaks(workshop.desk, company="en", pipeline="fr")
    assert await letter(workshop, None) == f"{FRENCH} | 1\u202f200,50\u00a0€ 9 mars 2026 2 mars 2026 fr"


def test_fields_are_spelled_by_their_type_in_the_zone_of_the_reader() -> None:
    known = standard("deal").with_custom([
        Field(name="on", type="date"), Field(name="fee", type="money"), Field(name="many", type="number"),
        Field(name="days", type="date", multiple=True),
    ])  # fmt: skip
    values = {
        "record.amount": Decimal("1200.5"), "record.currency": "CHF", "record.entered_at": NOON,
        "record.on": date(2026, 3, 9), "record.fee": Decimal(f"1{60 * '0'}"), "record.many": Decimal("1.5"),
        "record.days": [date(2026, 3, 9)],
    }  # fmt: skip
    found = spelled(values, known, date(2026, 3, 2), zone="Europe/Paris", locale="de-CH")
    assert found["date"] == "02.03.2026"
    record = found["record"]
    assert isinstance(record, dict)
    assert record == {
        "amount": "CHF\u00a01’200.50", "entered_at": "02.03.2026 13:00", "created_at": None,
        "on": "09.03.2026", "fee": f"1{60 * '0'}",
    }  # fmt: skip
