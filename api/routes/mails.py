"""The mail of clients that came in, whatever became of it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel
from sqlalchemy import and_, or_, select
from sqlmodel import col

from activities.inbound_mail import Matched, Outcome
from api.input import KEEPABLE, Limit
from api.service import Served
from db.tables import InboundMail

router = APIRouter(tags=["client activity"])


class MailIn(BaseModel):
    """One mail. `matched` says by what its record or client was found, `outcome` what it was.

    `automatic`: a program wrote it; `unknown`: nobody has the sender's address. Only `activity` ends waits.
    """

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


class Mails(BaseModel):
    """The newest first. `next`, if there is more, is the `before` of the next page."""

    items: list[MailIn]
    next: str | None = None


@router.get("/inbound-mails")
async def list_mails(
    service: Served,
    record: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
    outcome: Outcome | None = None,
    before: Annotated[str | None, Query(max_length=500, pattern=KEEPABLE)] = None,
    limit: Limit = 100,
) -> Mails:
    """All mail that came in, that of one record, or that of one outcome."""
    at, message_id = col(InboundMail.at), col(InboundMail.message_id)
    shown = [getattr(InboundMail, name) for name in MailIn.model_fields]
    asked = select(*shown).order_by(at.desc(), message_id.desc()).limit(limit + 1)
    if record is not None:
        asked = asked.where(col(InboundMail.record_id) == record)
    if outcome is not None:
        asked = asked.where(col(InboundMail.outcome) == outcome)
    if before is not None:
        last = select(at).where(message_id == before).scalar_subquery()
        asked = asked.where(or_(at < last, and_(at == last, message_id < before)))
    async with service.database.transaction() as tx:
        rows = (await tx.execute(asked)).mappings().all()
    items = [MailIn.model_validate(dict(row)) for row in rows[:limit]]
    return Mails(items=items, next=items[-1].message_id if len(rows) > limit else None)
