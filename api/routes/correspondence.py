"""What was written to a record's client and what the client wrote; and what did not arrive."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, JsonValue
from sqlalchemy import BigInteger, Uuid, bindparam, text

from api.input import After, Limit, PathId
from api.routes.mails import File
from api.service import Served
from domain.errors import Gone

router = APIRouter(tags=["records"])


class Letter(BaseModel):
    """One message. `state`: of what came in what it was (`activity`, `stranger`), else how far it was sent.

    `delivery` is the furthest that a provider or a mail server reported, `failed` where it did not arrive,
    and `error` says why. `mail` is the number of one at `/inbound-mails`, where its files can be read;
    `message` the id of one that was sent, by the `rule`.
    """

    direction: Literal["in", "out"]
    channel: str
    at: datetime
    sender: str
    recipients: list[str]
    subject: str
    text: str
    attachments: list[File]
    state: str
    delivery: str = ""
    error: str = ""
    rule: str = ""
    message: UUID | None = None
    mail: int | None = None


class Correspondence(BaseModel):
    """In the order in which it was written. `next`, if there is more, is the `after` of the next page."""

    items: list[Letter]
    next: int | None = None


class NotArrived(BaseModel):
    """A message that failed, did not arrive, or may have arrived or not (`state` is `unknown`)."""

    id: UUID
    record_id: int
    visit_no: int
    rule: str
    channel: str
    created_at: datetime
    state: str
    delivery: str
    recipients: list[str]
    refused: dict[str, JsonValue]
    subject: str
    error: str


class Failures(BaseModel):
    """The newest first. `next`, if there is more, is the `before` of the next page."""

    items: list[NotArrived]
    next: UUID | None = None


@router.get("/records/{record_id}/correspondence")
async def correspondence(
    record_id: PathId, service: Served, after: After = 0, limit: Limit = 100
) -> Correspondence:
    """What was sent for the record, and what came in to it or from its client, with texts."""
    asked = {"id": record_id, "skip": after, "most": limit + 1}
    async with service.database.transaction() as tx:
        if not (await tx.execute(_THERE, asked)).scalar_one():
            raise Gone(record_id)
        rows = (await tx.execute(_WRITTEN, asked)).mappings().all()
    items = [Letter.model_validate(dict(row)) for row in rows[:limit]]
    return Correspondence(items=items, next=after + limit if len(rows) > limit else None)


@router.get("/failed-messages")
async def failed_messages(
    service: Served, before: Annotated[UUID | None, Query()] = None, limit: Limit = 100
) -> Failures:
    """The messages of all records that did not arrive, or of which nobody knows."""
    async with service.database.transaction() as tx:
        rows = (await tx.execute(_FAILED, {"before": before, "most": limit + 1})).mappings().all()
    items = [NotArrived.model_validate(dict(row)) for row in rows[:limit]]
    return Failures(items=items, next=items[-1].id if len(rows) > limit else None)


_ID = bindparam("id", type_=BigInteger)
_THERE = text("select exists (select 1 from record where id = :id)").bindparams(_ID)
_WRITTEN = text("""
with r as (select id, contact_id, company_id from record where id = :id)
select 'out' as direction, channel, created_at as at, sender, recipients, subject, text, attachments, state,
  delivery, coalesce(nullif(delivery_error, ''), error) as error, rule, id as message, null::bigint as mail
from message where record_id = :id
union all
select 'in', 'email', m.at, m.sender, '[]', m.subject, m.text, m.attachments, m.outcome, '', '', '', null,
  m.id
from r join inbound_mail m on m.record_id = r.id
  or (m.record_id is null and (m.contact_id = r.contact_id or m.company_id = r.company_id))
union all
select 'in', a.type, a.at, coalesce(a.detail ->> 'from', ''), '[]', '', a.detail ->> 'text', '[]', 'activity',
  '', '', '', null, null
from r join client_activity a on a.record_id = r.id
  or (a.record_id is null and (a.contact_id = r.contact_id or a.company_id = r.company_id))
where a.detail ? 'text' and jsonb_typeof(a.detail -> 'text') = 'string'
order by at, message, mail limit :most offset :skip
""").bindparams(_ID)
_FAILED = text("""
select id, record_id, visit_no, rule, channel, created_at, state, delivery, recipients, refused, subject,
  coalesce(nullif(delivery_error, ''), error) as error
from message
where (state in ('failed', 'unknown') or delivery = 'failed')
  and (cast(:before as uuid) is null
    or (created_at, id) < (select b.created_at, b.id from message b where b.id = :before))
order by created_at desc, id desc limit :most
""").bindparams(bindparam("before", type_=Uuid))
