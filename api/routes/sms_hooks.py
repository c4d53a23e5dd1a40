"""What SMS providers tell: how far messages came, and what clients answer. Each proves who it is.

Twilio signs with the account's auth token: base64 of HMAC-SHA1 over the address it calls and the form's
names and values, sorted by name. Source: https://www.twilio.com/docs/usage/security#validating-requests. It
signs no instant; a report or reply that comes again changes nothing. The plain gateway signs after Standard
Webhooks with the secret of the source `sms`.
"""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha1
from typing import Annotated, Final, Literal
from urllib.parse import parse_qsl

import structlog
from fastapi import APIRouter, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import Field, SecretStr, TypeAdapter, ValidationError
from pydantic_core import from_json

from activities.client import Heard
from activities.deliveries import Delivery, Report, note
from activities.reporting import Sender, report
from api.input import KEEPABLE, Instant, Sendable
from api.limits import unknown_source
from api.service import Served, Service
from api.webhooks import verified
from domain.errors import Refused

log = structlog.get_logger()
router = APIRouter(tags=["webhooks"])
_Id = Annotated[str, Field(min_length=1, max_length=200)]
Key = Annotated[str, Query(max_length=400, pattern=KEEPABLE)]
_MOST_FIELDS: Final = 200  # of a form
# https://www.twilio.com/docs/messaging/api/message-resource#message-status-values
_STATUS: Final[dict[str, Delivery]] = {
    "accepted": "queued", "scheduled": "queued", "queued": "queued", "sending": "queued", "sent": "sent",
    "delivered": "delivered", "read": "delivered", "undelivered": "failed", "failed": "failed",
    "canceled": "failed",
}  # fmt: skip


class DeliveryIn(Sendable):
    """How far a message came. `id` is the gateway's number of it, `key` the one it was given with."""

    type: Literal["delivery"]
    id: _Id
    delivery: Delivery
    key: Annotated[str, Field(max_length=400)] = ""
    error: Annotated[str, Field(max_length=500)] = ""


class ReplyIn(Sendable):
    """What somebody sent. `id` is the gateway's number of it; `at`, by default now, is when it was sent."""

    type: Literal["reply"]
    id: _Id
    sender: Annotated[str, Field(max_length=100)]
    to: Annotated[str, Field(max_length=100)] = ""
    text: Annotated[str, Field(max_length=20_000)] = ""
    at: Instant | None = None


_BODY: Final[TypeAdapter[DeliveryIn | ReplyIn]] = TypeAdapter(
    Annotated[DeliveryIn | ReplyIn, Field(discriminator="type")]
)
_FORM: Final = {"requestBody": {"required": True, "content": {
    "application/x-www-form-urlencoded": {"schema": {"type": "object"}}}}}  # fmt: skip
_JSON: Final = {"requestBody": {"required": True, "content": {"application/json": {"schema": {
    "oneOf": [DeliveryIn.model_json_schema(), ReplyIn.model_json_schema()]}}}}}  # fmt: skip


@router.post("/hooks/sms/twilio", status_code=204, openapi_extra=_FORM)
async def twilio_delivery(request: Request, service: Served, key: Key = "") -> None:
    """Take a delivery report of Twilio; `key` is the one that the message was given."""
    form = await _form(request, service)
    delivery, number = _STATUS.get(form.get("MessageStatus", "")), form.get("MessageSid", "")
    if not number or len(number) > 200:
        raise Refused("no_message", "the report names no message", 422)
    if delivery:
        error = f"Twilio error {form['ErrorCode'][:10]}" if form.get("ErrorCode") else ""
        await _note(service, Report("twilio", number, delivery, key, error))


@router.post("/hooks/sms/twilio/reply", openapi_extra=_FORM)
async def twilio_reply(request: Request, service: Served) -> Response:
    """Take an SMS that came in, as client activity `sms`; nothing is answered to it."""
    form = await _form(request, service)
    try:
        reply = ReplyIn(
            type="reply", id=form.get("MessageSid", ""), sender=form.get("From", ""), to=form.get("To", ""),
            text=form.get("Body", ""),
        )  # fmt: skip
    except ValidationError as wrong:
        raise Refused("no_message", "the form is no message that came in", 422) from wrong
    await _hear(service, "twilio", reply)
    return Response("<Response/>", media_type="text/xml")  # TwiML that says nothing


@router.post("/hooks/sms/gateway", status_code=204, openapi_extra=_JSON)
async def gateway_event(request: Request, service: Served) -> None:
    """Take a delivery report or a reply, signed by the source `sms`."""
    secret = service.settings.hook_secrets.get("sms")
    if secret is None:
        raise unknown_source("sms")
    body = await request.body()
    try:
        verified(request.headers, body, secret, service.clock())
    except Refused as refused:
        log.warning("a webhook was refused", source="sms", reason=refused.reason)
        raise
    try:
        told = _BODY.validate_json(body)
    except ValidationError as wrong:
        found = [{**error, "loc": ("body", *error["loc"])} for error in wrong.errors(include_url=False)]
        is_json = all(error["type"] != "json_invalid" for error in found)
        raise RequestValidationError(found, body=from_json(body) if is_json else None) from wrong
    if isinstance(told, ReplyIn):
        await _hear(service, "gateway", told)
    else:
        await _note(service, Report("gateway", told.id, told.delivery, told.key, told.error))


async def _note(service: Service, told: Report) -> None:
    async with service.database.transaction() as tx:
        await note(tx, told, service.clock())


async def _hear(service: Service, provider: str, reply: ReplyIn) -> None:
    """Record it, of the client who has that number; of one nobody has, only that it came is logged."""
    now, house = service.clock(), service.house
    heard = Heard(
        f"sms:{provider}:{reply.id}", "sms", reply.at or now, source=provider,
        detail={"from": reply.sender, "to": reply.to, "text": reply.text},
    )  # fmt: skip
    sender = Sender.of(None, reply.sender, house.mail.region)
    async with service.database.transaction() as tx:
        answer = await report(tx, service.book, service.ids, house, heard, sender, now)
    service.doorbell.ring(*answer.bells)
    if answer.happened == "unknown_client":
        log.info("an SMS came from nobody we know", provider=provider)


# -- Twilio's signature ------------------------------------------------------------------------------
async def _form(request: Request, service: Service) -> dict[str, str]:
    """What the form says, of its first value by name, once its signature fits."""
    token = service.settings.sms_twilio_token
    if not token.get_secret_value():
        raise unknown_source("twilio")
    try:
        body = (await request.body()).decode()
        pairs = parse_qsl(body, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError as wrong:
        raise Refused("no_form", "the body is no form", 422) from wrong
    query = request.scope["query_string"].decode("latin-1")
    called = service.settings.base_url.rstrip("/") + request.url.path + (f"?{query}" if query else "")
    own, presented = signature(token, called, pairs), request.headers.get("x-twilio-signature", "")
    if not hmac.compare_digest(own.encode(), presented.encode("latin-1", "replace")):
        log.warning("a webhook was refused", source="twilio", reason="forged")
        raise Refused("forged", "the signature does not fit", 401)
    return {name: value.replace("\0", "") for name, value in reversed(pairs)}


def signature(token: SecretStr, called: str, pairs: Sequence[tuple[str, str]]) -> str:
    """What Twilio writes into `X-Twilio-Signature`; `called` is the address as it calls it."""
    said = called + "".join(name + value for name, value in sorted(set(pairs)))
    return b64encode(hmac.digest(token.get_secret_value().encode(), said.encode(), sha1)).decode()
