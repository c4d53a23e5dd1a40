"""What other systems send without the key of the API: signed after Standard Webhooks, source by source."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal, TypeVar

import structlog
from fastapi import APIRouter, Path, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, JsonValue, ValidationError
from pydantic_core import from_json
from sqlalchemy import DateTime, bindparam, text

from activities.client import Heard
from activities.happened import Happened, hearing
from activities.inbound_mail import receive
from activities.incoming import read
from activities.reporting import Sender, report
from activities.triggers import fire_first, matches
from api.input import Instant, Sendable
from api.limits import unknown_source
from api.routes.client_activities import ActivityOut, Type
from api.service import Served, Service
from api.taking import take
from api.webhooks import verified
from db.creation import RecordId
from domain.errors import Refused

_HEARD = text("""
insert into request (key, body_hash, status, at) values (:key, :body_hash, :status, :at)
on conflict do nothing returning key
""").bindparams(bindparam("at", type_=DateTime(timezone=True)))
log = structlog.get_logger()
router = APIRouter(tags=["webhooks"])
Body = TypeVar("Body", bound=BaseModel)
Source = Annotated[str, Path(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]


class Report(Sendable):
    """What a client did, as a payment provider, a form or a telephone system says it.

    `id` is the reporter's own, by default the id of the webhook; `at` is when it happened, by default now.
    Without `record`, `contact` or `company` it is of the client who has the `email` or the `phone`.
    """

    type: Type
    id: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    at: Instant | None = None
    record: RecordId | None = None
    contact: RecordId | None = None
    company: RecordId | None = None
    email: Annotated[str, Field(max_length=320)] | None = None
    phone: Annotated[str, Field(max_length=100)] | None = None
    detail: dict[str, JsonValue] = {}


class EventIn(Sendable):
    """Something that happened in another system and is no activity of a client, about one record.

    `name` is what triggers filter by; `id` is the reporter's own, by default the id of the webhook.
    """

    name: Type
    record: RecordId
    id: Annotated[str, Field(min_length=1, max_length=200)] | None = None


class EventOut(BaseModel):
    """Whether a trigger moved the record. The same id within a week is `already_known`."""

    happened: Literal["moved", "no_match", "suspended", "refused", "already_known"]


class MailOut(BaseModel):
    """What became of a mail, and the record it belongs to."""

    outcome: str
    record: int | None = None


_MAIL = {"requestBody": {"required": True, "content": {"message/rfc822": {"schema": {"type": "string"}}}}}
_EVENT = {"requestBody": {"required": True, "content": {
    "application/json": {"schema": EventIn.model_json_schema()}}}}  # fmt: skip
_REPORT = {"requestBody": {"required": True, "content": {
    "application/json": {"schema": Report.model_json_schema()}}}}  # fmt: skip


@router.post("/hooks/email", openapi_extra=_MAIL)
async def take_mail(request: Request, service: Served) -> MailOut:
    """Take a mail in as it is (RFC 5322), signed by the source `email`; up to 10 MiB."""
    await _verify(request, service, "email")
    raw, servers, now = await request.body(), service.house.mail.servers, service.clock()
    mail = await asyncio.to_thread(read, raw, servers=servers)
    async with service.database.transaction() as tx:
        received = await receive(tx, service.book, service.ids, service.house, mail, now)
    service.doorbell.ring(*received.bells)
    return MailOut(outcome=received.outcome, record=received.record)


@router.post("/hooks/{source}", openapi_extra=_REPORT)
async def take_report(source: Source, request: Request, service: Served) -> ActivityOut:
    """Take a report of what a client did, signed by its source; recorded once."""
    hook_id = await _verify(request, service, source)
    body, house = _parsed(Report, await request.body()), service.house
    now = service.clock()
    heard = Heard(
        f"{source}:{body.id or hook_id}", body.type, body.at or now, body.record, body.contact, body.company,
        source, body.detail,
    )  # fmt: skip
    sender = Sender.of(body.email, body.phone, house.mail.region)
    async with service.database.transaction() as tx:
        answer = await report(tx, service.book, service.ids, house, heard, sender, now)
    service.doorbell.ring(*answer.bells)
    if answer.happened == "unknown_client":
        log.info("a webhook named nobody we know", source=source, type=body.type)
    return ActivityOut.model_validate({"happened": answer.happened, "records": answer.records})


@router.post("/hooks/{source}/events", openapi_extra=_EVENT)
async def take_event(source: Source, request: Request, service: Served) -> EventOut:
    """Take an event for the triggers of a record, signed by its source; heard once."""
    hook_id = await _verify(request, service, source)
    body, now = _parsed(EventIn, await request.body()), service.clock()
    seen = {"key": f"hook/{source}/{body.id or hook_id}", "body_hash": "", "status": 200, "at": now}
    async with service.database.transaction() as tx:
        locked = await take(tx, service, body.record)
        if not (await tx.execute(_HEARD, seen)).one_or_none():
            return EventOut(happened="already_known")
        runner = service.runner(locked, now)
        matching = await matches(runner, await hearing(locked, [Happened("webhook", frozenset({body.name}))]))
        what, bell = await fire_first(runner, matching) if matching else ("no_match", None)
        await runner.flush()
    service.doorbell.ring(bell)
    return EventOut.model_validate({"happened": what})


async def _verify(request: Request, service: Service, source: str) -> str:
    """The id of the webhook. What cannot be trusted is refused, and that is logged, nothing of it kept."""
    secret = service.settings.hook_secrets.get(source)
    if secret is None:
        raise unknown_source(source)
    try:
        return verified(request.headers, await request.body(), secret, service.clock())
    except Refused as refused:
        log.warning("a webhook was refused", source=source, reason=refused.reason)
        raise


def _parsed(model: type[Body], raw: bytes) -> Body:
    """The body; what it says wrong is told, since its sender is known."""
    try:
        return model.model_validate_json(raw)
    except ValidationError as wrong:
        found = [{**error, "loc": ("body", *error["loc"])} for error in wrong.errors(include_url=False)]
        is_json = all(error["type"] != "json_invalid" for error in found)
        raise RequestValidationError(found, body=from_json(raw) if is_json else None) from wrong
