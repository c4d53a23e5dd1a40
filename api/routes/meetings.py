"""Meetings and calls that people plan, move, cancel and complete."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal
from uuid import uuid4

from fastapi import APIRouter, Response
from pydantic import AfterValidator, BaseModel, Field
from sqlalchemy import BigInteger, bindparam, text

from activities import meetings
from activities.announcing import announce
from activities.meeting_row import MeetingRow, read_meeting
from activities.providers.mime import mailbox
from api.input import Instant, Name, PathId, Sendable
from api.service import Served, Service
from api.taking import take
from api.writing import Answer, Write
from db.engine import Transaction
from db.journal import line
from db.locked import Locked
from db.records import By
from db.rows import write as write_rows
from domain.errors import Refused

router = APIRouter(tags=["meetings"])
_HOUR = timedelta(hours=1)
_YEARS = 5 * 366 * 24 * 60


def _bare(address: str) -> str:
    return mailbox(address).address


Address = Annotated[str, AfterValidator(_bare)]
Subject = Annotated[str, Field(min_length=1, max_length=1000)]
Description = Annotated[str, Field(max_length=20_000)]
Place = Annotated[str, Field(max_length=1000)]
Participants = Annotated[list[Name], Field(max_length=200)]
Guests = Annotated[list[Address], Field(max_length=200)]


class MeetingIn(Sendable):
    """A meeting or a call; by default an hour of the record's responsible.

    `participants` are ids of employees, `guests` addresses of others; both are invited by e-mail.
    `reminders` are minutes before the start. Without a `subject` it is made of client and date.
    """

    type: Literal["meeting", "call"] = "meeting"
    subject: Subject | None = None
    description: Description = ""
    place: Place = ""
    start: Instant
    end: Instant | None = None
    responsible: Name | None = None
    participants: Participants = []
    guests: Guests = []
    important: bool = False
    complete_on_exit: bool = False
    reminders: Annotated[list[Annotated[int, Field(ge=0, le=_YEARS)]], Field(max_length=20)] = []
    by: Name | None = None


class MoveIn(Sendable):
    """What is to be another; what is left out stays. With a new `start` alone it lasts as long as before."""

    start: Instant | None = None
    end: Instant | None = None
    subject: Subject | None = None
    description: Description | None = None
    place: Place | None = None
    participants: Participants | None = None
    guests: Guests | None = None
    by: Name | None = None


class EndIn(Sendable):
    """Who cancels or completes it."""

    by: Name | None = None


class InvitationOut(BaseModel):
    """One e-mail about the meeting. `error` is what the mail server said last."""

    recipient: str
    method: Literal["REQUEST", "CANCEL"]
    sequence: int
    state: Literal["queued", "sending", "sent", "failed"]
    error: str
    sent_at: datetime | None


class MeetingOut(MeetingRow):
    """A meeting or a call with the invitations to it. Instants are UTC."""

    invitations: list[InvitationOut]


@router.post("/records/{record_id}/meetings", status_code=201, response_model=MeetingOut)
async def create_meeting(record_id: PathId, body: MeetingIn, service: Served, write: Write) -> Response:
    """Plan a meeting or a call, and invite to it."""

    async def work(tx: Transaction, by: By) -> Answer:
        locked = await take(tx, service, record_id)
        meeting = await _new(locked, service, body, by)
        meetings.check_times(meeting.starts_at, meeting.ends_at, by.at)
        people = await meetings.people_of(tx, meeting, meeting.participants)
        if not people.responsible.active:
            raise Refused("wrong_responsible", f"{meeting.responsible_id!r} is no active employee")
        rows = meetings.plan(meeting, people, service.house.mail, locked.zone)
        detail = {"meeting": meeting.id}
        said = line(record_id, meeting.visit_no, "meeting_planned", by.at, actor=by.who, detail=detail)
        await write_rows(tx, [*rows, said])
        return Answer(201, await _shown(tx, meeting.id))

    return await write(work, body.by)


@router.get("/meetings/{meeting_id}")
async def read_one(meeting_id: PathId, service: Served) -> MeetingOut:
    """A meeting, and how far the invitations to it have come."""
    async with service.database.transaction() as tx:
        return await _shown(tx, meeting_id)


@router.post("/meetings/{meeting_id}/move", response_model=MeetingOut)
async def move_meeting(meeting_id: PathId, body: MoveIn, service: Served, write: Write) -> Response:
    """Another time or place, or other people; the invited are asked anew, who no longer is is told."""

    async def work(tx: Transaction, by: By) -> Answer:
        locked, present = await _locked(tx, service, meeting_id)
        changes, mail = _changes(body, present), service.house.mail
        moved = await meetings.move_meeting(locked, meeting_id, changes, by, mail)
        names = [f"steps.{present.rule}.{name}" for name in ("start", "end")]
        changed = names if moved.changed and present.rule else []
        bells = await announce(service.runner(locked, by.at), changed)
        return Answer(body=await _shown(tx, meeting_id), bells=bells)

    return await write(work, body.by)


@router.post("/meetings/{meeting_id}/cancel", response_model=MeetingOut)
async def cancel_meeting(
    meeting_id: PathId, service: Served, write: Write, body: EndIn | None = None
) -> Response:
    """Cancel a meeting, and tell the invited; one that is cancelled stays as it is."""

    async def work(tx: Transaction, by: By) -> Answer:
        locked, _ = await _locked(tx, service, meeting_id)
        await meetings.cancel_meeting(locked, meeting_id, by, service.house.mail)
        return Answer(body=await _shown(tx, meeting_id))

    return await write(work, body.by if body else None)


@router.post("/meetings/{meeting_id}/complete", response_model=MeetingOut)
async def complete_meeting(
    meeting_id: PathId, service: Served, write: Write, body: EndIn | None = None
) -> Response:
    """The meeting was held; one that was stays as it is."""

    async def work(tx: Transaction, by: By) -> Answer:
        locked, _ = await _locked(tx, service, meeting_id)
        await meetings.complete_meeting(locked, meeting_id, by)
        return Answer(body=await _shown(tx, meeting_id))

    return await write(work, body.by if body else None)


async def _new(locked: Locked, service: Service, body: MeetingIn, by: By) -> MeetingRow:
    responsible = body.responsible or locked.record.responsible_id
    if responsible is None:
        raise Refused("wrong_responsible", "the record has no responsible; say whose meeting it is")
    same = {"type", "description", "place", "important", "complete_on_exit"}
    return MeetingRow(
        id=await service.ids.take(locked.tx, "meeting"), record_id=locked.record.id,
        visit_no=locked.record.visit_no, starts_at=body.start, ends_at=body.end or body.start + _HOUR,
        subject=body.subject or meetings.default_subject(locked, body.type, body.start),
        responsible_id=responsible, participants=list(dict.fromkeys(body.participants)),
        guests=list(dict.fromkeys(body.guests)), reminders=sorted(set(body.reminders), reverse=True),
        client_phone=meetings.client_phone(locked), uid=f"{uuid4()}@{service.settings.mail_domain}",
        created_at=by.at, created_by=by.who, changed_at=by.at, **body.model_dump(include=same),
    )  # fmt: skip


def _changes(body: MoveIn, present: MeetingRow) -> meetings.Changes:
    changes = meetings.Changes()
    if body.subject is not None:
        changes["subject"] = body.subject
    if body.description is not None:
        changes["description"] = body.description
    if body.place is not None:
        changes["place"] = body.place
    if body.participants is not None:
        changes["participants"] = list(dict.fromkeys(body.participants))
    if body.guests is not None:
        changes["guests"] = list(dict.fromkeys(body.guests))
    if body.start:
        changes["starts_at"] = body.start
        changes["ends_at"] = body.start + (present.ends_at - present.starts_at)
    if body.end:
        changes["ends_at"] = body.end
    return changes


async def _locked(tx: Transaction, service: Service, meeting_id: int) -> tuple[Locked, MeetingRow]:
    """The record of a meeting under its lock, also of one in the bin: people still have it in calendars."""
    found = await read_meeting(tx, meeting_id)
    if found is None:
        raise Refused("gone", f"there is no meeting {meeting_id}", 404)
    locked = await take(tx, service, found.record_id, from_bin=True)
    return locked, await read_meeting(tx, meeting_id) or found


async def _shown(tx: Transaction, meeting_id: int) -> MeetingOut:
    meeting = await read_meeting(tx, meeting_id)
    if meeting is None:
        raise Refused("gone", f"there is no meeting {meeting_id}", 404)
    rows = (await tx.execute(_INVITATIONS, {"id": meeting_id})).mappings()
    sent = [InvitationOut.model_validate(dict(row)) for row in rows]
    return MeetingOut(**meeting.model_dump(), invitations=sent)


_INVITATIONS = text("""
select recipient, method, sequence, state, error, sent_at from invitation where meeting_id = :id order by id
""").bindparams(bindparam("id", type_=BigInteger))
