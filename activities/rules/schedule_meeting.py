"""`schedule_meeting`: a meeting or a call, planned on the record."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import ClassVar, Literal
from uuid import uuid4
from zoneinfo import ZoneInfo

from pydantic import JsonValue

from activities import mailboxes, meetings, recipients
from activities.act import Act
from activities.effect import Done, Effect, Header, Setting, Text
from activities.free_hour import day_start, free_hour
from activities.invitations import People
from activities.meeting_row import MeetingRow
from db.facts import EmployeeRow
from domain.errors import Refused
from domain.fields import FieldType, Problem
from domain.period import Period, localise
from domain.rule import Written
from domain.schedule import Clock, Schedule

_MINUTE = timedelta(minutes=1)


class OnDate(Written):
    """A certain day; `at` a clock time (HH:MM), else the first free working hour of that day."""

    on: date
    at: Clock | None = None


class ScheduleMeeting(Effect):
    """A meeting, or with `type: call` a call, on the record and among what its responsible has to do.

    `start` is a schedule: today, tomorrow or in so many days (`{"after": {"days": 1}}`), each at a clock time
    or at the first free working hour from then; a date field; or a certain day (`{"on": "2026-03-20"}`). A
    start that is past, or a date field that is empty, always fails. `duration` is one hour by default.
    `responsible` is an employee's id, by default the record's responsible. `participants` are `responsible`,
    `supervisor`, `everybody`, `department:<id>`, `employee:<id>`, or an address, also as a template:
    `{{ contact.email.first }}`. They are invited by e-mail, and employees find it in their calendar feeds;
    who has no address is named in the results, and the responsible is told. With `skip_absent` employees who
    are absent when it starts are left out. `subject` is by default made of client and date; `description` and
    `place` are texts (`{{ company.address }}`). `reminders` are periods before the start, at which the
    responsible and the participants who are employees are notified. `important` marks it; with
    `complete_on_exit` it counts as held once the record leaves the stage.
    """

    kind: ClassVar[str] = "schedule_meeting"
    title: ClassVar[str] = "Schedule a meeting or call"
    example: ClassVar[dict[str, JsonValue]] = {
        "start": {"after": {"days": 1}, "at": "10:00", "working_time": True},
        "place": "{{ company.address }}",
        "participants": ["supervisor", "{{ contact.email.first }}"],
        "reminders": [{"hours": 1}],
    }
    executes: ClassVar[bool] = True  # a second one of the same visit has to see that this hour is taken
    results: ClassVar[dict[str, FieldType]] = {
        "id": "number", "start": "datetime", "end": "datetime", "client_phone": "text", "invited": "text",
        "not_invited": "text",
    }  # fmt: skip
    errors: ClassVar[dict[str, str]] = {
        "start_past": "the start is past",
        "start_empty": "its date field is empty",
        "no_free_time": "within 60 days the responsible has no free working time of that length",
        "wrong_duration": "it would end after the last day of the calendar",
        "wrong_responsible": "there is no such active employee, or the record has no responsible",
    }

    type: Literal["meeting", "call"] = "meeting"
    subject: Text = ""
    description: Text = ""
    start: Schedule | OnDate = Schedule(after=Period(days=0))
    duration: Period = Period(hours=1)
    place: Text = ""
    responsible: str = "responsible"
    participants: list[Header] = []
    skip_absent: bool = False
    important: bool = False
    complete_on_exit: bool = False
    reminders: list[Period] = []

    async def apply(self, act: Act) -> Done:
        person = await recipients.employee(act.locked, self.responsible, act.now)
        if person is None:
            raise Refused("wrong_responsible", f"{self.responsible!r} is no active employee")
        zone = ZoneInfo(act.locked.zone)
        start = await self._start(act, person, zone)
        people, missing = await self._people(act, person, start)
        end = self.duration.add(start, zone)
        meetings.check_times(start, end, act.now)
        subject = act.text(self.subject, "header") or meetings.default_subject(act.locked, self.type, start)
        meeting = MeetingRow(
            id=await act.id_for("meeting"), record_id=act.record.id, visit_no=act.visit_no, rule=act.rule.id,
            type=self.type, subject=subject, description=act.text(self.description).strip(),
            place=act.text(self.place, "header"), starts_at=start, ends_at=end, responsible_id=person.id,
            participants=[p.id for p in people.participants], guests=[*people.guests],
            important=self.important, complete_on_exit=self.complete_on_exit,
            reminders=self._minutes(start, zone), client_phone=meetings.client_phone(act.locked),
            uid=f"{uuid4()}@{act.mail.domain}", created_at=act.now, created_by=act.author, changed_at=act.now,
        )  # fmt: skip
        rows = meetings.plan(meeting, people, act.mail, zone.key)
        if missing:
            rows += meetings.notice(meeting, missing, act.now)
        results: dict[str, JsonValue] = {
            "id": meeting.id, "start": start.isoformat(), "end": end.isoformat(),
            "client_phone": meeting.client_phone, "invited": [b.address for b in people.boxes.values()],
            "not_invited": [*people.missing, *missing],
        }  # fmt: skip
        return Done(results, tuple(rows))

    # -- when ----------------------------------------------------------------------------------
    async def _start(self, act: Act, person: EmployeeRow, zone: ZoneInfo) -> datetime:
        wanted, exact = await self._wanted(act, zone)
        if exact:
            return wanted
        if wanted < act.now and wanted < day_start(act.now, zone):
            raise Refused("start_past", f"the day, {wanted.astimezone(zone):%Y-%m-%d}, is past")
        wanted = max(wanted, act.now)
        found = await free_hour(act.locked, person, wanted, self.duration.add(wanted, zone) - wanted)
        if found is None:
            raise Refused("no_free_time", f"{person.name} has no free time of that length within 60 days")
        return found

    async def _wanted(self, act: Act, zone: ZoneInfo) -> tuple[datetime, bool]:
        """The instant (UTC) written, and whether it is meant to the minute or a free time is to be found."""
        if isinstance(self.start, OnDate):
            clock = time.fromisoformat(self.start.at) if self.start.at else time.min
            return localise(datetime.combine(self.start.on, clock), zone), self.start.at is not None
        at, basis = await act.at(self.start), self.start.basis
        if at is None:
            raise Refused("start_empty", f"{basis} is empty")
        offset = self.start.offset
        if self.start.at or (offset and offset.days is None and basis != "now"):
            return at, True
        if basis != "now":
            return at, isinstance(act.values[basis], datetime)
        in_days = offset is not None and offset.days is not None
        return day_start(at, zone) if in_days else at, False

    def _minutes(self, start: datetime, zone: ZoneInfo) -> list[int]:
        """The reminders in minutes before the start, each once, the earliest first."""
        return sorted({(start - r.add(start, zone, -1)) // _MINUTE for r in self.reminders}, reverse=True)

    # -- who -----------------------------------------------------------------------------------
    async def _people(self, act: Act, responsible: EmployeeRow, start: datetime) -> tuple[People, list[str]]:
        """The people of the meeting, and what was written in place of an address and is none."""
        words = [word for word in self.participants if not recipients.raw(word)]
        found = await recipients.addressed(act, words, start, skip_absent=self.skip_absent)
        guests: dict[str, str] = {}
        missing: list[str] = []
        for word in filter(recipients.raw, self.participants):
            for box in mailboxes.of_entry(act, word):
                if isinstance(box, str):
                    missing.append(box)
                else:
                    guests.setdefault(box.address.lower(), box.address)
        return People(responsible, found, list(guests.values())), list(dict.fromkeys(missing))

    def problems(self, setting: Setting) -> Iterator[Problem]:
        yield from recipients.employee_problems(self.responsible, setting, "/responsible")
        if not self.duration.span:
            yield Problem(place="/duration", message="a meeting takes time")
        gone = setting.now and setting.now.date() - timedelta(days=1)  # in whatever zone it is meant
        if isinstance(self.start, OnDate) and gone and self.start.on < gone:
            yield Problem(place="/start/on", message=f"{self.start.on} is past")
        if self.participants:
            yield from mailboxes.problems(self.participants, setting, "/participants")
