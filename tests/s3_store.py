"""A small S3 on the loopback: objects by path, kept in memory."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn


class S3Store:
    """Answers PUT and GET of objects. `fails`: the statuses of the next answers, used once each."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.fails: list[int] = []
        self.signed: list[str] = []
        self.url = ""

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.signed.append(dict(scope["headers"]).get(b"authorization", b"").decode())
        status, content = self._answer(scope["method"], scope["path"], body)
        tag = hashlib.md5(content or body, usedforsecurity=False).hexdigest()
        headers = [(b"etag", f'"{tag}"'.encode()), (b"content-length", str(len(content)).encode()),
                   (b"last-modified", b"Mon, 02 Mar 2026 12:00:00 GMT")]  # fmt: skip
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    def _answer(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        if self.fails:
            return self.fails.pop(0), b""
        if method == "PUT":
            self.objects[path] = body
            return 200, b""
        if method == "GET" and path in self.objects:
            return 200, self.objects[path]
        return 404, b"<Error><Code>NoSuchKey</Code></Error>"


@asynccontextmanager
async def s3_store() -> AsyncIterator[S3Store]:
    """The store, listening on a free port inside the block."""
    store = S3Store()
    server = uvicorn.Server(uvicorn.Config(store, port=0, log_level="error", lifespan="off"))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn offers no event
        await asyncio.sleep(0)
    store.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield store
    finally:
        server.should_exit = True
        await serving
