"""Who may call: whoever presents the installation's key, as `Authorization: Bearer <key>`."""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import Final

from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from api.problems import problem

OPEN: Final = frozenset({"/api/v1/health", "/api/v1/openapi.json"})
"""What is answered without a key; everything else is denied, also what does not exist."""
SELF_GUARDED: Final = ("/api/v1/hooks/", "/api/v1/calendars/", "/api/v1/shared/")
"""Below these each route checks its caller itself: by a signature, or by a secret in the address."""


class Auth:
    """Refuses what comes without the key, before anything of it is read.

    Without a key in the settings everything is refused.
    """

    def __init__(self, app: ASGIApp, key: SecretStr) -> None:
        self._app = app
        own = key.get_secret_value()
        self._expected = _digest(own.encode()) if own else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or is_open(scope["path"]) or self._knows(Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        answer = problem(401, "unauthorized", "no valid API key", headers={"WWW-Authenticate": "Bearer"})
        await answer(scope, receive, send)

    def _knows(self, headers: Headers) -> bool:
        scheme, _, presented = headers.get("authorization", "").partition(" ")
        if self._expected is None or scheme.lower() != "bearer":
            return False
        return hmac.compare_digest(_digest(presented.strip().encode("latin-1")), self._expected)


def is_open(path: str) -> bool:
    """Whether this is answered to those who have no key."""
    return path in OPEN or path.startswith(SELF_GUARDED)


def _digest(key: bytes) -> bytes:
    """Of one length whatever was presented, so that comparing tells nothing of the key."""
    return sha256(key).digest()
