"""Meetings as calendars read them: invitations (RFC 5545, 5546) and the feed of an employee.

Times are in UTC, which every calendar shows in its own zone, so that no VTIMEZONE has to be carried along.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple

from icalendar import Alarm, Calendar, Event, vCalAddress, vText

from activities.providers.mime import Mailbox, in_ascii_domain, one_line

Method = Literal["REQUEST", "CANCEL"]
_PRODUCT: Final = "-//Jalon//Jalon//EN"
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")  # RFC 5545, 3.1: no text has them
_REFRESH: Final = timedelta(minutes=15)


class Entry(NamedTuple):
    """One entry of a calendar. `changed_at` is when it last changed; `reminders` are minutes before."""

    uid: str
    sequence: int
    summary: str
    starts_at: datetime
    ends_at: datetime
    changed_at: datetime
    description: str = ""
    place: str = ""
    important: bool = False
    reminders: Sequence[int] = ()


def message(
    method: Method, entry: Entry, organizer: Mailbox, chair: Mailbox | None, invited: Sequence[Mailbox]
) -> str:
    """The iTIP message that asks for the presence of the `invited`, or says that it is not wanted any more.

    With CANCEL these are who is no longer invited (RFC 5546, 3.2.5). The organizer is whom calendars answer
    to; the `chair` is who holds the meeting, and needs no invitation.
    """
    calendar = _calendar(method)
    event = _event(entry)
    event.add("status", "CANCELLED" if method == "CANCEL" else "CONFIRMED")
    event.add("organizer", _person(organizer))
    if chair and method == "REQUEST":
        event.add("attendee", _attendee(chair, "CHAIR", "ACCEPTED"))
    for box in invited:
        event.add("attendee", _attendee(box, "REQ-PARTICIPANT", "NEEDS-ACTION"))
    if method == "REQUEST":
        _remind(event, entry)
    calendar.add_component(event)
    return str(calendar.to_ical().decode())


def feed(name: str, entries: Iterable[Entry]) -> bytes:
    """A calendar to subscribe to. It is the same to the byte as long as its entries are."""
    calendar = _calendar("PUBLISH")
    calendar.add("x-wr-calname", _text(name))
    calendar.add("x-published-ttl", "PT15M")
    calendar.add("refresh-interval", _REFRESH, parameters={"VALUE": "DURATION"})  # RFC 7986, 5.7
    for entry in entries:
        event = _event(entry)
        event.add("status", "CONFIRMED")
        _remind(event, entry)
        calendar.add_component(event)
    return bytes(calendar.to_ical())


def _calendar(method: str) -> Calendar:
    calendar = Calendar()
    calendar.add("prodid", _PRODUCT)
    calendar.add("version", "2.0")
    calendar.add("calscale", "GREGORIAN")
    calendar.add("method", method)
    return calendar


def _event(entry: Entry) -> Event:
    event = Event()
    event.add("uid", entry.uid)
    event.add("sequence", entry.sequence)
    event.add("dtstamp", _second(entry.changed_at))
    event.add("last-modified", _second(entry.changed_at))
    event.add("dtstart", _second(entry.starts_at))
    event.add("dtend", _second(entry.ends_at))
    event.add("summary", _text(one_line(entry.summary)))
    for name, value in (("description", entry.description), ("location", one_line(entry.place))):
        if value:
            event.add(name, _text(value))
    if entry.important:
        event.add("priority", 1)
    event.add("transp", "OPAQUE")
    return event


def _remind(event: Event, entry: Entry) -> None:
    for minutes in entry.reminders:
        alarm = Alarm()
        alarm.add("action", "DISPLAY")
        alarm.add("description", _text(one_line(entry.summary)))
        alarm.add("trigger", -timedelta(minutes=minutes))
        event.add_component(alarm)


def _person(box: Mailbox) -> vCalAddress:
    person = vCalAddress(f"mailto:{in_ascii_domain(box.address)}")
    if name := one_line(box.name).replace('"', "'"):  # RFC 5545, 3.1: a parameter holds no quotation mark
        person.params["CN"] = vText(name)
    return person


def _attendee(box: Mailbox, role: str, status: str) -> vCalAddress:
    person = _person(box)
    person.params["CUTYPE"] = vText("INDIVIDUAL")
    person.params["ROLE"] = vText(role)
    person.params["PARTSTAT"] = vText(status)
    if status == "NEEDS-ACTION":
        person.params["RSVP"] = vText("TRUE")
    return person


def _second(at: datetime) -> datetime:
    """Calendars know no smaller unit; both ends lose the same."""
    return at.replace(microsecond=0)


def _text(text: str) -> str:
    return _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
