"""A stranger without a key cannot shut the API out: not by half requests, not by endless ones."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import psutil
import pytest

from api.limits import LONG_AT_ONCE
from tests.stories.test_api_process import Served, serving

HEALTH = b"GET /api/v1/health HTTP/1.1\r\nhost: jalon\r\n\r\n"
SECRETS = '{"email": "whsec_c3VmZmljaWVudGx5LWxvbmctc2VjcmV0"}'


@pytest.fixture
async def served(database_url: str) -> AsyncIterator[Served]:
    async with serving(database_url, JALON_HOOK_SECRETS=SECRETS) as found:
        yield found


class Line:
    """A connection of bare bytes to the API."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, served: Served) -> Line:
        port = served[0].base_url.port
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def says(self) -> bytes:
        """All that is answered until the other side closes."""
        try:
            return await asyncio.wait_for(self.reader.read(), 90)
        except ConnectionResetError:
            return b""

    async def pours(self, piece: bytes, most: int) -> int:
        """Send it again and again until the other side has enough; answers how much was sent."""
        sent = 0
        try:
            while sent < most and not self.reader.at_eof():
                self.writer.write(piece)
                await self.writer.drain()
                sent += len(piece)
        except (ConnectionResetError, BrokenPipeError):
            pass
        return sent


def memory(served: Served) -> int:
    return psutil.Process(served[1].pid).memory_info().rss


async def test_a_half_request_is_closed_and_an_idle_connection_too(served: Served) -> None:
    half, idle = await Line.to(served), await Line.to(served)
    half.writer.write(b"GET /api/v1/health HTTP/1.1\r\nhost: jal")
    assert (await half.says()).startswith(b"HTTP/1.1 408 ")
    assert (await idle.says()).startswith(b"HTTP/1.1 408 ")


async def test_headers_without_end_are_refused_before_they_fill_the_memory(served: Served) -> None:
    before = memory(served)
    many, long, whole = await Line.to(served), await Line.to(served), await Line.to(served)
    many.writer.write(b"GET /api/v1/health HTTP/1.1\r\n")
    assert await many.pours(b"x-more: " + b"y" * 1000 + b"\r\n", 200 << 20) < 8 << 20
    long.writer.write(b"GET /api/v1/health HTTP/1.1\r\nx-long: ")
    assert await long.pours(b"y" * 65536, 200 << 20) < 8 << 20
    whole.writer.write(b"GET /api/v1/health HTTP/1.1\r\nx-long: " + b"y" * 40_000 + b"\r\n\r\n")
    assert (await whole.says()).startswith(b"HTTP/1.1 431 ")
    assert memory(served) - before < 30 << 20


async def test_a_body_is_refused_by_its_head_when_nothing_shows_who_sends_it(served: Served) -> None:
    head = b"POST /api/v1/hooks/email HTTP/1.1\r\nhost: jalon\r\ncontent-length: 9000000\r\n"
    now = str(int(time.time())).encode()
    signed = b"webhook-id: 1\r\nwebhook-signature: v1,guessed\r\nwebhook-timestamp: "
    for more, status in (
        (b"", b"401"),  # unsigned
        (signed + b"1000000000\r\n", b"401"),  # signed long ago
    ):
        line = await Line.to(served)
        line.writer.write(head + more + b"\r\n")
        assert (await asyncio.wait_for(line.reader.readline(), 30)).split()[1] == status
        line.writer.close()
    nobody = await Line.to(served)
    nobody.writer.write(head.replace(b"email", b"bank") + signed + now + b"\r\n\r\n")
    assert (await nobody.reader.readline()).split()[1] == b"404"
    nobody.writer.close()


async def test_only_so_many_long_bodies_are_taken_in_at_once(served: Served) -> None:
    now = str(int(time.time())).encode()
    head = (
        b"POST /api/v1/hooks/email HTTP/1.1\r\nhost: jalon\r\ncontent-length: 9000000\r\nwebhook-id: 1\r\n"
        b"webhook-signature: v1,guessed\r\nwebhook-timestamp: " + now + b"\r\n\r\n"
    )
    lines = [await Line.to(served) for _ in range(12)]
    for line in lines:
        line.writer.write(head)
    first_lines = [asyncio.create_task(line.reader.readline()) for line in lines]
    answers = asyncio.as_completed(first_lines, timeout=30)
    refused = [await one for _, one in zip(range(12 - LONG_AT_ONCE), answers, strict=False)]
    assert {line.split()[1] for line in refused} == {b"503"}  # the others wait for their bodies
    for line in lines:
        line.writer.close()


async def test_chunks_that_carry_nothing_are_not_read_for_ever(served: Served) -> None:
    line = await Line.to(served)
    line.writer.write(b"GET /api/v1/health HTTP/1.1\r\nhost: jalon\r\ntransfer-encoding: chunked\r\n\r\n")
    extension = b"1;" + b"x" * 60_000 + b"\r\ny\r\n"
    assert await line.pours(extension, 200 << 20) < 16 << 20


async def test_callers_are_served_while_a_stranger_holds_more_connections_than_there_are_descriptors(
    database_url: str,
) -> None:
    async with serving(database_url) as served:
        process = psutil.Process(served[1].pid)
        process.rlimit(psutil.RLIMIT_NOFILE, (256, 256))
        held = []
        for _ in range(300):
            line = await Line.to(served)
            line.writer.write(b"GET /api/v1/health HTTP/1.1\r\n")
            held.append(line)
        assert (await served[0].get("/health")).status_code == 200
        assert process.num_fds() < 256
        for line in held:
            line.writer.close()
