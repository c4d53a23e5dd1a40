"""How much a caller may send."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import problem

MOST: Final = 1024 * 1024
"""Bytes of a body."""
LONGER: Final = {"/api/v1/hooks/email": 10 * MOST}
"""Of a body at these paths."""


class BodyLimit:
    """Refuses a longer body: by its declared length, else as soon as so much of it has come."""

    def __init__(self, app: ASGIApp, most: int = MOST) -> None:
        self._app, self._most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = LONGER.get(scope["path"], self._most)
        declared = Headers(scope=scope).get("content-length", "0")
        if declared.isdecimal() and int(declared[:20]) > most:
            await problem(413, "request_entity_too_large", self._says(most))(scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > most:
                raise HTTPException(413, self._says(most))
            return message

        await self._app(scope, counted, send)

    @staticmethod
    def _says(most: int) -> str:
        return f"a body has at most {most} bytes"
