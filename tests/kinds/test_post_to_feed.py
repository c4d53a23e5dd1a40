"""Row 26: a post in the activity feed which recipients see."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import insert
from sqlmodel import col

from db.tables import Document
from domain.errors import Refused
from tests import builders
from tests.builders import NOON
from tests.kinds.conftest import Desk, refused_on_save


async def test_a_post_is_for_everybody_unless_it_is_said(desk: Desk) -> None:
    deal = await desk.deal(responsible="ada")
    done = await desk.does(deal, "post_to_feed", rule="tell", subject="Won", text="{{ record.title }}")
    post = await desk.row("feed_post")
    assert done.results == {"id": post["id"], "url": f"http://127.0.0.1:8000/api/v1/feed/{post['id']}"}
    assert post == {
        "id": post["id"], "record_id": deal, "visit_no": 1, "rule": "tell", "author": "ada", "subject": "Won",
        "body": "A roof for Klein", "recipients": ["ada", "ben", "eve", "hugo"], "attachments": [],
        "at": NOON,
    }  # fmt: skip


async def test_recipients_are_meant_once_and_a_subject_is_one_line(desk: Desk) -> None:
    deal = await desk.deal(responsible="ada", title="A roof\nfor Klein")
    recipients = ["employee:eve", "responsible", "department:sales"]
    await desk.does(
        deal, "post_to_feed", subject="{{ record.title }}", text="Look", recipients=recipients, author="hugo"
    )
    post = await desk.row("feed_post")
    assert post["recipients"] == ["eve", "ada", "ben", "hugo"]
    assert (post["subject"], post["author"]) == ("A roof for Klein", "hugo")


async def test_absent_ones_are_skipped_where_that_is_asked(desk: Desk) -> None:
    deal, day = await desk.deal(), timedelta(days=1)
    await desk.run(lambda tx: builders.absence(tx, "ben", NOON - day, NOON + day))
    await desk.does(deal, "post_to_feed", text="Look", recipients=["department:sales"], skip_absent=True)
    assert (await desk.row("feed_post"))["recipients"] == ["ada", "hugo"]


async def test_it_fails_when_no_recipient_is_left(desk: Desk) -> None:
    with pytest.raises(Refused) as refused:
        await desk.does(
            await desk.deal(responsible=None), "post_to_feed", text="Look", recipients=["responsible"]
        )
    assert refused.value.reason == "nobody"
    assert await desk.rows("feed_post") == []


async def test_it_fails_when_the_text_is_empty(desk: Desk) -> None:
    with pytest.raises(Refused) as refused:
        await desk.does(await desk.deal(), "post_to_feed", text=" {{ company.name }} ")
    assert refused.value.reason == "text_empty"


async def a_document(desk: Desk, record: int) -> int:
    """A document of the record, as a rule would have made it."""
    made = insert(Document).values(
        record_id=record, visit_no=1, template_id="offer", template_version=1, title="Offer", format="pdf",
        media_type="application/pdf", file="offer.pdf", blob="0" * 64, size=1, at=NOON,
    )  # fmt: skip
    async with desk.database.transaction() as tx:
        return int((await tx.execute(made.returning(col(Document.id)))).scalar_one())


async def test_a_document_is_attached_by_the_number_a_field_holds(desk: Desk) -> None:
    deal = await desk.deal()
    document = await a_document(desk, deal)
    await desk.run(f'update record set fields = \'{{"reference": "{document}"}}\'')
    await desk.does(deal, "post_to_feed", text="Look", attachments=["record.reference", "record.reference"])
    assert (await desk.row("feed_post"))["attachments"] == [document]


async def test_a_document_that_an_earlier_rule_of_the_visit_made_is_attached(desk: Desk) -> None:
    deal = await desk.deal()
    document = await a_document(desk, deal)
    await desk.run(
        "insert into ledger (record_id, visit_no, rule, outcome, at, results)"
        f" values ({deal}, 1, 'paper', 'done', now(), '{{\"id\": {document}}}')"
    )
    await desk.does(deal, "post_to_feed", text="Look", attachments=["document:paper"])
    assert (await desk.row("feed_post"))["attachments"] == [document]


@pytest.mark.parametrize("missing", ["none", "4711", "of another record"])
async def test_it_fails_when_a_document_is_missing(desk: Desk, missing: str) -> None:
    deal, other = await desk.deal(), await desk.deal()
    if missing == "of another record":
        missing = str(await a_document(desk, other))
    await desk.run(f'update record set fields = \'{{"coupon": "{missing}"}}\'')
    for attached in ("document:offer", "record.coupon"):
        with pytest.raises(Refused) as refused:
            await desk.does(deal, "post_to_feed", text="Look", attachments=[attached])
        assert refused.value.reason == "attachment_missing"
    assert await desk.rows("feed_post") == []


def test_what_is_refused_on_save() -> None:
    wrong = refused_on_save(
        "post_to_feed", text="Hi", recipients=["bob"], author="bob",
        attachments=["document:", "offer.pdf", "record.nothing", "record.hot", "document:offer"],
    )  # fmt: skip
    assert set(wrong) == {"/recipients/0", "/author", *(f"/attachments/{place}" for place in range(4))}
    assert "/text" in refused_on_save("post_to_feed")
    assert "/recipients" in refused_on_save("post_to_feed", text="Hi", recipients=[])
