"""How much a caller may send, as the head of a request says it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

import structlog
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import database_away, problem
from api.webhooks import presented
from db.settings import Settings
from domain.errors import Refused

log = structlog.get_logger()
MOST: Final = 1024 * 1024
"""Bytes of a body."""
LONGER: Final = {"/api/v1/hooks/email": 10 * MOST}
"""Of a body at these paths."""
LONG_AT_ONCE: Final = 4
"""So many bodies longer than `MOST` are taken in at once; who sends them has shown no key yet."""
HOOKS: Final = "/api/v1/hooks/"
_TWILIO_SIGNATURE: Final = 28  # characters of base64: HMAC-SHA1


def most_of_body(path: str) -> int:
    """Bytes that a body at this path may have."""
    return LONGER.get(path, MOST)


class BodyLimit:
    """Refuses a longer body: by its declared length, else as soon as so much of it has come."""

    def __init__(self, app: ASGIApp) -> None:
        self._app, self._long = app, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = most_of_body(scope["path"])
        declared = Headers(scope=scope).get("content-length", "")
        length = int(declared[:20]) if declared.isdecimal() else most
        if length > most:
            await problem(413, "request_entity_too_large", _says(most))(scope, receive, send)
        elif length <= MOST:
            await self._app(scope, _counted(receive, most), send)
        elif self._long >= LONG_AT_ONCE:
            what = f"{LONG_AT_ONCE} long bodies are being taken in; send this one again"
            await problem(503, "busy", what)(scope, receive, send)
        else:
            self._long += 1
            try:
                await self._app(scope, _counted(receive, most), send)
            finally:
                self._long -= 1


class HookHead:
    """Refuses a webhook whose head alone shows that it cannot be true, before anything of its body is read:
    a source that has no secret here, no signature, one made too long ago."""

    def __init__(self, app: ASGIApp, settings: Settings, clock: Callable[[], datetime]) -> None:
        self._app, self._settings, self._clock = app, settings, clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(HOOKS) and scope["method"] == "POST":
            try:
                self._admit(scope["path"].removeprefix(HOOKS), Headers(scope=scope))
            except Refused as refused:
                source = scope["path"].removeprefix(HOOKS)[:63]
                log.warning("a webhook was refused", source=source, reason=refused.reason)
                await problem(refused.status, refused.reason, refused.message)(scope, receive, send)
                return
            except ConnectionError:  # no clock yet, by which to see how old it is
                await database_away()(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _admit(self, path: str, headers: Headers) -> None:
        source = path.partition("/")[0]
        if path.startswith("sms/twilio"):
            has_secret = bool(self._settings.sms_twilio_token.get_secret_value())
        else:
            has_secret = source in self._settings.hook_secrets
        if not has_secret:
            raise unknown_source(source)
        if not path.startswith("sms/twilio"):
            presented(headers, self._clock())
        elif len(headers.get("x-twilio-signature", "")) != _TWILIO_SIGNATURE:
            raise Refused("forged", "the signature does not fit", 401)


def unknown_source(source: str) -> Refused:
    """Nothing is taken from a source that has no secret here."""
    return Refused("unknown_source", f"nothing is taken from {source[:63]}: it has no secret here", 404)


def _counted(receive: Receive, most: int) -> Receive:
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > most:
            raise HTTPException(413, _says(most))
        return message

    return counted


def _says(most: int) -> str:
    return f"a body has at most {most} bytes"
