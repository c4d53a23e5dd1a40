"""The mail of clients that came in, whatever became of it: what it says, and the files with it."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel
from sqlalchemy import select
from sqlmodel import col

from activities.inbound_mail import Matched, Outcome
from activities.mail_body import file_of
from api.input import Before, Limit, PathId
from api.service import Served
from db.tables import InboundMail
from domain.errors import Refused

router = APIRouter(tags=["client activity"])
Number = Annotated[int, Path(ge=0, le=1000)]


class File(BaseModel):
    """A file that came with a mail, as its sender names it; `size` in bytes."""

    name: str
    media_type: str
    size: int


class MailIn(BaseModel):
    """One mail. `matched` says by what its record or client was found, `outcome` what it was.

    Only `activity` ends waits. `automatic`: a program wrote it; `forged`: its sender's domain disowns it;
    `stranger`: it answers a record and its sender is none of the record's clients; `unknown`: nobody has the
    sender's address. `text` is what it says; of what is `quarantined` nothing is kept. The files of a mail
    that belongs to a record or a client are at `/inbound-mails/<id>/attachments/<number>`, counted from 0.
    """

    id: int
    message_id: str
    at: datetime
    sender: str
    subject: str
    size: int
    matched: Matched
    outcome: Outcome
    record_id: int | None
    contact_id: int | None
    company_id: int | None
    text: str
    attachments: list[File]


class Mails(BaseModel):
    """The newest first. `next`, if there is more, is the `before` of the next page."""

    items: list[MailIn]
    next: int | None = None


@router.get("/inbound-mails")
async def list_mails(
    service: Served,
    record: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
    outcome: Outcome | None = None,
    before: Before = None,
    limit: Limit = 100,
) -> Mails:
    """All mail that came in, that of one record, or that of one outcome."""
    number = col(InboundMail.id)
    shown = [getattr(InboundMail, name) for name in MailIn.model_fields]
    asked = select(*shown).order_by(number.desc()).limit(limit + 1)
    if record is not None:
        asked = asked.where(col(InboundMail.record_id) == record)
    if outcome is not None:
        asked = asked.where(col(InboundMail.outcome) == outcome)
    if before is not None:
        asked = asked.where(number < before)
    async with service.database.transaction() as tx:
        rows = (await tx.execute(asked)).mappings().all()
    items = [MailIn.model_validate(dict(row)) for row in rows[:limit]]
    return Mails(items=items, next=items[-1].id if len(rows) > limit else None)


@router.get("/inbound-mails/{mail_id}/attachments/{number}", response_class=Response)
async def read_attachment(mail_id: PathId, number: Number, service: Served) -> Response:
    """A file that came with a mail, as it came: to be saved, never to be shown by a browser."""
    asked = select(col(InboundMail.content)).where(col(InboundMail.id) == mail_id)
    async with service.database.transaction() as tx:
        raw = (await tx.execute(asked)).scalar_one_or_none()
    found = await asyncio.to_thread(file_of, bytes(raw), number) if raw else None
    if found is None:
        raise Refused("gone", f"the mail {mail_id} has no file {number}, or it is not kept", 404)
    file, content = found
    headers = {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(file.name, safe='')}",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(content, media_type="application/octet-stream", headers=headers)
