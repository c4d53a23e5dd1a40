"""Meetings that people plan, and the calendars in which they and those of rules are found."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from icalendar import Calendar
from sqlalchemy import text

from activities.catalogue import nature
from activities.house import House
from activities.runner import Run, Runner
from activities.steps import act
from db.engine import Database
from db.locked import Locked
from db.rows import Ids
from db.rulebook import Rulebook
from tests import builders
from tests.builders import NOON
from tests.stories.conftest import Api, Stored
from tests.stories.test_api import a_deal, published, refused

START, END = "2026-03-03T09:00:00Z", "2026-03-03T10:00:00Z"


async def a_meeting(api: Api, deal: int, **more: Any) -> dict[str, Any]:
    return await api.made(f"/records/{deal}/meetings", **({"start": START} | more))


async def subscribed(api: Api, employee: str) -> str:
    """The address of an employee's calendar, below the API."""
    url = (await api.made(f"/employees/{employee}/calendar-feed"))["url"]
    assert url.startswith("http://127.0.0.1:8000/api/v1/calendars/")
    return str(url.removeprefix("http://127.0.0.1:8000/api/v1"))


async def summaries(api: Api, path: str) -> list[str]:
    """What a calendar program finds, without a key."""
    answer = await api.get(path, headers={"Authorization": ""})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/calendar; charset=utf-8"
    return [str(event["summary"]) for event in Calendar.from_ical(answer.content).walk("VEVENT")]


async def ruled(database: Database, deal: int, *rules: str) -> Sequence[str]:
    """Steps of the record's first visit."""
    async with database.transaction() as tx:
        locked = await Locked.take(tx, Rulebook(nature), deal, 1)
        assert locked is not None
        runner = Runner(locked, House(), Ids(), NOON)
        outcomes = [await act(runner, Run(1, rule, due=NOON)) for rule in rules]
        await runner.flush()
    return [outcome.result for outcome in outcomes]


# -- people ------------------------------------------------------------------------------------------
async def test_a_meeting_is_planned_and_everybody_is_invited(api: Api, stored: Stored) -> None:
    deal = await a_deal(api, responsible="ada")
    meeting = await a_meeting(
        api, deal, participants=["ben", "ben"], guests=["Clara <clara@client.example>"], place="Office",
        reminders=[5, 60], by="hugo",
    )  # fmt: skip
    assert meeting["subject"] == "Meeting about A roof for Klein, 2026-03-03 10:00"
    assert (meeting["starts_at"], meeting["ends_at"]) == (START, END)
    assert (meeting["responsible_id"], meeting["participants"]) == ("ada", ["ben"])
    assert (meeting["guests"], meeting["reminders"]) == (["clara@client.example"], [60, 5])
    assert (meeting["state"], meeting["created_by"]) == ("planned", "hugo")
    assert [(one["recipient"], one["state"]) for one in meeting["invitations"]] == [
        ("ben@company.example", "queued"), ("clara@client.example", "queued"),
    ]  # fmt: skip
    assert await api.seen(f"/meetings/{meeting['id']}") == meeting
    listed = await api.seen(f"/records/{deal}/meetings")
    assert [item["id"] for item in listed["items"]] == [meeting["id"]]
    (line,) = await stored("select actor, detail from journal where event = 'meeting_planned'")
    assert line == {"actor": "hugo", "detail": {"meeting": meeting["id"]}}


async def test_the_same_call_twice_invites_once(api: Api, stored: Stored) -> None:
    deal = await a_deal(api, responsible="ada")
    body = {"start": START, "participants": ["ben"]}
    headers = {"Idempotency-Key": "k"}
    first = await api.post(f"/records/{deal}/meetings", json=body, headers=headers)
    again = await api.post(f"/records/{deal}/meetings", json=body, headers=headers)
    assert (first.status_code, again.json()) == (201, first.json())
    assert (await stored("select count(*) as n from invitation"))[0]["n"] == 1


async def test_moving_cancelling_and_completing(api: Api, stored: Stored) -> None:
    deal = await a_deal(api, responsible="ada")
    meeting = await a_meeting(api, deal, participants=["ben"], end="2026-03-03T09:30:00Z")
    moved = await api.made(f"/meetings/{meeting['id']}/move", start="2026-03-04T09:00:00Z", by="ada")
    assert (moved["starts_at"], moved["ends_at"]) == ("2026-03-04T09:00:00Z", "2026-03-04T09:30:00Z")
    assert moved["subject"] == "Meeting about A roof for Klein, 2026-03-04 10:00"
    assert (moved["sequence"], moved["uid"]) == (1, meeting["uid"])
    same = await api.made(f"/meetings/{meeting['id']}/move", start="2026-03-04T09:00:00Z")
    assert (same["sequence"], len(same["invitations"])) == (1, 2)
    cancelled = await api.made(f"/meetings/{meeting['id']}/cancel", by="ben")
    assert (cancelled["state"], cancelled["ended_by"], cancelled["sequence"]) == ("cancelled", "ben", 2)
    assert [one["method"] for one in cancelled["invitations"]] == ["REQUEST", "REQUEST", "CANCEL"]
    assert await api.made(f"/meetings/{meeting['id']}/cancel") == cancelled
    for path in ("move", "complete"):
        refused(await api.post(f"/meetings/{meeting['id']}/{path}", json={}), 409, "meeting-over")
    other = await a_meeting(api, deal, type="call")
    held = await api.made(f"/meetings/{other['id']}/complete", by="ada")
    assert (held["state"], held["ended_by"], held["ended_at"]) == ("held", "ada", "2026-03-02T12:00:00Z")
    refused(await api.post(f"/meetings/{other['id']}/cancel"), 409, "meeting-over")
    events = [row["event"] for row in await stored("select event from journal order by id")]
    assert events[1:] == [
        "meeting_planned", "meeting_moved", "meeting_cancelled", "meeting_planned", "meeting_held",
    ]  # fmt: skip


async def test_a_meeting_under_way_can_be_prolonged_but_not_begin_anew_in_the_past(api: Api) -> None:
    meeting = await a_meeting(api, await a_deal(api, responsible="ada"), participants=["ben"])
    api.now = datetime(2026, 3, 3, 9, 30, tzinfo=UTC)
    path = f"/meetings/{meeting['id']}/move"
    longer = await api.made(path, end="2026-03-03T10:30:00Z", start=START)
    assert (longer["starts_at"], longer["ends_at"]) == (START, "2026-03-03T10:30:00Z")
    assert [one["sequence"] for one in longer["invitations"]] == [0, 1]
    refused(await api.post(path, json={"start": "2026-03-03T09:15:00Z"}), 422, "start-past")
    refused(await api.post(path, json={"end": START}), 422, "wrong-duration")


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"start": "2026-03-02T11:59:59Z"}, "start-past"),
    ({"start": "2026-03-03T09:00:00"}, "invalid-request"),
    ({"end": START}, "wrong-duration"),
    ({"participants": ["nobody"]}, "wrong-participant"),
    ({"participants": ["gone"]}, "wrong-participant"),
    ({"responsible": "gone"}, "wrong-responsible"),
    ({"responsible": "nobody"}, "wrong-responsible"),
    ({"guests": ["nonsense"]}, "invalid-request"),
    ({"guests": ["a@b.example\r\nBcc: c@d.example"]}, "invalid-request"),
    ({"reminders": [-1]}, "invalid-request"),
    ({"subject": ""}, "invalid-request"),
    ({"colour": "red"}, "invalid-request"),
    ({"by": "nobody"}, "unknown-actor"),
]


async def test_what_cannot_be_is_refused_without_a_trace(
    api: Api, database: Database, stored: Stored
) -> None:
    async with database.transaction() as tx:
        await builders.employee(tx, "gone", active=False)
    deal = await a_deal(api, responsible="ada")
    before = await stored.counts()
    for wrong, reason in WRONG:
        refused(await api.post(f"/records/{deal}/meetings", json={"start": START} | wrong), 422, reason)
    refused(await api.post(f"/records/{deal + 1}/meetings", json={"start": START}), 404, "gone")
    refused(await api.post("/meetings/1/cancel"), 404, "gone")
    refused(await api.get("/meetings/1"), 404, "gone")
    assert await stored.counts() == before
    assert await stored("select * from meeting") == []


async def test_a_meeting_of_a_deleted_record_can_still_be_cancelled(api: Api) -> None:
    deal = await a_deal(api, responsible="ada")
    meeting = await a_meeting(api, deal, participants=["ben"])
    assert (await api.delete(f"/records/{deal}")).status_code in (200, 204)
    assert (await api.made(f"/meetings/{meeting['id']}/cancel"))["state"] == "cancelled"


async def test_the_results_of_the_rule_follow_when_its_meeting_is_moved(
    api: Api, database: Database, stored: Stored
) -> None:
    meet = {"id": "meet", "kind": "schedule_meeting", "params": {"start": {"on": "2026-03-03"}}}
    quoted = {"id": "say", "kind": "add_comment", "params": {"text": "{{ steps.meet.start }}"}}
    await published(api, new=[meet, quoted])
    deal = await a_deal(api, responsible="ada")
    assert await ruled(database, deal, "meet") == ["done"]
    (meeting,) = await stored("select id, rule from meeting")
    await api.made(f"/meetings/{meeting['id']}/move", start="2026-03-06T15:00:00Z")
    assert await ruled(database, deal, "say") == ["done"]
    (comment,) = await stored("select body from comment")
    assert datetime.fromisoformat(comment["body"]) == datetime(2026, 3, 6, 15, tzinfo=UTC)


# -- their calendars ---------------------------------------------------------------------------------
async def test_an_agenda_holds_todos_meetings_and_bookings_in_their_order(
    api: Api, database: Database
) -> None:
    deal = await a_deal(api, responsible="ada")
    await api.made(f"/records/{deal}/todos", subject="Someday")
    await api.made(f"/records/{deal}/todos", subject="Today", deadline="2026-03-02T17:00:00Z")
    done = await api.made(f"/records/{deal}/todos", subject="Done")
    await api.made(f"/todos/{done['id']}/complete")
    await a_meeting(api, deal, subject="Roof", important=True)
    await a_meeting(
        api, deal, subject="Ben's", responsible="ben", participants=["ada"], start=END, type="call"
    )
    off = await a_meeting(api, deal, subject="Off")
    await api.made(f"/meetings/{off['id']}/cancel")
    async with database.transaction() as tx:
        await tx.execute(text(_BOOKED), {"deal": deal})
    agenda = (await api.seen("/employees/ada/agenda"))["items"]
    assert [(item["type"], item["subject"], item["role"]) for item in agenda] == [
        ("todo", "Today", "responsible"), ("meeting", "Roof", "responsible"),
        ("call", "Ben's", "participant"), ("booking", "Fitting", "participant"),
        ("todo", "Someday", "responsible"),
    ]  # fmt: skip
    assert (agenda[1]["at"], agenda[1]["ends_at"], agenda[1]["important"]) == (START, END, True)
    until = (await api.seen("/employees/ada/agenda", until="2026-03-02T23:00:00Z"))["items"]
    assert [item["subject"] for item in until] == ["Today"]
    assert (await api.seen("/employees/hugo/agenda"))["items"] == []
    refused(await api.get("/employees/nobody/agenda"), 404, "gone")


async def test_a_calendar_to_subscribe_to_holds_ones_own_meetings_and_bookings(
    api: Api, database: Database
) -> None:
    deal = await a_deal(api, responsible="ada")
    roof = await a_meeting(api, deal, subject="Roof", reminders=[10])
    await a_meeting(api, deal, subject="Ben's", responsible="ben", participants=["ada"], start=END)
    await a_meeting(api, deal, subject="Not hers", responsible="ben")
    async with database.transaction() as tx:
        await tx.execute(text(_BOOKED), {"deal": deal})
    path = await subscribed(api, "ada")
    assert await summaries(api, path) == ["Roof", "Ben's", "Fitting"]
    first = (await api.get(path)).content
    calendar = Calendar.from_ical(first)
    assert (calendar["method"], calendar["x-wr-calname"]) == ("PUBLISH", "Ada")
    event = calendar.walk("VEVENT")[0]
    assert (event["uid"], str(event.walk("VALARM")[0]["trigger"].to_ical(), "ascii")) == (
        roof["uid"],
        "-PT10M",
    )
    await api.made(f"/meetings/{roof['id']}/cancel")
    assert await summaries(api, path) == ["Ben's", "Fitting"]


async def test_a_calendar_that_is_as_it_was_is_not_sent_again(api: Api) -> None:
    deal = await a_deal(api, responsible="ada")
    meeting = await a_meeting(api, deal)
    path = await subscribed(api, "ada")
    tag = (await api.get(path)).headers["etag"]
    api.now += timedelta(hours=1)
    for known in (tag, f'"another", W/{tag}'):
        answer = await api.get(path, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content) == (304, b"")
    await api.made(f"/meetings/{meeting['id']}/move", place="elsewhere")
    assert (await api.get(path, headers={"If-None-Match": tag})).status_code == 200


async def test_the_address_is_the_secret(api: Api, database: Database, stored: Stored) -> None:
    await a_meeting(api, await a_deal(api, responsible="ada"))
    first = await subscribed(api, "ada")
    second = await subscribed(api, "ada")
    assert first != second
    refused(await api.get(first), 404, "gone")
    refused(await api.get("/calendars/ada.ics", headers={"Authorization": ""}), 404, "gone")
    assert len(await summaries(api, second)) == 1
    (kept,) = await stored("select token_hash from calendar_feed")
    assert kept["token_hash"] not in second
    answer = await api.post("/employees/ada/calendar-feed", headers={"Authorization": ""})
    refused(answer, 401, "unauthorized")
    refused(await api.post("/employees/nobody/calendar-feed"), 404, "gone")
    async with database.transaction() as tx:
        await tx.execute(text("update employee set active = false where id = 'ada'"))
    refused(await api.get(second), 404, "gone")


_BOOKED = """
with b as (
  insert into booking (record_id, visit_no, field, service, starts_at, ends_at, booked_until, created_at,
    created_by)
  values (:deal, 1, 'visit', 'Fitting', '2026-03-05 09:00Z', '2026-03-05 10:00Z', '2026-03-05 10:00Z',
    '2026-03-02Z', 'eve')
  returning id, starts_at, ends_at
)
insert into booking_resource (booking_id, resource, during)
select id, 'employee:ada', tstzrange(starts_at, ends_at) from b
"""


async def test_no_table_keeps_the_secret_address_under_whatever_key_it_was_asked_for(
    api: Api, database: Database
) -> None:
    key = {"Idempotency-Key": "once"}
    answer = await api.post("/employees/ada/calendar-feed", headers=key)
    secret = answer.json()["url"].rpartition("/")[2].removesuffix(".ics")
    refused(await api.post("/employees/ada/calendar-feed", headers=key), 409, "shown-once")
    async with database.transaction() as tx:
        names = "select tablename from pg_tables where schemaname = 'public'"
        for name in (await tx.execute(text(names))).scalars().all():
            held = text(f"select count(*) from {name} t where t::text like '%' || :secret || '%'")
            assert (await tx.execute(held, {"secret": secret})).scalar_one() == 0, name
