"""Temporal's Web UI is for callers who name this machine, not for a page that makes its name point here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from cli.errors import free_port
from cli.web_ui import WebUiDoor, named

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """The port of a door with a Web UI behind it that answers whoever asks."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            writer.write(ANSWER)
        writer.close()

    behind = await asyncio.start_server(answer, "127.0.0.1", 0)
    outside = free_port()
    inside, names = behind.sockets[0].getsockname()[1], frozenset({"localhost", "ui.lan"})
    door = WebUiDoor("127.0.0.1", outside, inside, names)
    await asyncio.to_thread(door.open)
    yield outside
    await asyncio.to_thread(door.close)
    behind.close()


async def asked(port: int, *heads: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    said = b""
    for head in heads:
        writer.write(head)
        said += await asyncio.wait_for(reader.read(65536), 20)
    writer.close()
    return said


async def test_only_who_names_this_machine_or_a_name_of_the_settings_is_passed_on(port: int) -> None:
    for host in (b"localhost", b"LOCALHOST:8233", b"127.0.0.1:8233", b"ui.lan"):
        assert await asked(port, b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n") == ANSWER
    for host in (b"evil.example", b"evil.example:8233", b"localhost.evil.example", b"127.0.0.1.evil", b""):
        refused = await asked(port, b"POST /api/v1/namespaces HTTP/1.1\r\nhost: " + host + b"\r\n\r\n")
        assert refused.startswith(b"HTTP/1.1 421 "), host


async def test_a_connection_stays_open_for_what_follows(port: int) -> None:
    head = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert await asked(port, head, head) == ANSWER * 2


def test_no_host_and_two_hosts_name_nobody() -> None:
    assert named(b"GET / HTTP/1.1\r\n\r\n") == ""
    assert named(b"GET / HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\n\r\n") == ""
    assert named(b"GET / HTTP/1.1\r\nHost: [::1]:8233\r\n\r\n") == "[::1]"
