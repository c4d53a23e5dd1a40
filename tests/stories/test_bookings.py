"""People book and cancel through the API, rules through the journey, and both see the same bookings."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from icalendar import Calendar

from tests.builders import NOON, WORK_WEEK
from tests.stories.conftest import Api, Stored
from tests.stories.test_api import a_deal, published, refused
from tests.stories.test_api_and_journey import api as live
from tests.stories.test_api_and_journey import opened, pending, until

__all__ = ["live"]
HOUR = timedelta(hours=1)
THEN = NOON + 24 * HOUR
VISIT: dict[str, Any] = {"field": "visit", "start": THEN.isoformat(), "duration": {"hours": 1}}
DAY = {"from": THEN.isoformat(), "to": (THEN + 24 * HOUR).isoformat()}


@pytest.fixture
async def deal(api: Api) -> int:
    """A deal of Ada's; there is a van, too."""
    await api.made("/resources", id="van", title="The van")
    return await a_deal(api, responsible="ada")


async def test_a_person_books_employees_and_things_under_one_key_once(api: Api, deal: int) -> None:
    body = VISIT | {"resources": ["responsible", "resource:van"], "service": "Measuring", "by": "ben"}
    answers = [
        await api.post(f"/records/{deal}/bookings", json=body, headers={"Idempotency-Key": "once"})
        for _ in range(2)
    ]
    booking = answers[0].json()
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[1].json() == booking == {
        "id": booking["id"], "record_id": deal, "rule": "", "field": "visit", "service": "Measuring",
        "resources": ["employee:ada", "resource:van"], "starts_at": "2026-03-03T12:00:00Z",
        "ends_at": "2026-03-03T13:00:00Z", "booked_until": "2026-03-03T13:00:00Z", "state": "active",
        "created_at": "2026-03-02T12:00:00Z", "created_by": "ben", "cancelled_at": None,
        "cancelled_by": None,
    }  # fmt: skip
    assert (await api.seen(f"/records/{deal}"))["fields"]["visit"] == "2026-03-03T12:00:00+00:00"
    assert [row["id"] for row in (await api.seen(f"/records/{deal}/bookings"))["items"]] == [booking["id"]]


async def test_a_conflict_is_answered_with_the_resource_and_the_interval(api: Api, deal: int) -> None:
    await api.made(f"/records/{deal}/bookings", **VISIT)
    answer = await api.post(f"/records/{await a_deal(api, responsible='ada')}/bookings", json=VISIT)
    detail = refused(answer, 409, "conflict")["detail"]
    assert detail == "employee:ada (Ada) is booked from 2026-03-03 13:00 to 2026-03-03 14:00 (Europe/Paris)"


WRONG: list[tuple[dict[str, Any], int, str]] = [
    ({"start": (NOON - HOUR).isoformat()}, 422, "start-past"),
    ({"duration": {"hours": 0}}, 422, "duration-not-positive"),
    ({"resources": ["resource:bike"]}, 422, "wrong-resource"),
    ({"field": "fitting", "resources": ["employee:ben"]}, 422, "not-allowed"),
    ({"field": "score"}, 422, "unknown-field"),
    ({"duration": {"days": 2}, "on_conflict": "next_free"}, 409, "no-free-time"),
    ({"horizon": {"days": 400}}, 422, "invalid-request"),
    ({"start": "2026-03-03T13:00:00"}, 422, "invalid-request"),
    ({"resources": []}, 422, "invalid-request"),
    ({"colour": "red"}, 422, "invalid-request"),
    ({"by": "nobody"}, 422, "unknown-actor"),
]


async def test_what_cannot_be_booked_leaves_no_trace(api: Api, deal: int, stored: Stored) -> None:
    before = await stored.counts(), await stored("select * from record")
    for more, status, reason in WRONG:
        refused(await api.post(f"/records/{deal}/bookings", json=VISIT | more), status, reason)
    refused(await api.post("/records/999/bookings", json=VISIT), 404, "gone")
    refused(await api.post("/bookings/999/cancel"), 404, "gone")
    assert (await stored.counts(), await stored("select * from record")) == before
    assert await stored("select * from booking") == []


async def test_next_free_may_be_asked_for(api: Api, deal: int) -> None:
    await api.made(f"/records/{deal}/bookings", **VISIT)
    other = await a_deal(api, responsible="ada")
    told = await api.made(f"/records/{other}/bookings", **VISIT, on_conflict="next_free")
    assert told["starts_at"] == "2026-03-03T13:00:00Z"  # 14:00 in Paris: after the booking, and the break


async def test_one_of_several_is_cancelled_once_and_the_field_falls_back(
    api: Api, deal: int, stored: Stored
) -> None:
    first = await api.made(f"/records/{deal}/bookings", **VISIT)
    later = VISIT | {"start": (THEN + 3 * HOUR).isoformat(), "replace": False}
    second = await api.made(f"/records/{deal}/bookings", **later)
    told = await api.made(f"/bookings/{second['id']}/cancel", by="ben")
    assert (told["state"], told["cancelled_by"]) == ("cancelled", "ben")
    api.now = NOON + HOUR
    assert await api.made(f"/bookings/{second['id']}/cancel", by="eve") == told
    assert (await api.seen(f"/records/{deal}"))["fields"]["visit"] == "2026-03-03T12:00:00+00:00"
    await api.made(f"/bookings/{first['id']}/cancel")
    assert (await api.seen(f"/records/{deal}"))["fields"]["visit"] is None
    lines = await stored("select actor, detail from journal where event = 'booking_cancelled' order by id")
    assert [(line["actor"], line["detail"]["booking"]) for line in lines] == [
        ("ben", second["id"]), ("api", first["id"]),
    ]  # fmt: skip


async def test_of_one_under_way_the_rest_is_released(api: Api, deal: int) -> None:
    booking = await api.made(f"/records/{deal}/bookings", **VISIT)
    api.now = THEN + HOUR / 2
    told = await api.made(f"/bookings/{booking['id']}/cancel")
    assert (told["state"], told["ends_at"], told["booked_until"]) == (
        "active", "2026-03-03T12:30:00Z", "2026-03-03T13:00:00Z",
    )  # fmt: skip


async def test_a_deleted_record_holds_no_booking_and_has_it_again_when_it_is_restored(
    api: Api, deal: int
) -> None:
    booking = await api.made(f"/records/{deal}/bookings", **VISIT)
    assert (await api.delete(f"/records/{deal}")).status_code == 204
    assert (await api.seen("/bookings", **DAY))["items"] == []
    refused(await api.post(f"/records/{deal}/bookings", json=VISIT), 404, "gone")
    assert (await api.made(f"/bookings/{booking['id']}/cancel"))["state"] == "cancelled"  # as it is
    await api.made(f"/records/{deal}/restore")
    (again,) = (await api.seen("/bookings", **DAY))["items"]
    assert (again["id"], again["state"]) == (booking["id"], "active")


async def test_the_employees_calendar_shows_a_booking_until_it_is_cancelled(api: Api, deal: int) -> None:
    url = (await api.made("/employees/ada/calendar-feed"))["url"]

    async def shown() -> list[tuple[str, datetime, datetime, int]]:
        answer = await api.get(url.removeprefix("http://127.0.0.1:8000/api/v1"))
        events = Calendar.from_ical(answer.content).walk("VEVENT")
        return [(str(e["summary"]), e["dtstart"].dt, e["dtend"].dt, e["sequence"]) for e in events]

    async def agenda() -> list[str]:
        return [item["subject"] for item in (await api.seen("/employees/ada/agenda"))["items"]]

    body = VISIT | {"service": "Measuring", "replace": False}
    first = await api.made(f"/records/{deal}/bookings", **body)
    second = await api.made(f"/records/{deal}/bookings", **body | {"start": (THEN + HOUR).isoformat()})
    assert await shown() == [
        ("Measuring", THEN, THEN + HOUR, 0), ("Measuring", THEN + HOUR, THEN + 2 * HOUR, 0)
    ]  # fmt: skip
    await api.made(f"/bookings/{first['id']}/cancel", by="ada")
    assert await shown() == [("Measuring", THEN + HOUR, THEN + 2 * HOUR, 0)]
    assert await agenda() == ["Measuring"]
    api.now = THEN + HOUR + HOUR / 2
    await api.made(f"/bookings/{second['id']}/cancel", by="ada")
    assert await shown() == [("Measuring", THEN + HOUR, api.now, 1)], "it was cut short"
    assert await agenda() == []


async def test_what_is_booked_is_seen_by_resource_and_interval(api: Api, deal: int) -> None:
    for n in range(3):
        await api.made(
            f"/records/{deal}/bookings", field="visit", start=(THEN + n * HOUR).isoformat(), replace=False,
            duration={"hours": 1}, resources=["resource:van", *(["employee:ben"] if n else [])],
        )  # fmt: skip

    async def starts(**asked: Any) -> list[int]:
        found = (await api.seen("/bookings", **asked))["items"]
        return [(datetime.fromisoformat(row["starts_at"]) - THEN) // HOUR for row in found]

    def between(low: float, high: float) -> dict[str, str]:
        return {"from": (THEN + low * HOUR).isoformat(), "to": (THEN + high * HOUR).isoformat()}

    assert await starts(**DAY) == [0, 1, 2]
    assert await starts(**DAY, resource="employee:ben") == [1, 2]
    assert await starts(**DAY, resource="employee:ada") == []
    assert await starts(**between(1, 2)) == [1]
    assert await starts(**between(0.5, 1.5)) == [0, 1]
    page = await api.seen("/bookings", **DAY, limit=2)
    assert (len(page["items"]), page["next"]) == (2, 2)
    page = await api.seen("/bookings", **DAY, limit=2, after=page["next"])
    assert (len(page["items"]), page["next"]) == (1, None)
    refused(await api.get("/bookings", params=between(2, 1)), 422, "invalid-request")
    refused(await api.get("/bookings"), 422, "invalid-request")


async def test_things_are_made_changed_and_listed(api: Api, stored: Stored) -> None:
    await stored(
        "insert into calendar (id, title, definition) select 'night', 'Night', definition from calendar "
        "returning id"
    )
    assert WORK_WEEK["zone"] == "Europe/Paris"
    await api.made("/resources", id="van", title="The van")
    await api.made("/resources", id="crane", title="A crane", calendar="office")
    refused(await api.post("/resources", json={"id": "van", "title": "Another"}), 409, "already-there")
    refused(await api.post("/resources", json={"id": "a van", "title": "x"}), 422, "invalid-request")
    unknown = {"id": "bike", "title": "Bike", "calendar": "never"}
    refused(await api.post("/resources", json=unknown), 422, "unknown-calendar")
    refused(await api.patch("/resources/bike", json={"title": "x"}), 404, "gone")
    changed = await api.patch("/resources/crane", json={"active": False, "calendar": None})
    assert changed.json() == {"id": "crane", "title": "A crane", "calendar": None, "active": False}
    assert [(row["id"], row["active"]) for row in (await api.seen("/resources"))["items"]] == [
        ("crane", False), ("van", True),
    ]  # fmt: skip
    deal = await a_deal(api, responsible="ada")
    answer = await api.post(f"/records/{deal}/bookings", json=VISIT | {"resources": ["resource:crane"]})
    refused(answer, 422, "wrong-resource")


async def test_a_rule_for_a_thing_there_is_not_or_that_is_not_active_is_refused_on_save(api: Api) -> None:
    params = {"field": "visit", "start": {"after": {"days": 1}}, "duration": {"hours": 1}}
    rule = {"id": "book", "kind": "book_resource", "params": params | {"resources": ["resource:van"]}}
    body = {"owner": "eve", "stages": {"new": [rule]}}
    assert "there is no resource 'van'" in (await api.put("/pipelines/sales/rules", json=body)).text
    await api.made("/resources", id="van", title="The van")
    await published(api, new=[rule])


async def test_of_many_who_want_the_same_hour_one_gets_it(api: Api, deal: int) -> None:
    deals = [await a_deal(api, responsible="ada") for _ in range(8)]
    calls = [api.post(f"/records/{one}/bookings", json=VISIT) for one in deals]
    answers = await asyncio.gather(*calls)
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7


# -- with its journey ----------------------------------------------------------------------------------
SOON: dict[str, Any] = {"start": {"after": {"days": 2}}, "duration": {"hours": 1}}
BOOK: dict[str, Any] = {"id": "book", "kind": "book_resource", "params": {"field": "visit"} | SOON}
OFF: dict[str, Any] = {"id": "off", "kind": "cancel_booking", "params": {"field": "visit"}}
REMIND: dict[str, Any] = {
    "id": "remind", "kind": "add_comment", "params": {"text": "{{ record.visit }}"},
    "schedule": {"basis": "record.visit", "before": {"hours": 1}},
}  # fmt: skip


async def states(api: Api, record_id: int) -> list[str]:
    return [row["state"] for row in (await api.seen(f"/records/{record_id}/bookings"))["items"]]


async def test_a_booking_is_cancelled_when_the_pipeline_changes_if_a_rule_there_says_so(live: Api) -> None:
    await published(live, new=[BOOK])
    await published(live, "service", intake=[OFF])
    record_id = await a_deal(live, responsible="ada")
    await until(lambda: opened(live, record_id))
    assert await states(live, record_id) == ["active"]
    await live.made(f"/records/{record_id}/move", stage="offer")
    await until(lambda: opened(live, record_id))
    assert await states(live, record_id) == ["active"]
    await live.made(f"/records/{record_id}/pipeline", pipeline="service", stage="intake")
    await until(lambda: opened(live, record_id))
    assert await states(live, record_id) == ["cancelled"]
    assert (await live.seen(f"/records/{record_id}"))["fields"]["visit"] is None


async def test_what_comes_before_the_start_of_a_booking_follows_it(live: Api) -> None:
    """It waits for a booking, by a rule and then by a person, and waits again once it is cancelled."""
    booked_later = BOOK | {"schedule": {"after": {"days": 5}}}
    await published(live, new=[REMIND, booked_later])
    record_id = await a_deal(live, responsible="ada")
    await until(lambda: opened(live, record_id))

    async def due() -> str | None:
        found: str | None = (await pending(live, record_id))["remind"]["due"]
        return found

    assert await due() is None
    operation = {"verb": "run_now", "rule": "book", "who": "eve"}
    assert (await live.post(f"/records/{record_id}/operations", json=operation)).status_code == 200
    (booking,) = (await live.seen(f"/records/{record_id}/bookings"))["items"]

    async def follows(start: str) -> bool:
        told = await due()
        return told is not None and datetime.fromisoformat(told) + HOUR == datetime.fromisoformat(start)

    await until(lambda: follows(booking["starts_at"]))
    other = VISIT | {"start": "2099-01-05T10:00:00Z"}
    booking = await live.made(f"/records/{record_id}/bookings", **other)
    await until(lambda: follows("2099-01-05T10:00:00Z"))
    await live.made(f"/bookings/{booking['id']}/cancel", by="eve")

    async def waits() -> bool:
        return await due() is None

    await until(waits)
    assert (await pending(live, record_id))["remind"]["waiting"] == "value"
