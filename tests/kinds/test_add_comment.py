"""Row 2: a comment in the timeline, shown on the record."""

from __future__ import annotations

import pytest

from domain.errors import Refused
from tests import builders
from tests.builders import NOON
from tests.kinds.conftest import Desk, refused_on_save


async def test_a_comment_stands_in_the_timeline_of_the_record(desk: Desk) -> None:
    deal = await desk.deal(responsible="ada")
    done = await desk.does(deal, "add_comment", rule="greet", text="Worth a call: {{ record.title }}")
    comment = await desk.row("comment")
    assert done.results == {"id": comment["id"]}
    assert comment == {
        "id": comment["id"], "record_id": deal, "visit_no": 1, "rule": "greet", "author": "ada",
        "body": "Worth a call: A roof for Klein", "pinned": False, "at": NOON,
    }  # fmt: skip


async def test_it_may_be_pinned_and_by_somebody_else(desk: Desk) -> None:
    await desk.does(await desk.deal(), "add_comment", text="Read this", author="hugo", pinned=True)
    comment = await desk.row("comment")
    assert (comment["author"], comment["pinned"]) == ("hugo", True)


async def test_where_nobody_is_responsible_the_system_is_the_author(desk: Desk) -> None:
    await desk.does(await desk.deal(responsible=None), "add_comment", text="Nobody's")
    assert (await desk.row("comment"))["author"] == "system"


async def test_it_quotes_the_client(desk: Desk) -> None:
    async with desk.database.transaction() as tx:
        deal = await builders.deal(tx, contact=await builders.contact(tx, first_name="Clara"))
    await desk.does(deal, "add_comment", text="Offer sent to {{ contact.first_name }}")
    assert (await desk.row("comment"))["body"] == "Offer sent to Clara"


@pytest.mark.parametrize("text", ["", "   ", "{{ contact.first_name }}", "\n{{ record.amount }}\n"])
async def test_a_text_that_is_empty_after_rendering_fails(desk: Desk, text: str) -> None:
    deal = await desk.deal()
    with pytest.raises(Refused) as refused:
        await desk.does(deal, "add_comment", text=text)
    assert refused.value.reason == "text_empty"
    assert await desk.rows("comment") == []


def test_an_author_nobody_knows_is_refused_on_save() -> None:
    assert refused_on_save("add_comment", text="Hi", author="adda") == {
        "/author": "there is no employee 'adda'; did you mean 'ada'?"
    }
    assert not refused_on_save("add_comment", text="Hi", author="system")
    assert refused_on_save("add_comment") == {"/text": "Field required"}
