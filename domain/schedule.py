"""When a step is due: basis, offset, clock time, working time, on duty, in this order."""

from __future__ import annotations

import hashlib
import re
from datetime import date, datetime, time, timedelta
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from domain.calendar import Calendar
from domain.period import Period, ZoneName, bounded, localise, zone_named

Basis = Annotated[str, StringConstraints(pattern=r"^(now|(record|contact|company)\.[a-z][a-z0-9_]{0,62})$")]
Clock = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
IfPast = Literal["run_now", "skip", "fail"]
IfEmpty = Literal["wait_for_value", "skip", "run_now", "fail"]
Verdict = Literal["armed", "skip", "fail", "wait_for_value"]
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class _Written(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DropIfLate(_Written):
    """Overdue by more than this at its release, a step is skipped as `too_late`."""

    drop_if_late: Period


class SpreadOver(_Written):
    """Steps overdue at their release act spread evenly over this period."""

    spread_over: Period


CatchUp = Literal["run"] | DropIfLate | SpreadOver


class Schedule(_Written):
    """When a step acts, a hold ends, or a control is late.

    `basis` is `now` (the step's turn) or a date field, `record.due_on`. `after` or `before` is the offset.
    `at` sets the clock time of the resulting day; with basis `now` and no offset it is the next such time.
    With `working_time` only working days, or working minutes, count. With `on_duty` it waits until the
    responsible is not absent, but no longer than `on_duty_cap`.
    """

    basis: Basis = "now"
    after: Period | None = None
    before: Period | None = None
    at: Annotated[Clock | None, Field(description="HH:MM in the zone that applies")] = None
    working_time: bool = False
    on_duty: bool = False
    on_duty_cap: Period = Period(days=5)
    if_past: IfPast = "run_now"
    if_empty: IfEmpty = "wait_for_value"
    catch_up: CatchUp = "run"

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.after and self.before:
            raise ValueError("an offset is either after or before, not both")
        if self.at and self.offset and self.offset.days is None:
            raise ValueError("`at` goes with an offset in days, or with none")
        return self

    @property
    def offset(self) -> Period | None:
        return self.after or self.before

    @property
    def immediate(self) -> bool:
        """Whether it is due the moment its turn comes."""
        return not self.needs_facts and self.offset is None

    @property
    def needs_facts(self) -> bool:
        """Whether more than the turn decides: a field, a zone, a calendar or an absence."""
        in_days = self.offset is not None and self.offset.days is not None
        return self.basis != "now" or in_days or bool(self.at) or self.working_time or self.on_duty

    @property
    def reads(self) -> frozenset[str]:
        """The facts it follows: its date field, `zone`, `calendar`, `absence`, and with these `responsible`.

        The responsible decides which zone, calendar and absences apply. A date field needs the zone
        because a bare date is its 00:00.
        """
        if not self.needs_facts:
            return frozenset()
        found = {"responsible"} | ({self.basis} - {"now"})
        found |= {"absence"} if self.on_duty else set()
        return frozenset(found | ({"calendar"} if self.working_time else {"zone"}))


def _readable(value: object) -> object:
    """An unreadable date counts as an empty one: `if_empty` decides."""
    if isinstance(value, str):
        try:
            return date.fromisoformat(value) if _DATE.fullmatch(value) else datetime.fromisoformat(value)
        except ValueError:
            return None
    return value if isinstance(value, date) else None


class ScheduleFacts(_Written):
    """What a due time is computed from, besides the schedule and the turn.

    `zone` applies without `working_time`. `calendar` is the responsible's, else the pipeline's, else the
    company's; without any, all time is working time. `value` is that of the field named by the basis: an
    instant, a clock time of the zone, or a bare date, as such or written in ISO 8601; anything else counts as
    empty. An absence of the responsible runs from its first instant up to, and without, its second. `jitter`
    is the most seconds a due time is put off by.
    """

    zone: ZoneName
    calendar: Calendar | None = None
    value: Annotated[datetime | date | None, BeforeValidator(_readable)] = None
    absences: list[tuple[AwareDatetime, AwareDatetime]] = []
    jitter: Annotated[int, Field(ge=0)] = 0


class Due(_Written):
    """When a step is due (UTC, and the zone it was computed in), or why it is not."""

    at: AwareDatetime | None = None
    zone: ZoneName = "UTC"
    verdict: Verdict = "armed"
    reason: Literal["", "if_past", "if_empty", "operator", "error"] = ""


def due(
    schedule: Schedule, turn: datetime, since: datetime, facts: ScheduleFacts, key: str = "",
) -> Due:
    """The due time of a step that has not acted, or of the end of a hold as it opens.

    `turn`: when the step's turn came, the basis for `now`. `since`: what *past* is measured against, the
    turn itself or the later change of fact, or publication, that moved the step. `key`
    (`<workflow id>/<rule id>`) decides its place in the jitter. A step that runs now is due at `since`.
    """
    since = bounded(since)
    calendar = _calendar(schedule, facts)
    zone = calendar.zone if calendar else facts.zone
    at = instant(schedule, turn, facts, key)
    if at is not None and at >= since:
        return Due(at=at, zone=zone)
    policy: IfEmpty = schedule.if_empty if at is None else schedule.if_past
    if policy == "run_now":
        return Due(at=since, zone=zone)
    return Due(at=None, zone=zone, verdict=policy, reason="if_empty" if at is None else "if_past")


def instant(schedule: Schedule, basis: datetime, facts: ScheduleFacts, key: str = "") -> datetime | None:
    """The instant (UTC) a schedule leads to, be it past or not; None while its date field is empty.

    `basis`: the instant `now` stands for. This is how the end of an open hold follows its facts.
    """
    calendar = _calendar(schedule, facts)
    zone = zone_named(calendar.zone if calendar else facts.zone)
    start = bounded(basis) if schedule.basis == "now" else _read(facts.value, zone)
    if start is None:
        return None
    at = _set_clock(schedule, _offset(schedule, start, zone, calendar), zone)
    if calendar:
        at = calendar.next_working(at)
    if schedule.on_duty:
        at = _on_duty(at, schedule.on_duty_cap.add(at, zone), facts, calendar)
    if facts.jitter and schedule.needs_facts:
        at = _with_jitter(at, timedelta(seconds=facts.jitter) * share(key), calendar)
    return at


def catch_up_at(catch_up: CatchUp, due: datetime, release: datetime, key: str) -> datetime | None:
    """When a step acts (UTC) that was held up past its due time until `release`; None if it is dropped.

    `key` is `<workflow id>/<rule id>`. The periods are lengths of time, a day being 24 hours. A step that
    is not overdue at its release keeps its time.
    """
    due, release = bounded(due), bounded(release)
    if release <= due:
        return due
    match catch_up:
        case DropIfLate(drop_if_late=period):
            return None if release - due > period.span else release
        case SpreadOver(spread_over=period):
            return bounded(release + period.span * share(key))
    return release


def share(key: str) -> float:
    """A number from 0 up to, and without, 1 that the key decides: 32 bits of its SHA-256, so exact."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") / 2**32


def _calendar(schedule: Schedule, facts: ScheduleFacts) -> Calendar | None:
    return facts.calendar if schedule.working_time else None


def _read(value: datetime | date | None, zone: ZoneInfo) -> datetime | None:
    if value is None:
        return None
    if not isinstance(value, datetime):
        return localise(datetime.combine(value, time.min), zone)
    return bounded(value) if value.tzinfo else localise(value, zone)


def _offset(schedule: Schedule, start: datetime, zone: ZoneInfo, calendar: Calendar | None) -> datetime:
    period, sign = schedule.offset, -1 if schedule.before else 1
    if period is None:
        return start
    if calendar is None:
        return period.add(start, zone, 1 if sign > 0 else -1)
    if period.days is None:
        return calendar.add_working(start, sign * (period.span // timedelta(minutes=1)))
    if not period.days:
        return start
    wall = start.astimezone(zone).replace(tzinfo=None)
    day = calendar.shift_working_days(wall.date(), sign * period.days)
    return localise(datetime.combine(day, wall.time()), zone)


def _set_clock(schedule: Schedule, at: datetime, zone: ZoneInfo) -> datetime:
    if schedule.at is None:
        return at
    day, clock = at.astimezone(zone).date(), time.fromisoformat(schedule.at)
    if schedule.basis != "now" or schedule.offset:
        return localise(datetime.combine(day, clock), zone)
    near = (localise(datetime.combine(day + timedelta(days=n), clock), zone) for n in (-1, 0, 1, 2))
    return min((candidate for candidate in near if candidate >= at), default=at)


def _on_duty(at: datetime, latest: datetime, facts: ScheduleFacts, calendar: Calendar | None) -> datetime:
    """Waits for the end of every absence it meets, and for working time again, so that both hold."""
    while at < latest:
        ends = [bounded(end) for start, end in facts.absences if start <= at < end]
        if not ends:
            break
        at = min(max(ends), latest)
        if calendar:
            at = calendar.next_working(at)
    return at


def _with_jitter(at: datetime, jitter: timedelta, calendar: Calendar | None) -> datetime:
    later = bounded(at + jitter)
    return later if calendar is None or calendar.next_working(later) == later else at
