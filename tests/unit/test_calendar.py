"""Periods and working time: what the section *Schedule* says of zones, days and calendars."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from domain.calendar import WEEKDAYS, Calendar, Span
from domain.period import DAYS_AT_MOST, EARLIEST, LATEST, Period, bounded, localise, zone_named

BERLIN, LORD_HOWE, TROLL = "Europe/Berlin", "Australia/Lord_Howe", "Antarctica/Troll"
HOURS = ["09:00-12:00", "14:00-18:00"]
OFFICE = Calendar(zone="UTC", week=dict.fromkeys(WEEKDAYS[:5], HOURS))
ZONES = sorted(zone for zone in available_timezones() if "/" in zone and not zone.startswith("Etc/"))
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


def at(text: str, zone: str = "UTC") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def nights(zone: str, *intervals: str) -> Calendar:
    """Every day has these intervals."""
    return Calendar(zone=zone, week={day: list(intervals) for day in WEEKDAYS})


# ------------------------------------------------------------------------------------------ periods


@pytest.mark.parametrize("written", ['{"days": 3}', '{"hours": 0}', '{"minutes": 2630880}'])
def test_a_period_is_written_in_one_unit(written: str) -> None:
    assert Period.model_validate_json(written).model_dump_json() == written.replace(" ", "")


@pytest.mark.parametrize("written", [
    "{}", '{"days": 1, "hours": 1}', '{"days": -1}', '{"days": 1.5}', '{"days": true}', '{"days": "3"}',
    '{"weeks": 1}', '{"days": 1828}', '{"hours": 43849}', '{"minutes": 2630881}', '{"days": null}',
])
def test_any_other_period_is_refused(written: str) -> None:
    with pytest.raises(ValidationError):
        Period.model_validate_json(written)


@pytest.mark.parametrize(("start", "period", "end"), [
    ("2026-03-28T09:00", Period(days=1), "2026-03-29T09:00"),       # clocks go forward in between
    ("2026-03-28T09:00", Period(hours=24), "2026-03-29T10:00"),
    ("2026-10-24T09:00", Period(days=1), "2026-10-25T09:00"),       # and back
    ("2026-10-24T09:00", Period(hours=24), "2026-10-25T08:00"),
    ("2026-10-24T09:00", Period(minutes=1440), "2026-10-25T08:00"),
    ("2026-03-28T02:30", Period(days=1), "2026-03-29T03:30"),       # 02:30 does not exist
    ("2026-01-05T09:00:00.123456", Period(days=1), "2026-01-06T09:00:00.123456"),
    ("2024-02-29T09:00", Period(days=1827), "2029-03-01T09:00"),
])
def test_days_are_calendar_days_and_hours_are_elapsed_time(start: str, period: Period, end: str) -> None:
    assert period.add(at(start, BERLIN), ZoneInfo(BERLIN)) == at(end, BERLIN)


def test_of_two_equal_clock_times_the_first_counts() -> None:
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert Period(days=1).add(at("2026-10-24T02:30", BERLIN), ZoneInfo(BERLIN)) == first
    assert Period(days=1).add(at("2026-10-26T02:30", BERLIN), ZoneInfo(BERLIN), -1) == first
    second = first + timedelta(hours=1)
    assert Period(days=0).add(second, ZoneInfo(BERLIN)) == second


@pytest.mark.parametrize(("zone", "wall", "found"), [
    (BERLIN, "2026-03-29T02:30", "2026-03-29T01:30"),               # by the gap of an hour: 03:30
    (LORD_HOWE, "2026-10-04T02:15", "2026-10-03T15:45"),            # of half an hour: 02:45
    (LORD_HOWE, "2026-10-04T02:29", "2026-10-03T15:59"),
    (LORD_HOWE, "2026-04-05T01:45", "2026-04-04T14:45"),            # twice; the first is at +11:00
    (TROLL, "2026-03-29T01:30", "2026-03-29T01:30"),                # of two hours: 03:30
    (TROLL, "2026-10-25T01:30", "2026-10-24T23:30"),                # twice, two hours apart
    ("Pacific/Apia", "2011-12-30T09:00", "2011-12-30T19:00"),       # a day that was skipped
    ("America/Santiago", "2026-09-06T00:00", "2026-09-06T04:00"),   # no midnight
])
def test_a_clock_time_that_does_not_exist_moves_forward_by_the_gap(zone: str, wall: str, found: str) -> None:
    assert localise(datetime.fromisoformat(wall), ZoneInfo(zone)) == at(found)


@pytest.mark.parametrize("zone", ["Europe/Nowhere", "", "../etc", "Europe", "localtime", "right/UTC", "a\0"])
def test_an_unknown_zone_is_refused(zone: str) -> None:
    with pytest.raises(ValueError, match="zone"):
        zone_named(zone)


def test_an_instant_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no zone"):
        bounded(datetime(2026, 1, 1))  # noqa: DTZ001 - the point of the test


@pytest.mark.parametrize("zone", [BERLIN, "Pacific/Kiritimati", "Pacific/Niue"])
@pytest.mark.parametrize("sign", [1, -1])
def test_dates_written_for_never_end_nothing(zone: str, sign: int) -> None:
    day, edge = (date.max, LATEST) if sign > 0 else (date.min, EARLIEST)
    assert localise(datetime.combine(day, datetime.min.time()), ZoneInfo(zone)) == edge
    for period in (Period(days=DAYS_AT_MOST), Period(hours=DAYS_AT_MOST * 24)):
        assert period.add(edge, ZoneInfo(zone), 1 if sign > 0 else -1) == edge
    assert OFFICE.add_working(edge, sign * 2_630_880) == edge
    assert OFFICE.next_working(LATEST) == LATEST
    assert EARLIEST < OFFICE.next_working(EARLIEST) < EARLIEST + 40 * DAY
    assert OFFICE.shift_working_days(day, sign) == edge.date() - sign * 28 * DAY


# ------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(("intervals", "why"), [
    (["14:00-18:00", "09:00-12:00"], "starts before"),
    (["09:00-12:00", "11:59-18:00"], "starts before"),
    (["09:00-09:00"], "does not end after it starts"),
    (["22:00-06:00"], "written as two"),
    (["9:00-12:00"], "pattern"),
    (["09:00-24:01"], "pattern"),
    (["24:00-24:00"], "pattern"),
    (["09:00"], "pattern"),
    (["٠٩:00-12:00"], "pattern"),
])
def test_intervals_are_in_order_and_do_not_overlap(intervals: list[str], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Calendar(zone="UTC", week={"mon": intervals})
    with pytest.raises(ValidationError, match=why):
        Calendar(zone="UTC", week={"mon": HOURS}, exceptions={date(2026, 1, 5): intervals})


def test_intervals_may_touch_and_end_at_24() -> None:
    calendar = Calendar(zone="UTC", week={"mon": ["00:00-12:00", "12:00-24:00"], "tue": ["00:00-06:00"]})
    assert calendar.add_working(at("2026-01-05T23:00"), 120) == at("2026-01-06T01:00")
    assert calendar.spans(date(2026, 1, 5)) == [(at("2026-01-05"), at("2026-01-06"))]


def test_an_interval_may_be_given_as_a_pair() -> None:
    written = '{"zone": "UTC", "week": {"mon": [["09:00", "12:00"]]}, "exceptions": {"2026-01-05": []}}'
    calendar = Calendar.model_validate_json(written)
    assert calendar.week == {"mon": ["09:00-12:00"]}
    assert Calendar.model_validate_json(calendar.model_dump_json()) == calendar


@pytest.mark.parametrize("wrong", [
    '{"zone": "Mars/Base", "week": {"mon": ["09:00-12:00"]}}',
    '{"zone": "UTC", "week": {"monday": ["09:00-12:00"]}}',
    '{"zone": "UTC", "week": {"mon": ["09:00-12:00"]}, "holiday": []}', '{"zone": "UTC"}',
])
def test_what_a_calendar_does_not_know_is_refused(wrong: str) -> None:
    with pytest.raises(ValidationError):
        Calendar.model_validate_json(wrong)


def closed(number: int, *, start: date = date(2026, 1, 1)) -> list[date]:
    return [start + n * DAY for n in range(number)]


def test_a_calendar_without_working_time_in_a_year_is_refused() -> None:
    with pytest.raises(ValidationError, match="every day of the week is free"):
        Calendar(zone="UTC", week={"mon": []}, exceptions={date(2026, 1, 5): HOURS})
    everyday = dict.fromkeys(WEEKDAYS, HOURS)
    with pytest.raises(ValidationError, match="none after 2025-12-31"):
        Calendar(zone="UTC", week=everyday, holidays=closed(365))
    with pytest.raises(ValidationError, match="none after"):
        Calendar(zone="UTC", week={"mon": HOURS}, holidays=closed(365))
    with pytest.raises(ValidationError, match="none after"):
        Calendar(zone="UTC", week=everyday, exceptions={day: [] for day in closed(400)})
    Calendar(zone="UTC", week=everyday, holidays=closed(364))
    Calendar(zone="UTC", week=everyday, holidays=closed(800), exceptions={
        date(2026, 6, 1): HOURS, date(2027, 3, 1): HOURS, date(2027, 12, 1): HOURS})
    Calendar(zone="UTC", week=everyday, holidays=[date.min, date.max])


# ------------------------------------------------------------------------------------------- counting


@pytest.mark.parametrize(("instant", "moved"), [
    ("2026-01-05T08:59:59.999999", "2026-01-05T09:00"),
    ("2026-01-05T09:00", "2026-01-05T09:00"),
    ("2026-01-05T10:11:12.131415", "2026-01-05T10:11:12.131415"),
    ("2026-01-05T12:00", "2026-01-05T12:00"),
    ("2026-01-05T12:00:00.000001", "2026-01-05T14:00"),
    ("2026-01-05T18:00", "2026-01-05T18:00"),
    ("2026-01-05T18:00:00.000001", "2026-01-06T09:00"),
    ("2026-01-10T12:00", "2026-01-12T09:00"),
])
def test_both_ends_of_an_interval_belong_to_it(instant: str, moved: str) -> None:
    assert OFFICE.next_working(at(instant)) == at(moved)


@pytest.mark.parametrize(("start", "minutes", "end"), [
    ("2026-01-09T17:00", 120, "2026-01-12T10:00"),
    ("2026-01-09T16:00", 120, "2026-01-09T18:00"),
    ("2026-01-09T11:00", 120, "2026-01-09T15:00"),
    ("2026-01-09T12:00", 1, "2026-01-09T14:01"),
    ("2026-01-09T18:00", 60, "2026-01-12T10:00"),
    ("2026-01-10T12:00", 60, "2026-01-12T10:00"),
    ("2026-01-10T12:00", 0, "2026-01-12T09:00"),
    ("2026-01-09T18:00", 0, "2026-01-09T18:00"),
    ("2026-01-05T09:00", 7 * 60 * 5, "2026-01-09T18:00"),           # to the end, not the next start
    ("2026-01-05T09:00", 7 * 60 * 5 + 1, "2026-01-12T09:01"),
    ("2026-01-05T09:00", 7 * 60 * 50, "2026-03-13T18:00"),
    ("2026-01-09T17:00:00.000007", 120, "2026-01-12T10:00:00.000007"),
    ("2026-01-12T10:00", -120, "2026-01-09T17:00"),
    ("2026-01-12T10:00", -60, "2026-01-12T09:00"),
    ("2026-01-12T09:00", -60, "2026-01-09T17:00"),
    ("2026-01-10T12:00", -60, "2026-01-09T17:00"),
    ("2026-01-12T14:00", -180, "2026-01-12T09:00"),
    ("2026-03-13T18:00", -7 * 60 * 50, "2026-01-05T09:00"),
])
def test_only_working_time_is_counted(start: str, minutes: int, end: str) -> None:
    assert OFFICE.add_working(at(start), minutes) == at(end)


@pytest.mark.parametrize(("day", "number", "shifted"), [
    ("2026-01-09", 1, "2026-01-12"), ("2026-01-10", 1, "2026-01-12"), ("2026-01-12", -1, "2026-01-09"),
    ("2026-01-11", -1, "2026-01-09"), ("2026-01-10", 0, "2026-01-10"), ("2026-01-05", 1827, "2033-01-05"),
    ("2033-01-05", -1827, "2026-01-05"),
])
def test_day_1_is_the_first_working_day_after_or_before(day: str, number: int, shifted: str) -> None:
    assert OFFICE.shift_working_days(date.fromisoformat(day), number) == date.fromisoformat(shifted)


def test_holidays_are_free_and_exceptions_come_before_both_week_and_holidays() -> None:
    calendar = Calendar(
        zone="UTC", week=OFFICE.week, holidays=[date(2026, 1, 6), date(2026, 1, 7)],
        exceptions={date(2026, 1, 7): ["10:00-11:00"], date(2026, 1, 8): [],
                    date(2026, 1, 10): ["20:00-24:00"]})
    working = [date(2026, 1, day) for day in range(5, 13) if calendar.is_working_day(date(2026, 1, day))]
    assert [day.day for day in working] == [5, 7, 9, 10, 12]
    assert calendar.add_working(at("2026-01-05T17:00"), 120) == at("2026-01-07T11:00")
    assert calendar.add_working(at("2026-01-09T18:00"), 241) == at("2026-01-12T09:01")
    assert calendar.add_working(at("2026-01-12T09:00"), -241) == at("2026-01-09T17:59")
    assert calendar.shift_working_days(date(2026, 1, 5), 2) == date(2026, 1, 9)


def test_a_working_night_has_the_hours_that_really_pass() -> None:
    night = nights(BERLIN, "00:00-06:00")
    assert night.add_working(at("2026-03-29T00:00", BERLIN), 5 * 60) == at("2026-03-29T06:00", BERLIN)
    assert night.add_working(at("2026-10-25T00:00", BERLIN), 7 * 60) == at("2026-10-25T06:00", BERLIN)
    assert night.add_working(at("2026-03-30T06:00", BERLIN), -11 * 60) == at("2026-03-29T00:00", BERLIN)


@pytest.mark.parametrize(("zone", "day", "intervals", "spans"), [
    (BERLIN, "2026-03-29", ["02:00-03:00"], []),                                # does not take place
    (BERLIN, "2026-03-29", ["02:15-02:45"], [("01:15", "01:45")]),              # moves forward by the gap
    (BERLIN, "2026-03-29", ["02:15-02:45", "03:00-04:00"], [("01:00", "02:00")]),
    (BERLIN, "2026-10-25", ["02:15-02:45", "03:00-04:00"], [("00:15", "00:45"), ("02:00", "03:00")]),
    (BERLIN, "2026-10-25", ["02:30-03:00"], [("00:30", "02:00")]),
    (LORD_HOWE, "2026-10-04", ["01:00-03:00"], [("2026-10-03T14:30", "2026-10-03T16:00")]),
    (TROLL, "2026-10-25", ["00:00-03:00"], [("2026-10-24T22:00", "2026-10-25T03:00")]),
    ("Pacific/Apia", "2011-12-30", ["09:00-17:00"], []),                        # a day that was skipped
])
def test_intervals_in_the_night_of_a_change_of_clocks(
    zone: str, day: str, intervals: list[str], spans: list[tuple[str, str]],
) -> None:
    found = nights(zone, *intervals).spans(date.fromisoformat(day))
    assert found == [tuple(at(end if "T" in end else f"{day}T{end}") for end in span) for span in spans]


def test_five_years_of_minutes_are_counted_without_counting_minutes() -> None:
    calendar = Calendar(zone=BERLIN, week=OFFICE.week, holidays=[date(2030, 1, 1)])
    start, minutes = at("2026-01-05T09:00", BERLIN), DAYS_AT_MOST * 24 * 60
    end = calendar.add_working(start, minutes)
    assert end == at("2050-01-07T18:00", BERLIN)     # 1252 weeks, four days, and one for the holiday
    assert calendar.add_working(end, -minutes) == start


# ----------------------------------------------------------------------------------------- properties


def clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


@st.composite
def intervals(draw: st.DrawFn) -> list[str]:
    ends = sorted(draw(st.sets(st.integers(0, 96).map(lambda quarter: quarter * 15), max_size=6)))
    return [f"{clock(a)}-{clock(b)}" for a, b in zip(ends[::2], ends[1::2], strict=False)]


@st.composite
def calendars(draw: st.DrawFn) -> Calendar:
    """Any calendar with some time on Wednesdays, of any zone, with special days around the instants drawn."""
    special = st.dates(date(1950, 1, 1), date(2060, 1, 1))
    return Calendar(
        zone=draw(st.sampled_from(ZONES)),
        week={day: draw(intervals()) for day in WEEKDAYS} | {"wed": ["08:00-17:30"]},
        holidays=draw(st.lists(special, max_size=3)),
        exceptions=draw(st.dictionaries(special, intervals(), max_size=3)))


INSTANTS = st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def day_by_day(calendar: Calendar, start: date, days: int) -> list[Span]:
    return [span for n in range(days) for span in calendar.spans(start + n * DAY)]


@settings(deadline=None)
@given(calendars(), INSTANTS, INSTANTS)
def test_the_next_working_instant_is_working_and_never_earlier_for_a_later_one(
    calendar: Calendar, one: datetime, other: datetime,
) -> None:
    one, other = sorted((one, other))
    moved = calendar.next_working(one)
    assert one <= moved <= calendar.next_working(other)
    assert calendar.next_working(moved) == moved
    near = day_by_day(calendar, moved.date() - 2 * DAY, 5)
    assert any(start <= moved <= end for start, end in near)
    assert not any(one <= end and start < moved for start, end in near if end < moved)


@settings(deadline=None)
@given(calendars(), INSTANTS, st.integers(1, 60 * 24 * 400))
def test_counting_is_the_same_as_adding_up_the_days(
    calendar: Calendar, start: datetime, minutes: int,
) -> None:
    end = calendar.add_working(start, minutes)
    assert calendar.next_working(end) == end
    worked = timedelta()
    day, last = start.date() - 2 * DAY, end.date() + 2 * DAY
    for low, high in day_by_day(calendar, day, (last - day).days):
        worked += max(min(high, end) - max(low, start), timedelta())
    assert worked == minutes * MINUTE
    assert calendar.add_working(start, minutes + 1) > end
    back = calendar.add_working(end, -minutes)
    assert start <= back                         # the nearest such instant, so not before the start
    assert calendar.add_working(back, minutes) == end


@settings(deadline=None)
@given(st.sampled_from(ZONES), st.integers(1990, 2040), st.integers(-3, 3), intervals().filter(bool))
def test_no_change_of_the_clock_breaks_a_calendar(
    zone: str, year: int, minutes: int, each: list[str],
) -> None:
    calendar, tz = nights(zone, *each), ZoneInfo(zone)
    days = [date(year, 1, 1) + n * DAY for n in range(366)]
    offsets = [datetime.combine(day, datetime.min.time(), tz).utcoffset() for day in days]
    for before, after, day in zip(offsets, offsets[1:], days, strict=False):
        if before == after:
            continue
        spans = day_by_day(calendar, day - DAY, 4)
        ends = [end for span in spans for end in span]
        assert ends == sorted(ends)
        for hour in range(-4, 30):
            instant = datetime.combine(day, datetime.min.time(), UTC) + timedelta(hours=hour)
            assert calendar.next_working(instant) <= calendar.next_working(instant + MINUTE)
            moved = calendar.add_working(instant, minutes)
            assert calendar.next_working(moved) == moved
            assert moved <= calendar.add_working(instant + MINUTE, minutes)
