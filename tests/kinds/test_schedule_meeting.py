"""Row 7: a planned item in the record, among the responsible's to-dos, and in the participants' calendars."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activities.check import check
from activities.house import House
from activities.runner import Run, Runner
from activities.steps import act
from db.records import By, delete, move
from domain.errors import Refused
from domain.events import Outcome
from domain.rule import RuleSet
from tests import builders
from tests.builders import NOON
from tests.kinds.conftest import Desk, refused_on_save, setting

TODAY_AT_TWO = datetime(2026, 3, 2, 13, 0, tzinfo=UTC)  # 14:00 in Paris, where work goes on after lunch


def utc(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 3, day, hour, minute, tzinfo=UTC)


async def with_rules(desk: Desk, *rules: dict[str, Any]) -> int:
    """A deal in a stage with these rules."""
    await desk.run(lambda tx: builders.rule_set(tx, {"new": [*rules]}))
    return await desk.deal()


async def steps(desk: Desk, deal: int, *rules: str) -> list[Outcome]:
    """Steps of the first visit in one transaction, as a drive makes them."""
    async with desk.locked(deal) as locked:
        await locked.reload(1)
        runner = Runner(locked, House(), desk.ids, NOON)
        outcomes = [await act(runner, Run(1, rule, due=NOON)) for rule in rules]
        await runner.flush()
    return outcomes


async def client(desk: Desk, **more: Any) -> int:
    """A deal with Clara Klein, who has a phone."""
    async with desk.database.transaction() as tx:
        contact = await builders.contact(tx, phones=["+33612345678", "+4930123"])
    return await desk.deal(contact=contact, **more)


async def test_by_default_an_hour_with_the_client_in_the_first_free_working_hour(desk: Desk) -> None:
    deal = await client(desk)
    done = await desk.does(deal, "schedule_meeting", rule="meet")
    meeting = await desk.row("meeting")
    assert done.results == {
        "id": meeting["id"], "start": "2026-03-02T13:00:00+00:00", "end": "2026-03-02T14:00:00+00:00",
        "client_phone": "+33612345678", "invited": [], "not_invited": [],
    }  # fmt: skip
    assert meeting.pop("uid").endswith("@jalon.localhost")
    assert meeting == {
        "id": meeting["id"], "record_id": deal, "visit_no": 1, "rule": "meet", "type": "meeting",
        "subject": "Meeting with Clara Klein, 2026-03-02 14:00", "description": "", "place": "",
        "starts_at": TODAY_AT_TWO, "ends_at": TODAY_AT_TWO + timedelta(hours=1), "responsible_id": "ada",
        "participants": [], "guests": [], "important": False, "complete_on_exit": False, "reminders": [],
        "client_phone": "+33612345678", "sequence": 0, "state": "planned", "created_at": NOON,
        "created_by": "system", "changed_at": NOON, "ended_at": None, "ended_by": None,
    }  # fmt: skip
    assert await desk.rows("invitation") == []


async def test_a_call_of_anothers_with_all_that_can_be_said(desk: Desk) -> None:
    async with desk.database.transaction() as tx:
        company = await builders.client_company(tx, address="1 rue\nHaute, Lyon", phones=["+3347000"])
    deal = await desk.deal(company=company)
    await desk.does(
        deal, "schedule_meeting", type="call", responsible="hugo", important=True, duration={"minutes": 15},
        subject="About {{ record.title }}", description="Ask for\n{{ company.name }}", acting="responsible",
        place="{{ company.address }}", reminders=[{"minutes": 15}, {"hours": 1}, {"minutes": 60}],
    )  # fmt: skip
    call = await desk.row("meeting")
    assert (call["type"], call["responsible_id"], call["important"]) == ("call", "hugo", True)
    assert (call["subject"], call["description"]) == ("About A roof for Klein", "Ask for\nKlein & Sons")
    assert call["place"] == "1 rue Haute, Lyon"
    assert (call["reminders"], call["client_phone"], call["created_by"]) == ([60, 15], "+3347000", "ada")
    assert call["ends_at"] - call["starts_at"] == timedelta(minutes=15)


@pytest.mark.parametrize(
    ("start", "begins"),
    [
        ({"after": {"days": 0}, "at": "17:30"}, utc(2, 16, 30)),
        ({"after": {"days": 1}, "at": "10:00"}, utc(3, 9)),
        ({"after": {"days": 5}, "at": "10:00", "working_time": True}, utc(9, 9)),
        ({"at": "10:00"}, utc(3, 9)),  # the next such time
        ({"after": {"days": 0}}, utc(2, 13)),
        ({"after": {"days": 1}}, utc(3, 8)),
        ({"after": {"days": 5}}, utc(9, 8)),  # a Saturday
        ({"after": {"hours": 2}}, utc(2, 14)),
        ({"after": {"minutes": 61}}, utc(2, 14)),
        ({"on": "2026-03-20", "at": "07:15"}, utc(20, 6, 15)),
        ({"on": "2026-03-20"}, utc(20, 8)),
        ({"on": "2026-03-02"}, utc(2, 13)),
        ({"basis": "record.visit_at"}, utc(5, 15, 20)),
        ({"basis": "record.visit_at", "after": {"days": 1}}, utc(6, 15, 20)),
        ({"basis": "record.due_on"}, utc(20, 8)),
        ({"basis": "record.due_on", "before": {"days": 1}, "at": "11:00"}, utc(19, 10)),
    ],
)
async def test_it_starts_on_a_day_at_a_clock_time_or_at_the_first_free_working_hour(
    desk: Desk, start: dict[str, object], begins: datetime
) -> None:
    fields = {"due_on": "2026-03-20", "visit_at": "2026-03-05T16:20:00+01:00"}
    await desk.does(await desk.deal(fields=fields), "schedule_meeting", start=start)
    assert (await desk.row("meeting"))["starts_at"] == begins


async def test_free_means_no_other_meeting_no_booking_and_no_absence(desk: Desk) -> None:
    deal = await desk.deal()
    takes = "insert into booking_resource (booking_id, resource, during) select id, 'employee:ada', "
    await desk.run(
        lambda tx: builders.absence(tx, "ada", utc(2, 15), utc(2, 15, 30)),
        "insert into booking (record_id, visit_no, field, starts_at, ends_at, booked_until, created_at,"
        f" created_by) values ({deal}, 1, 'visit', '2026-03-03 09:00Z', '2026-03-03 10:00Z',"
        " '2026-03-03 10:00Z', '2026-03-02Z', 'eve')",
        takes + "tstzrange(starts_at, ends_at) from booking",
    )
    found = []
    for responsible in ("ada", "ada", "ada", "ada", "ada"):
        await desk.does(deal, "schedule_meeting", responsible=responsible)
        found = [row["starts_at"] for row in await desk.rows("meeting", order="id")]
    # to 13, 14 belongs the first day's rest up to the absence; 16 is after it
    assert found == [utc(2, 13), utc(2, 14), utc(2, 16), utc(3, 8), utc(3, 10)]


async def test_two_rules_of_one_visit_do_not_take_the_same_hour(desk: Desk) -> None:
    deal = await with_rules(desk, *({"id": name, "kind": "schedule_meeting"} for name in "ab"))
    await steps(desk, deal, "a", "b")
    assert [row["starts_at"] for row in await desk.rows("meeting", order="id")] == [utc(2, 13), utc(2, 14)]


async def test_records_that_look_at_once_do_not_find_the_same_hour(desk: Desk) -> None:
    deals = [await desk.deal() for _ in range(8)]
    await asyncio.gather(*(desk.does(deal, "schedule_meeting") for deal in deals))
    assert len({row["starts_at"] for row in await desk.rows("meeting")}) == 8


async def test_the_whole_meeting_is_working_time_of_its_responsible(desk: Desk) -> None:
    tokyo = {"zone": "Asia/Tokyo", "week": {"wed": ["13:30-15:00"]}}
    await desk.run(
        lambda tx: builders.calendar_of(tx, "tokyo", tokyo),
        lambda tx: builders.employee(tx, "yuki", zone="Asia/Tokyo", calendar_id="tokyo"),
    )
    await desk.does(await desk.deal(), "schedule_meeting", responsible="yuki", duration={"minutes": 90})
    assert (await desk.row("meeting"))["starts_at"] == utc(4, 4, 30)
    with pytest.raises(Refused) as refused:
        await desk.does(await desk.deal(), "schedule_meeting", responsible="yuki", duration={"hours": 2})
    assert refused.value.reason == "no_free_time"


PAST = [
    {"after": {"days": 0}, "at": "12:59"},
    {"on": "2026-03-01"},
    {"on": "2026-03-02", "at": "12:00"},
    {"basis": "record.due_on", "at": "09:00", "if_past": "run_now"},
    {"basis": "record.due_on"},
    {"basis": "record.visit_at", "before": {"hours": 60}},
]


@pytest.mark.parametrize("start", PAST)
async def test_a_start_in_the_past_fails_whatever_its_schedule_says(
    desk: Desk, start: dict[str, object]
) -> None:
    fields = {"due_on": "2026-03-01", "visit_at": "2026-03-04T13:00:00+01:00"}
    with pytest.raises(Refused) as refused:
        await desk.does(await desk.deal(fields=fields), "schedule_meeting", start=start)
    assert refused.value.reason == "start_past"
    assert await desk.rows("meeting") == []


async def test_a_start_now_is_not_past(desk: Desk) -> None:
    await desk.does(await desk.deal(), "schedule_meeting", start={"after": {"days": 0}, "at": "13:00"})
    assert (await desk.row("meeting"))["starts_at"] == NOON


async def test_an_empty_date_field_fails(desk: Desk) -> None:
    start = {"basis": "record.due_on", "if_empty": "run_now"}
    with pytest.raises(Refused) as refused:
        await desk.does(await desk.deal(), "schedule_meeting", start=start)
    assert refused.value.reason == "start_empty"


async def test_a_meeting_beyond_all_calendars_fails(desk: Desk) -> None:
    deal = await desk.deal(fields={"due_on": "9999-12-31"})
    for start, reason in (({}, "no_free_time"), ({"at": "23:00"}, "wrong_duration")):
        with pytest.raises(Refused) as refused:
            await desk.does(deal, "schedule_meeting", start={"basis": "record.due_on"} | start)
        assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("responsible", "of_record"), [("gone", "ada"), ("nobody", "ada"), ("responsible", None)]
)
async def test_a_bad_responsible_fails(desk: Desk, responsible: str, of_record: str | None) -> None:
    await desk.run(lambda tx: builders.employee(tx, "gone", active=False))
    with pytest.raises(Refused) as refused:
        await desk.does(await desk.deal(responsible=of_record), "schedule_meeting", responsible=responsible)
    assert refused.value.reason == "wrong_responsible"


async def test_participants_are_employees_and_addresses_each_once(desk: Desk) -> None:
    await desk.run(lambda tx: builders.employee(tx, "gone", active=False))
    named = [
        "employee:ben",
        "supervisor",
        "employee:gone",
        "{{ contact.email }}",
        "Clara <CLARA@client.example>",
    ]
    done = await desk.does(await client(desk), "schedule_meeting", participants=[*named, "employee:ben"])
    meeting = await desk.row("meeting")
    assert (meeting["participants"], meeting["guests"]) == (["ben", "hugo"], ["clara@client.example"])
    expected = ["ben@company.example", "clara@client.example", "hugo@company.example"]
    assert sorted(done.results["invited"]) == expected
    assert [row["recipient"] for row in await desk.rows("invitation", order="recipient")] == expected


async def test_who_is_absent_when_it_starts_is_skipped_where_that_is_asked(desk: Desk) -> None:
    await desk.run(
        lambda tx: builders.absence(tx, "ben", utc(3, 8), utc(3, 12)),
        lambda tx: builders.absence(tx, "eve", utc(2, 8), utc(2, 18)),  # back by then
    )
    deal, named = await desk.deal(), ["employee:ben", "employee:eve"]
    for skip in (False, True):
        start = {"on": "2026-03-03", "at": "10:00"}
        await desk.does(deal, "schedule_meeting", start=start, participants=named, skip_absent=skip)
    everybody, present = await desk.rows("meeting", order="id")
    assert (everybody["participants"], present["participants"]) == (["ben", "eve"], ["eve"])


async def test_who_has_no_address_is_named_and_the_others_are_invited(desk: Desk) -> None:
    await desk.run(lambda tx: builders.employee(tx, "zoe", email=""))
    named = ["employee:zoe", "{{ contact.email.first }}", "employee:ben", "not an address@"]
    async with desk.database.transaction() as tx:
        contact = await builders.contact(tx, emails=[])
    done = await desk.does(await desk.deal(contact=contact), "schedule_meeting", participants=named)
    assert done.results["invited"] == ["ben@company.example"]
    assert done.results["not_invited"] == ["Zoe", "Clara Klein", "not an address@"]
    assert (await desk.row("meeting"))["participants"] == ["zoe", "ben"]
    told = await desk.rows("notification", order="id")
    assert {row["employee_id"] for row in told} == {"ada"}
    assert "Zoe" in told[0]["body"]


async def test_with_complete_on_exit_it_counts_as_held_once_the_stage_is_left(desk: Desk) -> None:
    deal, later = await desk.deal(), NOON + timedelta(hours=1)
    await desk.does(deal, "schedule_meeting", rule="a", complete_on_exit=True, participants=["employee:ben"])
    await desk.does(deal, "schedule_meeting", rule="b")
    async with desk.locked(deal) as locked:
        await move(locked, "offer", By("ada", later))
    rows = {
        row["rule"]: (row["state"], row["ended_at"], row["ended_by"]) for row in await desk.rows("meeting")
    }
    assert rows == {"a": ("held", later, "ada"), "b": ("planned", None, None)}
    assert [row["method"] for row in await desk.rows("invitation")] == ["REQUEST"]


async def test_a_deleted_record_keeps_its_meetings(desk: Desk) -> None:
    deal = await desk.deal()
    await desk.does(deal, "schedule_meeting")
    async with desk.locked(deal) as locked:
        await delete(locked, By("ada", NOON))
    assert (await desk.row("meeting"))["state"] == "planned"


async def test_a_later_rule_quotes_the_start_and_twice_is_once(desk: Desk) -> None:
    quoted = "{{ steps.meet.start }} {{ steps.meet.invited }}"
    meet = {"id": "meet", "kind": "schedule_meeting", "params": {"participants": ["employee:ben"]}}
    deal = await with_rules(desk, meet, {"id": "say", "kind": "add_comment", "params": {"text": quoted}})
    first = await steps(desk, deal, "meet", "say")
    assert await steps(desk, deal, "meet", "say") == first
    assert [outcome.result for outcome in first] == ["done", "done"]
    start, invited = (await desk.row("comment"))["body"].split()
    assert (datetime.fromisoformat(start), invited) == (TODAY_AT_TWO, "ben@company.example")
    assert len(await desk.rows("meeting")) == len(await desk.rows("invitation")) == 1


async def test_a_stale_step_plans_nothing(desk: Desk) -> None:
    meet = {"id": "meet", "kind": "schedule_meeting", "params": {"participants": ["employee:ben"]}}
    deal = await with_rules(desk, meet)
    async with desk.locked(deal) as locked:
        await move(locked, "offer", By("ada", NOON))
    (outcome,) = await steps(desk, deal, "meet")
    assert outcome.result == "stale"
    assert await desk.rows("meeting") == await desk.rows("invitation") == []


def test_what_is_refused_on_save() -> None:
    def wrong(**params: object) -> set[str]:
        return set(refused_on_save("schedule_meeting", **params))

    assert wrong() == set()
    assert wrong(responsible="bob") == {"/responsible"}
    assert wrong(duration={"minutes": 0}) == {"/duration"}
    assert wrong(type="party") == {"/type"}
    assert wrong(participants=["bob", "ben", "a@", "employee:bob", "{{ contact.email.first }}"]) == {
        "/participants/0", "/participants/1", "/participants/2", "/participants/3",
    }  # fmt: skip
    assert wrong(reminders=[{"hours": 1, "days": 1}]) == {"/reminders/0"}
    assert any("start" in place for place in wrong(start={"on": "2026-02-30"}))
    assert any("start" in place for place in wrong(start={"on": "2026-03-20", "after": {"days": 1}}))


@pytest.mark.parametrize("basis", ["record.due", "record.title"])
def test_a_start_that_is_no_date_field_is_refused_on_save(basis: str) -> None:
    rule = {"id": "meet", "kind": "schedule_meeting", "params": {"start": {"basis": basis}}}
    (problem,) = check(RuleSet.model_validate({"stages": {"new": [rule]}}), setting(), {})
    assert problem.place == "/stages/new/0/params/start/basis"
