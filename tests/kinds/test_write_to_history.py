"""Row 6: a line in the record's history, which is not the timeline."""

from __future__ import annotations

import pytest

from domain.errors import Refused
from tests.builders import NOON
from tests.kinds.conftest import Desk, refused_on_save


async def test_a_line_stands_in_the_history_and_not_in_the_timeline(desk: Desk) -> None:
    deal = await desk.deal(amount="1500")
    done = await desk.does(deal, "write_to_history", rule="note", text="Worth {{ record.amount | money }}")
    line = await desk.row("history_line")
    assert done.results == {"id": line["id"]}
    assert line == {
        "id": line["id"], "record_id": deal, "visit_no": 1, "rule": "note", "event_type": "information",
        "body": "Worth €1,500.00", "author": "system", "at": NOON,
    }  # fmt: skip
    assert await desk.rows("comment") == []


async def test_its_event_type_and_author_may_be_said(desk: Desk) -> None:
    deal = await desk.deal(responsible="ben")
    await desk.does(deal, "write_to_history", text="Hi", event_type="warning", author="responsible")
    line = await desk.row("history_line")
    assert (line["event_type"], line["author"]) == ("warning", "ben")


async def test_without_an_author_history_shows_as_whom_the_rule_acts(desk: Desk) -> None:
    await desk.does(await desk.deal(), "write_to_history", acting="hugo", text="Hi")
    assert (await desk.row("history_line"))["author"] == "hugo"


async def test_an_empty_text_fails(desk: Desk) -> None:
    deal = await desk.deal()
    with pytest.raises(Refused) as refused:
        await desk.does(deal, "write_to_history", text="{{ record.source }}")
    assert refused.value.reason == "text_empty"


def test_what_is_refused_on_save() -> None:
    assert "/author" in refused_on_save("write_to_history", text="Hi", author="nobody")
    assert "/event_type" in refused_on_save("write_to_history", text="Hi", event_type="")
    assert "/colour" in refused_on_save("write_to_history", text="Hi", colour="red")
