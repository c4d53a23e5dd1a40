"""Meetings and calls: the one way to plan, move, cancel and complete them, for rules and people.

Whoever calls has locked the record. Those invited are told by e-mails that are rows until the postman takes
them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple, TypedDict
from zoneinfo import ZoneInfo

from pydantic_core import to_json
from sqlalchemy import ARRAY, BigInteger, DateTime, String, bindparam, text

from activities.act import MailIdentity
from activities.invitations import Letters, People, invited
from activities.meeting_row import MeetingRow, read_meeting
from db.engine import Transaction
from db.facts import EmployeeRow
from db.journal import line
from db.locked import Locked
from db.records import By
from db.rows import Rows, write
from domain.errors import Refused


class Changes(TypedDict, total=False):
    """What of a meeting is to be another; what is left out stays."""

    subject: str
    description: str
    place: str
    starts_at: datetime
    ends_at: datetime
    participants: list[str]
    guests: list[str]


class Changed(NamedTuple):
    """The meeting as it is now, whether anything changed, and who could not be told, by name."""

    meeting: MeetingRow
    changed: bool = False
    missing: Sequence[str] = ()


def default_subject(locked: Locked, kind: str, at: datetime) -> str:
    """`Meeting with Clara Klein, 2026-03-05 10:00`, in the zone that applies to the record."""
    contact, company = locked.around.contact, locked.around.company
    client = f"{contact.first_name} {contact.last_name}".strip() if contact else ""
    client = client or (company.name if company else "")
    about = f"with {client}" if client else f"about {locked.record.title}"
    return f"{kind.capitalize()} {about}, {at.astimezone(ZoneInfo(locked.zone)):%Y-%m-%d %H:%M}"


def client_phone(locked: Locked) -> str:
    """The first phone number of the record's contact, else of its company; empty without any."""
    near = (locked.around.contact, locked.around.company)
    return next((number for client in near if client for number in client.phones), "")


def check_times(starts_at: datetime, ends_at: datetime, now: datetime) -> None:
    """Raises `Refused` for a start that is past and for an end that does not come after it."""
    if starts_at < now:
        raise Refused("start_past", f"the start, {starts_at.isoformat()}, is past")
    if ends_at <= starts_at:
        raise Refused("wrong_duration", "the meeting would end before it begins")


def plan(meeting: MeetingRow, people: People, mail: MailIdentity, zone: str) -> list[Rows]:
    """The rows of a new meeting, of its invitations, and of a notice about who cannot be invited."""
    letters = Letters(meeting, people, mail, zone, meeting.created_at)
    letters.invite(list(people.boxes.values()))
    row = meeting.model_dump(exclude_none=True)
    return [Rows("meeting", [row]), *letters.rows, *notice(meeting, people.missing, meeting.created_at)]


def notice(meeting: MeetingRow, missing: Sequence[str], at: datetime) -> list[Rows]:
    """Tells the responsible who could not be invited."""
    if not missing:
        return []
    said = f"Not invited to {meeting.subject!r}, being without an e-mail address: {', '.join(missing)}"
    row: dict[str, object] = {
        "employee_id": meeting.responsible_id, "record_id": meeting.record_id, "visit_no": meeting.visit_no,
        "rule": meeting.rule, "sender": "system", "body": said, "at": at,
    }  # fmt: skip
    return [Rows("notification", [row])]


async def move_meeting(
    locked: Locked, meeting_id: int, changes: Changes, by: By, mail: MailIdentity
) -> Changed:
    """Another time or place, or other people: whoever is still invited is asked anew, the others are told.

    Without a change nothing is written. Raises `Refused`: `meeting_over` when it was held or cancelled,
    `start_past`, `wrong_duration`, `wrong_participant`.
    """
    before = await _planned(locked.tx, meeting_id)
    after = MeetingRow.model_validate(before.model_dump() | changes)
    if after.subject == default_subject(locked, before.type, before.starts_at):
        after.subject = default_subject(locked, after.type, after.starts_at)
    if after == before:
        return Changed(before)
    if "starts_at" in changes or "ends_at" in changes:
        stays = after.starts_at == before.starts_at  # one under way may still be prolonged
        check_times(after.starts_at, after.ends_at, before.starts_at if stays else by.at)
    after.sequence, after.changed_at = before.sequence + 1, by.at
    people = await people_of(locked.tx, after, set(after.participants) - set(before.participants))
    asked = await invited(locked.tx, meeting_id)
    letters = Letters(after, people, mail, locked.zone, by.at)
    letters.invite(list(people.boxes.values()))
    letters.call_off([box for address, box in asked.items() if address not in people.boxes])
    said = _line(after, "meeting_moved", by, {"start": after.starts_at, "end": after.ends_at})
    await locked.tx.execute(_CHANGE, _bound(after))
    await _tell_later_rules(locked, after)
    await write(locked.tx, [said, *letters.rows, *notice(after, people.missing, by.at)])
    return Changed(after, True, people.missing)


async def cancel_meeting(locked: Locked, meeting_id: int, by: By, mail: MailIdentity) -> Changed:
    """Everybody who was invited is told that it is off; one that is cancelled stays as it is.

    Raises `Refused` (`meeting_over`) when it was held.
    """
    present = await read_meeting(locked.tx, meeting_id)
    if present and present.state == "cancelled":
        return Changed(present)
    meeting = await _planned(locked.tx, meeting_id)
    meeting.sequence, meeting.changed_at = meeting.sequence + 1, by.at
    meeting.state, meeting.ended_at, meeting.ended_by = "cancelled", by.at, by.who
    letters = Letters(meeting, await people_of(locked.tx, meeting), mail, locked.zone, by.at)
    letters.call_off(list((await invited(locked.tx, meeting_id)).values()))
    await locked.tx.execute(_CHANGE, _bound(meeting))
    await write(locked.tx, [_line(meeting, "meeting_cancelled", by), *letters.rows])
    return Changed(meeting, True)


async def complete_meeting(locked: Locked, meeting_id: int, by: By) -> Changed:
    """It was held; one that was stays as it is. Raises `Refused` (`meeting_over`) when it was cancelled."""
    present = await read_meeting(locked.tx, meeting_id)
    if present and present.state == "held":
        return Changed(present)
    meeting = await _planned(locked.tx, meeting_id)
    meeting.state, meeting.ended_at, meeting.ended_by = "held", by.at, by.who
    await locked.tx.execute(_CHANGE, _bound(meeting))
    await write(locked.tx, [_line(meeting, "meeting_held", by)])
    return Changed(meeting, True)


async def people_of(tx: Transaction, meeting: MeetingRow, new: Collection[str] = ()) -> People:
    """The people of a meeting as they are now: participants who have left the company are passed over.

    Raises `Refused`: `wrong_responsible`, `wrong_participant` for one there is not, or a `new` one who is
    not active.
    """
    ids = [meeting.responsible_id, *meeting.participants]
    rows = (await tx.execute(_PEOPLE, {"ids": ids})).mappings()
    known = {str(row["id"]): EmployeeRow.model_validate(dict(row)) for row in rows}
    responsible = known.get(meeting.responsible_id)
    if responsible is None:
        raise Refused("wrong_responsible", f"there is no employee {meeting.responsible_id!r}")
    for name in meeting.participants:
        if name not in known or (name in new and not known[name].active):
            raise Refused("wrong_participant", f"{name!r} is no active employee")
    active = [known[name] for name in dict.fromkeys(meeting.participants) if known[name].active]
    return People(responsible, active, meeting.guests)


# -- inside ------------------------------------------------------------------------------------------
async def _planned(tx: Transaction, meeting_id: int) -> MeetingRow:
    meeting = await read_meeting(tx, meeting_id)
    if meeting is None:
        raise Refused("gone", f"there is no meeting {meeting_id}", 404)
    if meeting.state != "planned":
        raise Refused("meeting_over", f"the meeting is {meeting.state}", 409)
    return meeting


async def _tell_later_rules(locked: Locked, meeting: MeetingRow) -> None:
    """The results of the step that planned it say the new times."""
    if meeting.rule:
        times = {"start": meeting.starts_at.isoformat(), "end": meeting.ends_at.isoformat()}
        key = {"id": meeting.record_id, "visit_no": meeting.visit_no, "rule": meeting.rule}
        await locked.tx.execute(_RESULTS, key | {"times": to_json(times).decode()})


def _line(meeting: MeetingRow, event: str, by: By, detail: dict[str, object] | None = None) -> Rows:
    told = {"meeting": meeting.id} | (detail or {})
    return line(
        meeting.record_id, meeting.visit_no, event, by.at, rule=meeting.rule, actor=by.who, detail=told
    )


def _bound(meeting: MeetingRow) -> dict[str, object]:
    lists = {name: to_json(getattr(meeting, name)).decode() for name in ("participants", "guests")}
    return meeting.model_dump(include=_CHANGED) | lists


_CHANGED = {
    "id", "subject", "description", "place", "starts_at", "ends_at", "sequence", "state", "changed_at",
    "ended_at", "ended_by",
}  # fmt: skip
_CHANGE = text("""
update meeting set subject = :subject, description = :description, place = :place, starts_at = :starts_at,
  ends_at = :ends_at, participants = cast(:participants as jsonb), guests = cast(:guests as jsonb),
  sequence = :sequence, state = :state, changed_at = :changed_at, ended_at = :ended_at, ended_by = :ended_by
where id = :id
""").bindparams(
    bindparam("id", type_=BigInteger),
    bindparam("ended_at", type_=DateTime(timezone=True)),
    bindparam("ended_by", type_=String),
)
_PEOPLE = text("select * from employee where id = any(:ids)").bindparams(
    bindparam("ids", type_=ARRAY(String))
)
_RESULTS = text("""
update ledger set results = results || cast(:times as jsonb)
where record_id = :id and visit_no = :visit_no and rule = :rule and n = 0 and results ? 'start'
""").bindparams(bindparam("id", type_=BigInteger))
