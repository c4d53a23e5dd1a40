"""The section *Schedule* of the specification, sentence by sentence. Working hours are 09-12 and 14-18."""

import hashlib
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from domain.calendar import WEEKDAYS, Calendar
from domain.period import DAYS_AT_MOST, EARLIEST, LATEST, Period
from domain.schedule import (
    CatchUp,
    DropIfLate,
    Due,
    Schedule,
    ScheduleFacts,
    SpreadOver,
    catch_up_at,
    instant,
    share,
)
from domain.schedule import due as due_since

BERLIN, LORD_HOWE, TROLL = "Europe/Berlin", "Australia/Lord_Howe", "Antarctica/Troll"
WEEK = {day: ["09:00-12:00", "14:00-18:00"] for day in WEEKDAYS[:5]}
OFFICE = Calendar(zone=BERLIN, week=WEEK)
FACTS = ScheduleFacts(zone=BERLIN, calendar=OFFICE)
MONDAY = "2026-01-05T10:00"
ZONES = sorted(zone for zone in available_timezones() if "/" in zone and not zone.startswith("Etc/"))


def at(text: str, zone: str = BERLIN) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def written(**parts: object) -> Schedule:
    return Schedule.model_validate(parts)


def facts(zone: str = BERLIN, **more: object) -> ScheduleFacts:
    return ScheduleFacts.model_validate({"zone": zone, "calendar": OFFICE} | more)


def on(value: object, zone: str = BERLIN, **more: object) -> ScheduleFacts:
    return facts(zone, value=value, **more)


def lands(schedule: Schedule, basis: str, zone: str = BERLIN) -> str:
    """Where the schedule leads from that clock time, as a clock time of the same zone."""
    found = instant(schedule, at(basis, zone), facts(zone))
    assert found is not None
    return found.astimezone(ZoneInfo(zone)).replace(tzinfo=None).isoformat(timespec="minutes")


def due(schedule: Schedule, turn: datetime, known: ScheduleFacts, key: str = "") -> Due:
    """As the turn comes."""
    return due_since(schedule, turn, turn, known, key)


# ------------------------------------------------------------------------------------------ as written


@pytest.mark.parametrize("parts", [
    {"after": {"days": 1}, "before": {"days": 1}},
    {"after": {"hours": 1}, "at": "09:00"}, {"before": {"minutes": 1}, "at": "09:00"},
    {"after": {"days": 1827 + 1}},
    {"at": "24:00"}, {"at": "9:00"}, {"at": "٠٩:00"}, {"at": "09:60"},
    {"basis": "record"}, {"basis": "steps.meet.start"}, {"basis": "responsible.birthday"}, {"basis": "now "},
    {"if_past": "wait"}, {"if_empty": "never"}, {"catch_up": "drop"}, {"catch_up": {}},
    {"catch_up": {"drop_if_late": {"days": 1}, "spread_over": {"days": 1}}}, {"delay": 5},
])
def test_a_schedule_that_makes_no_sense_is_refused(parts: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Schedule.model_validate(parts)


def test_a_schedule_reads_back_as_it_was_written() -> None:
    schedule = written(
        basis="contact.birthday", before={"days": 7}, at="09:00", working_time=True, on_duty=True,
        on_duty_cap={"hours": 4}, if_past="skip", if_empty="fail", catch_up={"spread_over": {"hours": 2}})
    assert Schedule.model_validate_json(schedule.model_dump_json()) == schedule
    assert schedule.catch_up == SpreadOver(spread_over=Period(hours=2))
    assert written() == Schedule(
        basis="now", if_past="run_now", if_empty="wait_for_value", catch_up="run", on_duty_cap=Period(days=5))


@pytest.mark.parametrize(("parts", "immediate", "reads"), [
    ({}, True, set()),
    ({"after": {"hours": 2}}, False, set()),
    ({"before": {"minutes": 2}}, False, set()),
    ({"after": {"days": 1}}, False, {"zone", "responsible"}),
    ({"at": "09:00"}, False, {"zone", "responsible"}),
    ({"after": {"hours": 2}, "working_time": True}, False, {"calendar", "responsible"}),
    ({"on_duty": True}, False, {"absence", "zone", "responsible"}),
    ({"working_time": True, "on_duty": True}, False, {"absence", "calendar", "responsible"}),
    ({"basis": "record.due_on"}, False, {"record.due_on", "zone", "responsible"}),
])
def test_a_schedule_says_what_it_depends_on(
    parts: dict[str, object], immediate: bool, reads: set[str],
) -> None:
    schedule = Schedule.model_validate(parts)
    assert schedule.reads == frozenset(reads)
    assert (schedule.immediate, schedule.needs_facts) == (immediate, bool(reads))


# ------------------------------------------------------------------------------------- basis and offset


def test_now_is_the_moment_the_turn_came() -> None:
    turn = at("2026-01-05T10:00:00.123456")
    assert due(written(), turn, FACTS) == Due(at=turn, zone=BERLIN)


def test_a_bare_date_is_its_midnight_in_the_zone() -> None:
    schedule = written(basis="record.due_on")
    assert instant(schedule, at(MONDAY), on(date(2026, 7, 1))) == datetime(2026, 6, 30, 22, tzinfo=UTC)
    assert instant(schedule, at(MONDAY), on(at("2026-07-01T15:00"))) == at("2026-07-01T15:00")
    assert instant(schedule, at(MONDAY), on(date(2026, 9, 6), "America/Santiago")) == datetime(
        2026, 9, 6, 4, tzinfo=UTC)


@pytest.mark.parametrize("value", [date(2026, 7, 1), at("2026-07-01T00:00", "UTC"), at("2026-07-01T15:00")])
def test_facts_read_back_as_they_were(value: date) -> None:
    sent = facts(value=value, absences=[(at("2026-01-05T00:00"), at("2026-01-06T00:00"))])
    received = ScheduleFacts.model_validate_json(sent.model_dump_json())
    assert received == sent
    assert type(received.value) is type(value)


@pytest.mark.parametrize(("offset", "start", "end"), [
    ({"after": {"days": 1}}, "2026-03-28T09:00", "2026-03-29T09:00"),   # 09:00 stays 09:00
    ({"after": {"hours": 24}}, "2026-03-28T09:00", "2026-03-29T10:00"),
    ({"before": {"days": 1}}, "2026-03-29T09:00", "2026-03-28T09:00"),
    ({"before": {"days": 1}}, "2026-10-26T09:00", "2026-10-25T09:00"),
    ({"before": {"minutes": 90}}, "2026-01-05T09:00", "2026-01-05T07:30"),
    ({"after": {"days": 1827}}, "2026-01-05T09:00", "2031-01-06T09:00"),
    ({"after": {"days": 1}}, "2026-03-28T02:30", "2026-03-29T03:30"),
    ({"after": {"days": 0}}, "2026-01-05T09:00", "2026-01-05T09:00"),
])
def test_days_are_calendar_days_in_the_zone(offset: dict[str, object], start: str, end: str) -> None:
    assert lands(Schedule.model_validate(offset), start) == end


# ------------------------------------------------------------------------------------------ clock time


@pytest.mark.parametrize(("parts", "start", "end"), [
    ({"at": "09:00", "after": {"days": 3}}, MONDAY, "2026-01-08T09:00"),
    ({"at": "09:00", "before": {"days": 3}}, MONDAY, "2026-01-02T09:00"),
    ({"at": "09:00", "after": {"days": 0}}, MONDAY, "2026-01-05T09:00"),     # an offset: of this very day
    ({"at": "09:00"}, MONDAY, "2026-01-06T09:00"),                           # none: the next such time
    ({"at": "10:00"}, MONDAY, "2026-01-05T10:00"),                           # that very instant included
    ({"at": "10:01"}, MONDAY, "2026-01-05T10:01"),
    ({"at": "10:00"}, "2026-01-05T10:00:00.000001", "2026-01-06T10:00"),
    ({"at": "00:00"}, MONDAY, "2026-01-06T00:00"),
    ({"at": "02:30"}, "2026-03-29T00:30", "2026-03-29T03:30"),               # does not exist: by the gap
    ({"at": "02:30"}, "2026-03-29T03:30", "2026-03-29T03:30"),
    ({"at": "02:30"}, "2026-03-29T03:31", "2026-03-30T02:30"),
    ({"at": "02:30", "after": {"days": 1}}, "2026-03-28T09:00", "2026-03-29T03:30"),
    ({"at": "09:00", "working_time": True}, "2026-01-10T08:00", "2026-01-12T09:00"),
    ({"at": "20:00", "working_time": True}, MONDAY, "2026-01-06T09:00"),
    ({"at": "18:30", "working_time": True, "after": {"days": 1}}, "2026-01-10T12:00", "2026-01-13T09:00"),
])
def test_at_sets_the_clock_time_of_the_resulting_day(parts: dict[str, object], start: str, end: str) -> None:
    assert lands(Schedule.model_validate(parts), start) == end


def test_at_with_a_date_field_is_on_that_day() -> None:
    schedule = written(basis="record.due_on", at="09:00")
    assert instant(schedule, at(MONDAY), on(date(2026, 7, 1))) == at("2026-07-01T09:00")
    assert instant(schedule, at(MONDAY), on(at("2026-07-01T15:00"))) == at("2026-07-01T09:00")


def test_of_two_equal_clock_times_the_first_counts() -> None:
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert instant(written(at="02:30"), at("2026-10-25T00:30"), FACTS) == first
    assert instant(written(at="02:30"), first, FACTS) == first
    assert instant(written(at="02:30"), first + timedelta(minutes=10), FACTS) == at("2026-10-26T02:30")
    assert instant(written(at="02:30", after={"days": 1}), at("2026-10-24T20:00"), FACTS) == first


@pytest.mark.parametrize(("zone", "clock", "start", "found"), [
    (LORD_HOWE, "02:15", "2026-10-04T01:00", "2026-10-03T15:45"),    # a gap of half an hour: 02:45
    (LORD_HOWE, "01:45", "2026-04-05T01:00", "2026-04-04T14:45"),    # twice, half an hour apart
    (TROLL, "02:30", "2026-03-29T00:30", "2026-03-29T02:30"),        # a gap of two hours: 04:30 at +02:00
    (TROLL, "01:30", "2026-10-25T00:30", "2026-10-24T23:30"),        # twice, two hours apart
])
def test_a_gap_is_as_long_as_it_is(zone: str, clock: str, start: str, found: str) -> None:
    assert instant(written(at=clock), at(start, zone), facts(zone)) == at(found, "UTC")


# ---------------------------------------------------------------------------------------- working time


@pytest.mark.parametrize(("offset", "start", "end"), [
    ({"after": {"hours": 2}}, "2026-01-09T17:00", "2026-01-12T10:00"),     # Fri 17:00 + 2 h = Mon 10:00
    ({"after": {"hours": 2}}, "2026-01-09T16:00", "2026-01-09T18:00"),     # Fri 16:00 + 2 h = Fri 18:00
    ({"after": {"days": 1}}, "2026-01-10T12:00", "2026-01-12T12:00"),      # Sat 12:00 + 1 day = Mon 12:00
    ({"after": {"days": 1}}, "2026-01-09T20:00", "2026-01-13T09:00"),      # Fri 20:00 + 1 day = Tue 09:00
    ({"before": {"days": 1}}, "2026-01-12T10:00", "2026-01-09T10:00"),     # Mon 10:00 - 1 day = Fri 10:00
    ({"before": {"hours": 2}}, "2026-01-12T10:00", "2026-01-09T17:00"),
    ({"before": {"days": 1}}, "2026-01-11T20:00", "2026-01-12T09:00"),     # Sun - 1 day = Fri 20:00 -> Mon
    ({"after": {"minutes": 60}}, "2026-01-05T11:30", "2026-01-05T14:30"),  # over lunch
    ({"after": {"days": 3}}, "2026-01-09T13:00", "2026-01-14T14:00"),      # Wed 13:00 -> 14:00
    ({}, "2026-01-10T12:00", "2026-01-12T09:00"),
    ({}, "2026-01-09T18:00", "2026-01-09T18:00"),
    ({}, "2026-01-09T12:00", "2026-01-09T12:00"),
    ({"after": {"days": 0}}, "2026-01-10T12:00", "2026-01-12T09:00"),
    ({"after": {"hours": 0}}, "2026-01-10T12:00", "2026-01-12T09:00"),
    ({"before": {"hours": 0}}, "2026-01-10T12:00", "2026-01-12T09:00"),
    ({"after": {"days": 1}}, "2026-03-27T10:00", "2026-03-30T10:00"),      # over the change of clocks
    ({"after": {"hours": 2}}, "2026-03-27T17:00", "2026-03-30T10:00"),
])
def test_only_working_time_is_counted(offset: dict[str, object], start: str, end: str) -> None:
    assert lands(Schedule.model_validate({"working_time": True} | offset), start) == end


def test_holidays_and_exceptions_are_the_calendars() -> None:
    calendar = Calendar(
        zone=BERLIN, week=WEEK, holidays=[date(2026, 1, 6)], exceptions={date(2026, 1, 10): ["10:00-11:00"]})
    known = facts(calendar=calendar)
    assert instant(written(after={"days": 1}, working_time=True), at(MONDAY), known) == at("2026-01-07T10:00")
    eight = written(after={"hours": 8}, working_time=True)
    assert instant(eight, at(MONDAY), known) == at("2026-01-07T11:00")
    hour = written(after={"hours": 1}, working_time=True)
    assert instant(hour, at("2026-01-09T18:00"), known) == at("2026-01-10T11:00")


def test_the_zone_is_the_calendars_with_working_time_and_else_the_one_given() -> None:
    known = on(date(2026, 1, 5), "America/New_York")
    turn = at("2026-01-01T00:00")
    assert due(written(basis="record.due_on"), turn, known) == Due(
        at=datetime(2026, 1, 5, 5, tzinfo=UTC), zone="America/New_York")
    working = written(basis="record.due_on", working_time=True, at="10:00")
    assert due(working, turn, known) == Due(at=at(MONDAY), zone=BERLIN)


def test_without_a_calendar_all_time_is_working_time() -> None:
    schedule = written(after={"days": 1}, working_time=True)
    found = due(schedule, at("2026-01-09T20:00"), facts(calendar=None))
    assert found == Due(at=at("2026-01-10T20:00"), zone=BERLIN)


@pytest.mark.parametrize("unit", [{"days": 1827}, {"hours": 43_848}, {"minutes": 2_630_880}])
@pytest.mark.parametrize("working_time", [True, False])
@pytest.mark.parametrize("value", [
    LATEST, EARLIEST, date.min, date.max, at(MONDAY), datetime.max.replace(tzinfo=UTC)])
def test_five_years_are_never_too_long(unit: dict[str, int], working_time: bool, value: date) -> None:
    for direction in ("after", "before"):
        schedule = written(basis="record.due_on", working_time=working_time, **{direction: unit})
        found = instant(schedule, at(MONDAY), on(value))
        assert found is not None
        assert EARLIEST <= found <= LATEST
        assert due(schedule, at(MONDAY), on(value)).verdict == "armed"


# --------------------------------------------------------------------------------------------- on duty


def away(*absences: tuple[str, str]) -> ScheduleFacts:
    return facts(absences=[(at(start), at(end)) for start, end in absences])


@pytest.mark.parametrize(("parts", "absences", "end"), [
    ({}, [], MONDAY),
    ({}, [("2026-01-05T00:00", "2026-01-07T00:00")], "2026-01-07T00:00"),
    ({}, [("2026-01-05T11:00", "2026-01-07T00:00")], MONDAY),                       # not yet absent
    ({}, [("2026-01-04T00:00", MONDAY)], MONDAY),                                   # just back
    ({}, [("2026-01-05T00:00", "2026-01-07T00:00"), ("2026-01-06T00:00", "2026-01-08T00:00")],
     "2026-01-08T00:00"),
    ({}, [("2026-01-07T00:00", "2026-01-08T00:00"), ("2026-01-05T00:00", "2026-01-07T00:00")],
     "2026-01-08T00:00"),
    ({}, [("2026-01-05T00:00", "2026-02-01T00:00")], "2026-01-10T10:00"),           # five days at most
    ({"on_duty_cap": {"hours": 3}}, [("2026-01-05T00:00", "2026-02-01T00:00")], "2026-01-05T13:00"),
    ({"on_duty_cap": {"days": 0}}, [("2026-01-05T00:00", "2026-02-01T00:00")], MONDAY),
    ({"working_time": True}, [("2026-01-05T00:00", "2026-01-07T00:00")], "2026-01-07T09:00"),
    ({"working_time": True}, [("2026-01-05T00:00", "2026-02-01T00:00")], "2026-01-12T09:00"),  # Sat
    ({"working_time": True}, [("2026-01-05T00:00", "2026-01-07T12:00")], "2026-01-07T12:00"),
    ({"working_time": True},
     [("2026-01-05T00:00", "2026-01-06T20:00"), ("2026-01-07T09:00", "2026-01-08T15:00")],
     "2026-01-08T15:00"),                                                           # absent again by then
])
def test_on_duty_waits_until_the_responsible_is_not_absent(
    parts: dict[str, object], absences: list[tuple[str, str]], end: str,
) -> None:
    schedule = Schedule.model_validate({"on_duty": True} | parts)
    assert instant(schedule, at(MONDAY), away(*absences)) == at(end)


def test_without_on_duty_an_absence_changes_nothing() -> None:
    assert instant(written(), at(MONDAY), away(("2026-01-05T00:00", "2026-01-07T00:00"))) == at(MONDAY)


# ------------------------------------------------------------------------------------- past and empty


@pytest.mark.parametrize(("policy", "expected"), [
    ("run_now", Due(at=at(MONDAY), zone=BERLIN)),
    ("skip", Due(at=None, zone=BERLIN, verdict="skip", reason="if_past")),
    ("fail", Due(at=None, zone=BERLIN, verdict="fail", reason="if_past")),
])
def test_past_is_before_the_turn_came(policy: str, expected: Due) -> None:
    schedule = written(basis="record.due_on", if_past=policy)
    assert due(schedule, at(MONDAY), on(at("2026-01-05T09:59"))) == expected
    assert due(schedule, at(MONDAY), on(at(MONDAY))).at == at(MONDAY)   # the turn itself is not past
    assert due(written(before={"hours": 1}, if_past=policy), at(MONDAY), FACTS) == expected


def test_past_is_before_the_change_of_fact_that_moved_the_step() -> None:
    changed = at("2026-01-06T12:00")
    skipping, running = written(basis="record.due_on", if_past="skip"), written(after={"hours": 1})
    assert due_since(skipping, at(MONDAY), changed, on(at("2026-01-06T11:00"))).reason == "if_past"
    assert due_since(running, at(MONDAY), changed, FACTS).at == changed
    assert due_since(written(after={"days": 2}), at(MONDAY), changed, FACTS).at == at("2026-01-07T10:00")


@pytest.mark.parametrize(("policy", "expected"), [
    ("wait_for_value", Due(at=None, zone=BERLIN, verdict="wait_for_value", reason="if_empty")),
    ("skip", Due(at=None, zone=BERLIN, verdict="skip", reason="if_empty")),
    ("run_now", Due(at=at(MONDAY), zone=BERLIN)),
    ("fail", Due(at=None, zone=BERLIN, verdict="fail", reason="if_empty")),
])
def test_an_empty_date_is_the_business_of_if_empty(policy: str, expected: Due) -> None:
    schedule = written(basis="record.due_on", after={"days": 1}, if_empty=policy, if_past="skip")
    assert due(schedule, at(MONDAY), on(None)) == expected
    assert instant(schedule, at(MONDAY), on(None)) is None


@pytest.mark.parametrize("value", [
    "soon", "", 20260105, 2026.5, True, "2026-02-30", "2026-01-05T25:00", ["2026-01-05"]])
def test_an_unreadable_date_counts_as_empty(value: object) -> None:
    schedule = written(basis="record.due_on", if_empty="fail")
    assert due(schedule, at(MONDAY), on(value)).reason == "if_empty"


@pytest.mark.parametrize("value", [
    "2026-02-28", date(2026, 2, 28), "2026-02-28T00:00+01:00", "2026-02-27T23:00:00Z", "2026-02-28T00:00"])
def test_a_date_may_be_written(value: object) -> None:
    assert instant(written(basis="record.due_on"), at(MONDAY), on(value)) == at("2026-02-28T00:00")


def test_the_end_of_an_open_hold_may_lie_in_the_past() -> None:
    schedule = written(basis="record.due_on", if_past="skip")
    assert instant(schedule, at(MONDAY), on(date(2020, 1, 1))) == at("2020-01-01T00:00")


# --------------------------------------------------------------------------------- catching up, jitter

KEY = "deal-4711/call-back"
RELEASE = at("2026-01-07T10:00")
CATCH_UP: TypeAdapter[CatchUp] = TypeAdapter(CatchUp)


def test_run_is_the_default_and_acts_at_the_release() -> None:
    assert catch_up_at(written().catch_up, at(MONDAY), RELEASE, KEY) == RELEASE


def test_drop_if_late_drops_what_is_later_than_the_period() -> None:
    two_days = DropIfLate(drop_if_late=Period(days=2))
    assert catch_up_at(two_days, at(MONDAY), RELEASE, KEY) == RELEASE
    assert catch_up_at(two_days, at(MONDAY), RELEASE + timedelta(microseconds=1), KEY) is None


def test_spread_over_adds_a_part_of_the_period_that_the_hash_decides() -> None:
    digest = hashlib.sha256(b"deal-4711/call-back").hexdigest()
    part = int(digest[:8], 16) / 2**32
    spread = CATCH_UP.validate_python({"spread_over": {"hours": 3}})
    assert catch_up_at(spread, at(MONDAY), RELEASE, KEY) == RELEASE + timedelta(hours=3) * part
    assert share(KEY) == part
    assert share("") == 0xE3B0C442 / 2**32       # the SHA-256 of nothing is well known


def test_what_is_not_overdue_keeps_its_time() -> None:
    for policy in ("run", {"drop_if_late": {"days": 0}}, {"spread_over": {"days": 1}}):
        assert catch_up_at(CATCH_UP.validate_python(policy), RELEASE, RELEASE, KEY) == RELEASE
        assert catch_up_at(CATCH_UP.validate_python(policy), RELEASE, at(MONDAY), KEY) == RELEASE


def test_jitter_is_part_of_the_due_time() -> None:
    known = facts(jitter=600)
    morning = written(at="09:00")
    found = due(morning, at(MONDAY), known, KEY).at
    assert found == at("2026-01-06T09:00") + timedelta(seconds=600) * share(KEY)
    assert due(morning, at(MONDAY), FACTS, KEY).at == at("2026-01-06T09:00")
    assert due(written(after={"hours": 1}), at(MONDAY), known, KEY).at == at("2026-01-05T11:00")
    evening = written(after={"days": 1}, at="18:00", working_time=True)
    assert due(evening, at(MONDAY), known, KEY).at == at("2026-01-06T18:00")         # not out of working time


# ------------------------------------------------------------------------------------------ properties


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    """Any schedule at all."""
    unit, most = draw(st.sampled_from([("minutes", 100_000), ("hours", 5_000), ("days", DAYS_AT_MOST)]))
    offset = draw(st.sampled_from(["after", "before", ""]))
    parts: dict[str, object] = {offset: {unit: draw(st.integers(0, most))}} if offset else {}
    if not offset or unit == "days":
        parts["at"] = draw(st.none() | st.sampled_from(["00:00", "00:30", "02:15", "09:00", "23:59"]))
    return Schedule.model_validate(parts | {
        "basis": draw(st.sampled_from(["now", "record.due_on"])), "on_duty": draw(st.booleans()),
        "working_time": draw(st.booleans()), "on_duty_cap": {"days": draw(st.integers(0, 9))}})


INSTANTS = st.datetimes(datetime(1880, 1, 1), datetime(2150, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@settings(deadline=None)
@given(schedules(), st.sampled_from(ZONES), INSTANTS, st.dates() | INSTANTS,
       st.lists(st.tuples(INSTANTS, INSTANTS)))
def test_every_schedule_leads_somewhere_and_into_working_time(
    schedule: Schedule, zone: str, turn: datetime, value: date, absences: list[tuple[datetime, datetime]],
) -> None:
    calendar = Calendar(zone=zone, week=WEEK, holidays=[date(2026, 1, 1)])
    known = ScheduleFacts(zone=zone, calendar=calendar, value=value, absences=absences)
    found = instant(schedule, turn, known)
    assert found is not None
    assert found.tzinfo is UTC
    if schedule.working_time:
        assert found == calendar.next_working(found)
    acts = due(schedule, turn, known).at
    assert acts == max(found, turn)


@settings(deadline=None)
@given(st.sampled_from(ZONES), INSTANTS, INSTANTS, st.booleans(), st.booleans(), st.integers(-3000, 3000))
def test_a_later_turn_is_never_due_earlier(
    zone: str, one: datetime, other: datetime, working_time: bool, next_time: bool, minutes: int,
) -> None:
    direction = "after" if minutes > 0 else "before"
    parts: dict[str, object] = {"at": "02:30"} if next_time else {direction: {"minutes": abs(minutes)}}
    schedule = Schedule.model_validate(parts | {"working_time": working_time})
    known = ScheduleFacts(zone=zone, calendar=Calendar(zone=zone, week=WEEK))
    first, second = (instant(schedule, turn, known) for turn in sorted((one, other)))
    assert first is not None
    assert second is not None
    assert first <= second


def changes(zone: str, year: int) -> list[date]:
    """The days of the year on which the zone changes its clock."""
    tz, day = ZoneInfo(zone), timedelta(days=1)
    midnights = [datetime(year, 1, 1, tzinfo=tz) + n * day for n in range(366)]
    return [at.date() for at in midnights if at.utcoffset() != (at + day).utcoffset()]


@settings(deadline=None)
@given(st.sampled_from(ZONES), st.integers(1900, 2040), st.integers(0, 23), st.sampled_from([0, 15, 30, 45]))
def test_at_every_change_of_clocks_the_clock_time_is_kept_or_moved_by_the_gap(
    zone: str, year: int, hour: int, minute: int,
) -> None:
    tz = ZoneInfo(zone)
    for day in changes(zone, year):
        wall = datetime.combine(day, datetime.min.time()).replace(hour=hour, minute=minute)
        found = instant(written(basis="record.due_on", at=f"{hour:02}:{minute:02}"), EARLIEST, ScheduleFacts(
            zone=zone, value=wall.replace(hour=12, tzinfo=tz)))
        assert found is not None
        back = found.astimezone(tz)
        before, after = ((back + timedelta(days=n)).utcoffset() or timedelta() for n in (-1, 1))
        kept = wall.replace(tzinfo=tz).astimezone(UTC).astimezone(tz).replace(tzinfo=None) == wall
        assert back.fold == 0
        assert back.replace(tzinfo=None) - wall == (timedelta() if kept else after - before)
