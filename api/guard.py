"""The guard in front of the parser: how long heads and bodies may take, how long heads are, how many connect.

uvicorn waits for a head without end and reads headers without limit, so that a stranger without a key could
take every descriptor of the process, or its memory. What is said here is decided before the application is
called; how long a body may be is decided by its head (`api.limits`).
"""

from __future__ import annotations

import asyncio
import resource
from http import HTTPStatus
from typing import Final

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from api.limits import most_of_body

HEAD_WITHIN: Final = 10.0
"""Seconds in which a head has to be complete, from the connection or its first byte."""
BODY_WITHIN: Final = 60.0
"""Seconds in which a body has to be complete, from the end of its head."""
MOST_OF_HEAD: Final = 32 * 1024
"""Bytes of the request line and the headers together."""
FRAMING: Final = 64 * 1024
"""Bytes beside a body that chunks, trailers and what follows it may take."""
_MOST_CONNECTIONS: Final = 1000


def most_connections() -> int:
    """How many callers may be connected at once: half of the descriptors, the rest is for the database."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else min(_MOST_CONNECTIONS, soft // 2)


class Guarded(HttpToolsProtocol):
    """One connection. It reads a `head`, then a `body`, then has an answer `made`, and so on."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._stage = "head"
        self.since = self.loop.time()
        self._raw = 0  # bytes of the present head, or body, as far as they came in reads of their own
        self._head = 0  # bytes of its complete headers
        self._most_raw = FRAMING
        self._deadline: asyncio.TimerHandle | None = None

    # -- the connection ------------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._begin("head", HEAD_WITHIN)
        if len(self.connections) > most_connections():
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        self._begin("lost", None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._stage in ("head", "body"):
            self._raw += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._stage == "head" and self._raw > MOST_OF_HEAD:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif self._stage == "body" and self._raw > self._most_raw:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)

    # -- what the parser finds -------------------------------------------------------------------------
    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head = 0
        self._begin("head", HEAD_WITHIN)

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._most_raw = most_of_body(self.scope["path"]) + FRAMING
        self._begin("body", BODY_WITHIN)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._begin("made" if self._answering() else "head", None if self._answering() else HEAD_WITHIN)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._stage == "made" and not self._answering():
            self._begin("head", HEAD_WITHIN)

    def send_400_response(self, msg: str) -> None:
        """What the parser cannot read, or may not: said as everything that is refused."""
        del msg
        too_large = self._head > MOST_OF_HEAD
        self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE if too_large else HTTPStatus.BAD_REQUEST)

    # -- inside ----------------------------------------------------------------------------------------
    def _count(self, size: int) -> None:
        self._head += size
        if self._head > MOST_OF_HEAD:
            raise ValueError("the head is too large")  # the parser stops, and asks for `send_400_response`

    def _answering(self) -> bool:
        return bool(self.cycle) and not self.cycle.response_complete

    def _begin(self, stage: str, within: float | None) -> None:
        self._stage, self.since, self._raw = stage, self.loop.time(), 0
        if self._deadline:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(within, self._too_late) if within else None

    def _too_late(self) -> None:
        if self._stage == "head" and self._answering():  # of a request sent ahead, which is not read yet
            self._begin("head", HEAD_WITHIN)
        else:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)

    def _make_room(self) -> None:
        """Close the connection that has let us wait for a head longest; if all are at work, the new one."""
        waiting = [c for c in self.connections if isinstance(c, Guarded) and c.waits and c is not self]
        if waiting:
            min(waiting, key=lambda one: one.since).transport.abort()
        else:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE)

    @property
    def waits(self) -> bool:
        """Whether nothing is under way here but a head that has not come."""
        return self._stage == "head" and not self._answering() and not self.transport.is_closing()

    def _refuse(self, status: HTTPStatus) -> None:
        """Say why, where nothing was said yet, and close."""
        if self._answering() and self.cycle.response_started:
            self.transport.abort()
            return
        reason = status.phrase.lower().replace(" ", "-")
        body = f'{{"type":"urn:jalon:problem:{reason}","title":"{status.phrase}","status":{status.value}}}'
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/problem+json\r\n"
            f"content-length: {len(body)}\r\ncache-control: no-store\r\nconnection: close\r\n\r\n"
        )
        self.transport.write((head + body).encode())
        self.transport.close()
