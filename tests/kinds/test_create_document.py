"""Row 22: a numbered document out of a template and the record."""

from __future__ import annotations

import errno
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from activities.check import check
from activities.documents import documents_of
from activities.providers.documents import Documents, Job
from activities.providers.render_process import RenderProcess
from db.records import By, move
from db.settings import Settings
from domain.errors import NotNow, Refused
from domain.rule import RuleSet
from tests import builders
from tests.builders import NOON
from tests.kinds.conftest import Desk, refused_on_save, setting
from tests.kinds.tiny_font import tiny_font
from tests.kinds.workshop import DOT, Workshop, words, workshop_of

CLARA = {"client": "Clara"}
SECOND = timedelta(seconds=1)


@pytest.fixture
async def workshop(desk: Desk, tmp_path: Path) -> Workshop:
    return await workshop_of(desk, tmp_path)


# -- the effect --------------------------------------------------------------------------------------
async def test_a_numbered_document_is_rendered_from_the_template_and_the_record(workshop: Workshop) -> None:
    desk = workshop.desk
    deal = await desk.deal(amount="1200.50")
    done = await desk.does(deal, "create_document", template="offer", values={"client": "{{ record.title }}"},
                           series="offers")  # fmt: skip
    row = await desk.row("document")
    content = await workshop.blobs.get(row["blob"])
    assert b"/Title(Offer OFF-2026-001 of 2026-03-02)" in content
    assert b"/Title(OFF-2026-001 for A roof for Klein)" in content
    assert row == {
        "id": row["id"], "record_id": deal, "visit_no": 1, "rule": "the-rule", "template_id": "offer",
        "template_version": 1, "title": "Offer", "series": "offers", "number": "OFF-2026-001",
        "format": "pdf", "media_type": "application/pdf", "file": "OFF-2026-001.pdf", "blob": row["blob"],
        "size": len(content), "public_token": None, "at": NOON,
    }  # fmt: skip
    url = f"http://127.0.0.1:8000/api/v1/documents/{row['id']}/file"
    assert done.results == {"id": row["id"], "number": "OFF-2026-001", "url": url, "file": "OFF-2026-001.pdf"}


async def test_it_is_named_in_the_timeline_unless_it_is_not_to_be_attached(workshop: Workshop) -> None:
    desk = workshop.desk
    deal = await desk.deal(responsible="ben")
    done = await desk.does(
        deal, "create_document", acting="responsible", template="offer", values=CLARA, series="offers"
    )
    comment = await desk.row("comment")
    assert (comment["author"], comment["rule"]) == ("ben", "the-rule")
    assert comment["body"] == f"Offer OFF-2026-001\n{done.results['url']}"
    await desk.does(deal, "create_document", template="offer", values=CLARA, attach=False)
    assert len(await desk.rows("comment")) == 1


async def test_without_a_series_it_has_no_number(workshop: Workshop) -> None:
    desk = workshop.desk
    for _ in range(2):
        done = await desk.does(await desk.deal(), "create_document", template="offer", values=CLARA)
        assert (done.results["number"], done.results["file"]) == ("", "Offer.pdf")
    assert [row["series"] for row in await desk.rows("document")] == [None, None]
    assert (await desk.row("number_series"))["next"] == 1


async def test_a_public_link_is_a_secret_address_of_its_own(workshop: Workshop) -> None:
    desk = workshop.desk
    for _ in range(2):
        done = await desk.does(await desk.deal(), "create_document", template="offer", values=CLARA,
                               public_link=True)  # fmt: skip
    tokens = [row["public_token"] for row in await desk.rows("document", order="id")]
    assert done.results["url"] == f"http://127.0.0.1:8000/api/v1/shared/{tokens[1]}"
    assert len(set(tokens)) == 2
    assert all(len(token) == 43 for token in tokens)  # 256 bits


async def test_a_word_template_gives_a_word_document(workshop: Workshop) -> None:
    desk = workshop.desk
    await desk.does(await desk.deal(), "create_document", template="letter", format="docx", series="offers",
                    values={"client": "{{ record.title }} <&>"})  # fmt: skip
    row = await desk.row("document")
    assert words(await workshop.blobs.get(row["blob"])) == "Dear A roof for Klein <&>, OFF-2026-001 "
    assert row["file"] == "OFF-2026-001.docx"
    assert row["media_type"].endswith("wordprocessingml.document")


@pytest.mark.parametrize(("template", "form"), [("offer", "pdf"), ("letter", "docx")])
async def test_the_image_of_a_stamp_may_be_on_it(workshop: Workshop, template: str, form: str) -> None:
    desk = workshop.desk
    sizes = []
    for image in ("", "seal"):
        await desk.does(await desk.deal(), "create_document", template=template, format=form, values=CLARA,
                        image=image)  # fmt: skip
        sizes.append((await desk.rows("document", order="id"))[-1]["size"])
    assert sizes[1] > sizes[0] + len(DOT) // 2


async def test_the_day_and_the_year_are_those_of_the_zone(workshop: Workshop) -> None:
    desk = workshop.desk
    eve = datetime(2026, 12, 31, 23, 30, tzinfo=UTC)  # in Paris it is the new year
    await desk.does(await desk.deal(), "create_document", now=eve, template="offer", values=CLARA,
                    series="offers")  # fmt: skip
    row = await desk.row("document")
    assert row["number"] == "OFF-2027-001"
    assert b"of 2027-01-01)" in await workshop.blobs.get(row["blob"])


async def test_what_is_quoted_is_never_part_of_the_template(workshop: Workshop) -> None:
    desk = workshop.desk
    deal = await desk.deal(title='#panic() {{ 1/0 }} "]')
    for template, form in (("offer", "pdf"), ("letter", "docx")):
        await desk.does(deal, "create_document", template=template, format=form,
                        values={"client": "{{ record.title }}"})  # fmt: skip
    *_, letter = await desk.rows("document", order="id")
    assert words(await workshop.blobs.get(letter["blob"])).startswith('Dear #panic() {{ 1/0 }} "],')


async def test_the_latest_version_of_the_template_is_used(workshop: Workshop) -> None:
    desk = workshop.desk
    await workshop.template("offer", "= Anew", version=2)
    await desk.does(await desk.deal(), "create_document", template="offer")
    row = await desk.row("document")
    assert row["template_version"] == 2
    assert b"/Title(Anew)" in await workshop.blobs.get(row["blob"])


async def test_a_later_rule_may_quote_it_and_it_is_done_once(workshop: Workshop) -> None:
    desk = workshop.desk
    await workshop.ruled()
    deal = await desk.deal()
    outcome = await workshop.act(deal)
    assert (outcome.result, outcome.at) == ("done", NOON)
    assert await workshop.act(deal, NOON + SECOND) == outcome
    assert (await desk.row("document"))["number"] == "OFF-2026-001"
    said = await desk.does(deal, "add_comment", text="See {{ steps.offer.number }} in {{ steps.offer.file }}")
    comment = await desk.row("comment", f"id = {said.results['id']}")
    assert comment["body"] == "See OFF-2026-001 in OFF-2026-001.pdf"


async def test_after_the_stage_was_left_nothing_is_made(workshop: Workshop) -> None:
    desk = workshop.desk
    await workshop.ruled()
    deal = await desk.deal()
    async with desk.locked(deal) as locked:
        await move(locked, "offer", By("eve", NOON))
    outcome = await workshop.act(deal, NOON + SECOND)
    assert (outcome.result, outcome.reason) == ("stale", "outrun")
    assert (await desk.rows("document"), await desk.rows("comment")) == ([], [])


# -- errors ------------------------------------------------------------------------------------------
async def fails(workshop: Workshop, **params: object) -> Refused:
    """The refusal of a document, of which nothing is left and for which no number was used."""
    desk = workshop.desk
    before = await desk.rows("document")
    with pytest.raises(Refused) as refused:
        await desk.does(await desk.deal(), "create_document", **{"series": "offers"} | params)
    assert (await desk.row("number_series"))["next"] == 1
    assert (await desk.rows("document"), await desk.rows("comment")) == (before, [])
    return refused.value


async def test_a_required_value_that_is_empty_fails_it_and_is_named(workshop: Workshop) -> None:
    await workshop.template("bill", "x", required=["client", "sum", "record.amount", "contact.email"])
    error = await fails(workshop, template="bill", values={"client": "{{ contact.first_name }} ", "sum": "1"})
    assert error.reason == "value_missing"
    assert error.message == "without a value: client, record.amount, contact.email"


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("Hello\n#nothing", "main.typ:2:1: unknown variable: nothing"),
        ("#import \"jalon.typ\": data\n#data.values.nobody", "nobody"),
        ("#read(\"/etc/passwd\")", "not found"),
        ("#import \"@preview/cetz:0.3.1\": *", "not found"),
        ("#{ let x = \"a\"; for i in range(60) { x = x + x } }", "more memory or time"),
    ],
)  # fmt: skip
async def test_a_broken_template_fails_it_and_says_where(workshop: Workshop, source: str, told: str) -> None:
    await workshop.template("broken", source)
    error = await fails(workshop, template="broken", values=CLARA)
    assert error.reason == "template_broken"
    assert told in error.message


async def test_what_takes_too_long_is_stopped(workshop: Workshop) -> None:
    await workshop.template("endless", "#for i in range(100000) { for j in range(100000) { let x = j } }")
    workshop.desk.documents = Documents(RenderProcess(seconds=0.5), workshop.blobs)
    assert (await fails(workshop, template="endless")).reason == "too_slow"


async def test_a_letter_that_no_font_has_fails_it_and_is_named(workshop: Workshop) -> None:
    error = await fails(workshop, template="offer", values={"client": "雪 Klein"})
    assert error.reason == "missing_letters"
    assert error.message == "no font of the document has 雪 (U+96EA)"


async def test_with_a_font_that_has_the_letter_it_is_made(workshop: Workshop, tmp_path: Path) -> None:
    fonts = tmp_path / "fonts"
    fonts.mkdir()
    (fonts / "snow.ttf").write_bytes(tiny_font("Snow One", "雪"))
    renderer = documents_of(Settings(home=tmp_path, fonts=fonts)).renderer
    workshop.desk.documents = Documents(renderer, workshop.blobs)
    await workshop.desk.does(await workshop.desk.deal(), "create_document", template="offer",
                             values={"client": "雪 Klein"})  # fmt: skip
    assert b"SnowOne" in await workshop.blobs.get((await workshop.desk.row("document"))["blob"])


async def test_what_there_is_no_more_fails_it(workshop: Workshop) -> None:
    assert (await fails(workshop, template="gone")).reason == "unknown_template"
    assert (await fails(workshop, template="offer", values=CLARA, series="gone")).reason == "unknown_series"
    assert (await fails(workshop, template="offer", values=CLARA, image="gone")).reason == "unknown_image"
    assert (await fails(workshop, template="letter", values=CLARA)).reason == "wrong_format"
    await workshop.desk.run("update document_template set source = repeat('0', 64)")
    assert (await fails(workshop, template="offer", values=CLARA)).reason == "template_broken"


async def test_a_failed_step_gives_its_number_to_the_next(workshop: Workshop) -> None:
    desk = workshop.desk
    await workshop.ruled(params={"values": {"client": "{{ contact.first_name }}"}})
    async with desk.database.transaction() as tx:
        clara = await builders.contact(tx)
    nobodys, claras = await desk.deal(), await desk.deal(contact=clara)
    outcome = await workshop.act(nobodys)
    assert (outcome.result, outcome.reason) == ("failed", "value_missing")
    assert "without a value: client" in (await desk.row("notification", "employee_id = 'eve'"))["body"]
    assert (await workshop.act(claras)).result == "done"
    assert (await desk.row("document"))["number"] == "OFF-2026-001"


async def test_a_machine_without_room_for_a_process_is_tried_again(workshop: Workshop) -> None:
    class NoRoom:
        async def render(self, job: Job) -> bytes:
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    workshop.desk.documents = Documents(NoRoom(), workshop.blobs)
    assert isinstance(await fails(workshop, template="offer", values=CLARA), NotNow)


# -- on save -----------------------------------------------------------------------------------------
def test_what_is_refused_on_save() -> None:
    def wrong(**params: object) -> dict[str, str]:
        return refused_on_save("create_document", **params)

    good = {"template": "offer", "values": CLARA}
    assert wrong(**good, series="offers", image="seal", public_link=True, attach=False) == {}
    assert wrong(template="letter", format="docx") == {}
    assert "no template 'ofer'" in wrong(template="ofer")["/template"]
    assert wrong(template="letter") == {"/format": "'letter' makes docx, not pdf"}
    assert wrong(**good, format="odt").keys() == {"/format"}
    assert wrong(template="offer") == {"/values": "'offer' requires a value 'client'"}
    assert wrong(**good, series="bills").keys() == {"/series"}
    assert wrong(**good, image="sign").keys() == {"/image"}
    assert wrong(template="offer", values={"Client name": "x"}) != {}
    assert wrong(template="") != {}


def test_values_quote_only_what_there_is() -> None:
    rule = {"id": "offer", "kind": "create_document"}
    rule["params"] = {"template": "offer", "values": {"client": "{{ contact.frist_name }}"}}
    problems = check(RuleSet.model_validate({"stages": {"new": [rule]}}), setting(), {})
    assert [problem.place for problem in problems] == ["/stages/new/0/params/values/client"]
