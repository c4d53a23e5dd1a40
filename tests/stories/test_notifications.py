"""What rules leave to be read by API: notifications, an employee's to-dos, the history of a record."""

from __future__ import annotations

from datetime import timedelta

import pytest

from db.engine import Database
from tests.builders import NOON
from tests.kinds.conftest import Desk
from tests.stories.conftest import Api
from tests.stories.test_api import a_deal, refused


@pytest.fixture
def desk(api: Api, database: Database) -> Desk:
    """To have rules act in the company of the API."""
    del api
    return Desk(database)


async def test_a_notification_is_unread_until_it_is_read(api: Api, desk: Desk) -> None:
    deal = await a_deal(api, responsible="ada")
    for said in ("One", "Two", "Three"):
        await desk.does(deal, "notify", text=said, recipients=["responsible", "employee:ben"])
    first = await api.seen("/employees/ada/notifications", limit=2)
    assert [(one["body"], one["record_id"], one["read_at"]) for one in first["items"]] == [
        ("Three", deal, None), ("Two", deal, None)
    ]  # fmt: skip
    assert first["unread"] == 3
    rest = await api.seen("/employees/ada/notifications", limit=2, before=first["next"])
    assert ([one["body"] for one in rest["items"]], rest["next"]) == (["One"], None)
    two = first["items"][1]["id"]
    api.now = NOON + timedelta(hours=1)
    read = await api.made(f"/notifications/{two}/read")
    api.now = NOON + timedelta(hours=2)
    assert await api.made(f"/notifications/{two}/read", by="ada") == read
    assert read["read_at"] == "2026-03-02T13:00:00Z"
    unread = await api.seen("/employees/ada/notifications", unread=True)
    assert ([one["body"] for one in unread["items"]], unread["unread"]) == (["Three", "One"], 2)
    assert (await api.seen("/employees/ben/notifications"))["unread"] == 3


async def test_a_notification_that_is_not_there_cannot_be_read(api: Api) -> None:
    refused(await api.post("/notifications/4711/read"), 404, "gone")


async def test_a_to_do_is_in_the_employees_list_until_it_is_completed(api: Api, desk: Desk) -> None:
    deal, binned = await a_deal(api, responsible="ada"), await a_deal(api, responsible="ada")
    done = await desk.does(deal, "create_todo", subject="Call")
    await desk.does(deal, "create_todo", subject="Measure", responsible="ben")
    await desk.does(binned, "create_todo", subject="Forget it")
    await api.delete(f"/records/{binned}")
    (own,) = (await api.seen("/employees/ada/todos"))["items"]
    assert (own["id"], own["subject"], own["record_id"]) == (done.results["id"], "Call", deal)
    await api.made(f"/todos/{own['id']}/complete", by="ada")
    assert (await api.seen("/employees/ada/todos"))["items"] == []
    (completed,) = (await api.seen("/employees/ada/todos", completed=True))["items"]
    assert completed["completed_by"] == "ada"


async def test_an_employees_to_dos_come_a_page_at_a_time(api: Api, desk: Desk) -> None:
    deal = await a_deal(api, responsible="ada")
    for said in ("One", "Two", "Three"):
        await desk.does(deal, "create_todo", subject=said)
    first = await api.seen("/employees/ada/todos", limit=2)
    rest = await api.seen("/employees/ada/todos", limit=2, after=first["next"])
    assert [todo["subject"] for todo in (*first["items"], *rest["items"])] == ["One", "Two", "Three"]
    assert rest["next"] is None


async def test_a_line_of_the_history_is_read_there_and_not_among_the_comments(api: Api, desk: Desk) -> None:
    deal = await a_deal(api)
    done = await desk.does(deal, "write_to_history", text="It came in")
    (said,) = (await api.seen(f"/records/{deal}/history"))["items"]
    assert (said["id"], said["body"], said["author"]) == (done.results["id"], "It came in", "system")
    assert (await api.seen(f"/records/{deal}/comments"))["items"] == []
