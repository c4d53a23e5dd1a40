"""The first time at which all are free: beside a search that tries every minute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from domain.calendar import Calendar
from domain.free_time import first_free

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
OFFICE = Calendar.model_validate(
    {"zone": "Europe/Paris", "week": {"mon": ["09:00-12:00", "14:00-18:00"], "tue": ["09:00-12:00"]}}
)
NIGHTS = Calendar.model_validate(
    {"zone": "America/New_York", "week": {"mon": ["00:00-04:00", "20:00-24:00"], "tue": ["00:00-06:00"]}}
)
NOTHING: list[tuple[datetime, datetime]] = []


def an_hour(start: datetime) -> datetime:
    return start + HOUR


def test_it_is_the_wanted_time_where_nothing_is_in_the_way() -> None:
    assert first_free(MONDAY, MONDAY, an_hour, [], NOTHING) == MONDAY
    assert first_free(MONDAY, MONDAY, an_hour, [], [(MONDAY - HOUR, MONDAY), (MONDAY + HOUR, MONDAY + DAY)])


def test_both_ends_lie_in_one_stretch_of_working_time() -> None:
    late = MONDAY + 10 * HOUR + 1 * MINUTE  # 11:01 in Paris
    assert first_free(late, late + DAY, an_hour, [OFFICE], NOTHING) == MONDAY + 13 * HOUR
    assert first_free(late - MINUTE, late + DAY, an_hour, [OFFICE], NOTHING) == late - MINUTE
    assert first_free(late, late + HOUR, an_hour, [OFFICE], NOTHING) is None


def test_working_time_goes_on_over_midnight() -> None:
    start = MONDAY + timedelta(hours=28)  # 23:00 in New York
    assert first_free(start, start, lambda at: at + 6 * HOUR, [NIGHTS], NOTHING) == start


def test_the_last_start_is_one_too_but_none_after_it() -> None:
    taken = [(MONDAY, MONDAY + HOUR)]
    assert first_free(MONDAY, MONDAY + HOUR, an_hour, [], taken) == MONDAY + HOUR
    assert first_free(MONDAY, MONDAY + HOUR - MINUTE, an_hour, [], taken) is None


spans = st.tuples(st.integers(0, 3 * 24), st.integers(1, 30)).map(
    lambda pair: (MONDAY + pair[0] * HOUR, MONDAY + (pair[0] + pair[1]) * HOUR)
)


@given(
    taken=st.lists(spans, max_size=12),
    calendars=st.lists(st.sampled_from([OFFICE, NIGHTS]), max_size=2),
    hours=st.integers(1, 5),
    wanted=st.integers(0, 48),
)
def test_it_is_what_trying_every_hour_finds(
    taken: list[tuple[datetime, datetime]], calendars: list[Calendar], hours: int, wanted: int
) -> None:
    def worked(calendar: Calendar, low: datetime) -> bool:
        day = low.date()
        within = [s for n in (-1, 0, 1) for s in calendar.spans(day + n * DAY)]
        steps = [low + n * timedelta(minutes=30) for n in range(2 * hours)]
        return all(any(a <= at and at + timedelta(minutes=30) <= b for a, b in within) for at in steps)

    def free(low: datetime) -> bool:
        high = low + hours * HOUR
        return all(high <= a or b <= low for a, b in taken) and all(worked(c, low) for c in calendars)

    start = MONDAY + wanted * HOUR
    expected = next((at for n in range(49) if free(at := start + n * HOUR)), None)
    found = first_free(start, start + 48 * HOUR, lambda at: at + hours * HOUR, calendars, taken)
    assert found == expected
