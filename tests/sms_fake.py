"""An SMS provider on the loopback that behaves like a real one, faults included, and remembers what it took.

It speaks Twilio's API (`POST /2010-04-01/Accounts/{sid}/Messages.json`) and that of the plain JSON gateway
(`POST /sms`, `GET /sms?key=…`). What a test puts into `faults`, or for one number into `to`, is done once
each, in order.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict, deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

ACCOUNT, TOKEN = "AC0123456789abcdef0123456789abcdef", "the token of the tests"
HUGE = 100 * 1024 * 1024


@dataclass(frozen=True)
class Fault:
    """What happens in place of a good answer. `takes`: the message is out all the same.

    `status` 0 cuts the connection without a word, `hangs` keeps it open and says nothing.
    """

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    takes: bool = False
    hangs: bool = False
    huge: bool = False


def busy(retry_after: str = "") -> Fault:
    """429, with or without Retry-After."""
    headers = {"Retry-After": retry_after} if retry_after else {}
    return Fault(429, headers, b'{"code": 20429, "message": "Too Many Requests", "error": "too many"}')


def refused(status: int, message: str, code: int = 21211) -> Fault:
    """A final refusal, in the words of both APIs."""
    return Fault(status, body=json.dumps({"code": code, "message": message, "error": message}).encode())


BROKEN = Fault(500, body=b"oops", takes=True)
CUT = Fault(takes=True)
GARBAGE = Fault(200, body=b"<html>\xff</html>", takes=True)
WRONG_SHAPE = Fault(201, body=b'{"sid": 7, "id": null}', takes=True)
SWOLLEN = Fault(201, takes=True, huge=True)
HANGS = Fault(takes=True, hangs=True)
ELSEWHERE = Fault(302, {"Location": "http://169.254.169.254/latest/meta-data"})


@dataclass(frozen=True)
class Took:
    """One message that went out."""

    provider_id: str
    key: str
    sender: str
    to: str
    text: str
    reports: str = ""


@dataclass
class SmsFake:
    """The provider. `took` is what would be on people's phones; `asked` each request it got."""

    took: list[Took] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    faults: deque[Fault] = field(default_factory=deque)
    to: defaultdict[str, deque[Fault]] = field(default_factory=lambda: defaultdict(deque))
    sent_of_huge: int = 0
    port: int = 0
    _open: set[asyncio.Task[None]] = field(default_factory=set)
    _server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def gateway(self) -> str:
        return f"{self.url}/sms"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server
        self._server.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._open.add(task)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._answer(reader, writer)
        finally:
            self._open.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        method, target, headers, body = await _request(reader)
        self.asked.append(f"{method} {urlsplit(target).path}")
        if method == "GET":
            known = self._by_key(parse_qs(urlsplit(target).query)["key"][0])
            await _write(writer, 200 if known else 404, {}, json.dumps({"id": known and known.provider_id}))
            return
        message = self._read(target, headers, body)
        scripted = self.to[message.to] or self.faults
        fault = scripted.popleft() if scripted else None
        took = self._take(message) if fault is None or fault.takes else None
        if fault is None:
            assert took
            said = {"sid": took.provider_id, "status": "queued", "id": took.provider_id}
            await _write(writer, 201, {}, json.dumps(said))
        elif fault.hangs:
            await asyncio.Event().wait()
        elif fault.huge:
            await self._write_much(writer)
        elif fault.status:
            await _write(writer, fault.status, fault.headers, fault.body)

    def _by_key(self, key: str) -> Took | None:
        return next((one for one in self.took if one.key == key), None)

    def _read(self, target: str, headers: Mapping[str, str], body: bytes) -> Took:
        number = f"SM{len(self.took):032x}"
        if "Messages.json" in target:
            pairs = parse_qs(body.decode(), keep_blank_values=True)
            form = {name: values[0] for name, values in pairs.items()}
            sender = form.get("From") or form.get("MessagingServiceSid", "")
            return Took(number, "", sender, form["To"], form["Body"], form.get("StatusCallback", ""))
        key, sent = headers["idempotency-key"], json.loads(body)
        return Took(number, key, sent["from"], sent["to"], sent["text"], sent["reports"])

    def _take(self, message: Took) -> Took:
        if message.key and (known := self._by_key(message.key)):
            return known
        self.took.append(message)
        return message

    async def _write_much(self, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 201 Created\r\nContent-Length: {HUGE}\r\n\r\n".encode())
        while self.sent_of_huge < HUGE:
            writer.write(b" " * 65536)
            self.sent_of_huge += 65536
            await writer.drain()


async def _request(reader: asyncio.StreamReader) -> tuple[str, str, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ")
    lines = [line.partition(":") for line in head[1:] if line]
    headers = {name.lower(): value.strip() for name, _, value in lines}
    return method, target, headers, await reader.readexactly(int(headers.get("content-length", "0")))


async def _write(
    writer: asyncio.StreamWriter, status: int, headers: Mapping[str, str], body: str | bytes
) -> None:
    content = body.encode() if isinstance(body, str) else body
    told = {**headers, "Content-Length": str(len(content)), "Connection": "close"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
    writer.write(f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + content)
    await writer.drain()
