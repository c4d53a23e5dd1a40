"""Invitations to a meeting as e-mails: who is asked, who is told that it is off, and how each reads."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import BigInteger, bindparam, text

from activities.act import MailIdentity
from activities.meeting_row import MeetingRow
from activities.message_ids import message_id
from activities.providers import itip
from activities.providers.mime import CalendarPart, Envelope, Mailbox, build, mailbox, one_line
from db.engine import Transaction
from db.facts import EmployeeRow
from db.rows import Rows


class People(NamedTuple):
    """Who holds the meeting, the employees beside, and the addresses of others."""

    responsible: EmployeeRow
    participants: Sequence[EmployeeRow] = ()
    guests: Sequence[str] = ()

    @property
    def boxes(self) -> dict[str, Mailbox]:
        """Who is invited by e-mail, by the address in lower case; not who only holds the meeting."""
        found = [_box(person) for person in self.participants]
        found += [mailbox(address) for address in self.guests]
        once: dict[str, Mailbox] = {}
        for box in filter(None, found):
            once.setdefault(box.address.lower(), box)
        return once

    @property
    def missing(self) -> list[str]:
        """The names of the employees who have no address to be invited under."""
        return [person.name for person in self.participants if _box(person) is None]


class Letters:
    """Makes the e-mails about one revision of a meeting. `zone` is where its times are read."""

    def __init__(
        self, meeting: MeetingRow, people: People, mail: MailIdentity, zone: str, at: datetime
    ) -> None:
        self._meeting, self._mail, self._zone, self._at = meeting, mail, ZoneInfo(zone), at
        self._chair = _box(people.responsible)
        self._organizer = Mailbox(mailbox(mail.sender).address, one_line(people.responsible.name))
        self._rows: list[dict[str, object]] = []

    def invite(self, boxes: Sequence[Mailbox]) -> None:
        """Ask all of them; they see each other."""
        self._write("REQUEST", boxes, boxes)

    def call_off(self, boxes: Sequence[Mailbox]) -> None:
        """Tell each that the meeting is not for them any more."""
        for box in boxes:
            self._write("CANCEL", [box], [box])

    @property
    def rows(self) -> list[Rows]:
        """What is to be written: the postman takes it from there."""
        return [Rows("invitation", self._rows)] if self._rows else []

    def _write(self, method: itip.Method, to: Sequence[Mailbox], invited: Sequence[Mailbox]) -> None:
        meeting, chair = self._meeting, self._chair
        among = {box.address.lower() for box in invited} | {self._organizer.address.lower()}
        if chair and chair.address.lower() in among:
            chair = None
        content = itip.message(method, entry(meeting), self._organizer, chair, invited)
        about = "Cancelled" if method == "CANCEL" else "Changed" if meeting.sequence else "Invitation"
        for box in to:
            key = f"meeting.{meeting.id}.{meeting.sequence}.{len(self._rows)}"
            own_id = message_id(self._mail.reply_secret, key, self._mail.domain)
            letter = build(
                own_id, self._at, Envelope(self._organizer, [box]), f"{about}: {meeting.subject}",
                self._text(), "", CalendarPart(method, content),
            )  # fmt: skip
            row: dict[str, object] = {
                "meeting_id": meeting.id, "sequence": meeting.sequence, "method": method,
                "recipient": box.address, "message_id": own_id, "content": f"\\x{letter.hex()}",
                "state": "queued", "next_attempt_at": self._at, "created_at": self._at,
            }  # fmt: skip
            self._rows.append(row)

    def _text(self) -> str:
        meeting = self._meeting
        start, end = (at.astimezone(self._zone) for at in (meeting.starts_at, meeting.ends_at))
        until = f"{end:%H:%M}" if end.date() == start.date() else f"{end:%Y-%m-%d %H:%M}"
        lines = [meeting.subject, "", f"When: {start:%Y-%m-%d %H:%M} - {until} ({self._zone.key})"]
        lines += [f"Where: {meeting.place}"] if meeting.place else []
        lines += ["", meeting.description] if meeting.description else []
        return "\n".join(lines) + "\n"


def entry(meeting: MeetingRow) -> itip.Entry:
    """The meeting as calendars show it."""
    return itip.Entry(
        uid=meeting.uid, sequence=meeting.sequence, summary=meeting.subject, starts_at=meeting.starts_at,
        ends_at=meeting.ends_at, changed_at=meeting.changed_at, description=meeting.description,
        place=meeting.place, important=meeting.important, reminders=meeting.reminders,
    )  # fmt: skip


async def invited(tx: Transaction, meeting_id: int) -> dict[str, Mailbox]:
    """Who was invited and not told that it is off, by the address in lower case."""
    found = await tx.execute(_INVITED, {"id": meeting_id})
    return {row.recipient.lower(): Mailbox(row.recipient) for row in found if row.method == "REQUEST"}


def _box(person: EmployeeRow) -> Mailbox | None:
    try:
        return mailbox(person.email)._replace(name=one_line(person.name))
    except ValueError:
        return None


_INVITED = text("""
select distinct on (lower(recipient)) recipient, method from invitation where meeting_id = :id
order by lower(recipient), sequence desc
""").bindparams(bindparam("id", type_=BigInteger))
