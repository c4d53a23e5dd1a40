"""Row 27: a notification each, linked to the record, unread until read."""

from __future__ import annotations

from datetime import timedelta

import pytest

from domain.errors import Refused
from tests import builders
from tests.builders import NOON
from tests.kinds.conftest import Desk, refused_on_save


async def test_the_responsible_is_notified_by_default(desk: Desk) -> None:
    deal = await desk.deal(responsible="ben")
    done = await desk.does(deal, "notify", rule="tell", text="{{ record.title }} waits")
    told = await desk.row("notification")
    assert done.results == {"ids": [told["id"]], "recipients": ["ben"]}
    assert told == {
        "id": told["id"], "employee_id": "ben", "record_id": deal, "visit_no": 1, "rule": "tell", "n": 0,
        "sender": "system", "body": "A roof for Klein waits", "at": NOON, "read_at": None,
    }  # fmt: skip


async def test_every_recipient_gets_one_of_their_own_and_only_one(desk: Desk) -> None:
    deal = await desk.deal(responsible="ada")
    recipients = ["responsible", "supervisor", "department:sales", "employee:eve", "everybody"]
    done = await desk.does(deal, "notify", text="Look", recipients=recipients)
    told = await desk.rows("notification", order="id")
    assert [row["employee_id"] for row in told] == ["ada", "hugo", "ben", "eve"]
    assert done.results["ids"] == [row["id"] for row in told]


async def test_the_sender_is_who_the_rule_acts_as_unless_it_is_said(desk: Desk) -> None:
    deal = await desk.deal(responsible="ada")
    await desk.does(deal, "notify", text="One", acting="responsible")
    await desk.does(deal, "notify", text="Two", acting="responsible", sender="hugo")
    await desk.does(deal, "notify", text="Three", acting="responsible", sender="system")
    assert [row["sender"] for row in await desk.rows("notification", order="id")] == ["ada", "hugo", "system"]


async def test_the_notice_of_a_hold_bears_its_number(desk: Desk) -> None:
    await desk.does(await desk.deal(), "notify", n=3, text="Late")
    assert (await desk.row("notification"))["n"] == 3


async def test_absent_ones_are_skipped_where_that_is_asked(desk: Desk) -> None:
    deal, day = await desk.deal(), timedelta(days=1)
    await desk.run(lambda tx: builders.absence(tx, "ben", NOON - day, NOON + day))
    done = await desk.does(deal, "notify", text="Look", recipients=["department:sales"], skip_absent=True)
    assert done.results["recipients"] == ["ada", "hugo"]
    done = await desk.does(deal, "notify", text="Look", recipients=["department:sales"])
    assert done.results["recipients"] == ["ada", "ben", "hugo"]


@pytest.mark.parametrize("recipients", [["responsible"], ["employee:gone"], ["department:empty"]])
async def test_it_fails_when_nobody_is_left(desk: Desk, recipients: list[str]) -> None:
    await desk.run(
        lambda tx: builders.employee(tx, "gone", active=False), lambda tx: builders.department(tx, "empty")
    )
    deal = await desk.deal(responsible="gone")
    with pytest.raises(Refused) as refused:
        await desk.does(deal, "notify", text="Look", recipients=recipients)
    assert refused.value.reason == "nobody"


async def test_it_fails_when_the_text_is_empty(desk: Desk) -> None:
    deal = await desk.deal()
    with pytest.raises(Refused) as refused:
        await desk.does(deal, "notify", text=" {{ company.name }} ")
    assert refused.value.reason == "text_empty"


def test_what_is_refused_on_save() -> None:
    asked = ["supervisor", "employee:bob", "department:sale", "ada", "boss", "ada@x.example", "employee:"]
    wrong = refused_on_save("notify", text="Hi", recipients=asked, sender="bob")
    assert set(wrong) == {"/sender", *(f"/recipients/{place}" for place in range(1, 7))}
    assert wrong["/recipients/2"] == "there is no department 'sale'; did you mean 'sales'?"
    assert wrong["/recipients/3"] == "an employee is written 'employee:ada'"
    assert refused_on_save("notify", text="Hi", recipients=[]) == {"/recipients": "nobody is addressed"}
