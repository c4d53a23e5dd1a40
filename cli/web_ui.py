"""The door of Temporal's Web UI: it opens to callers who name this machine, and to nobody else.

The Web UI answers whatever host a browser was told it is, so that any page a person has open could make its
own name point here (DNS rebinding) and end journeys. What names another host is refused before it reaches it.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import Final

NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_HEAD_WITHIN: Final = 10.0  # seconds
_MOST_OF_HEAD: Final = 64 * 1024
_REFUSAL: Final = (
    b"HTTP/1.1 421 Misdirected Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"  # RFC 9110, 15.5.20
)


class WebUiDoor:
    """Listens at `port` of `host` and passes on to `behind`, in a thread of its own until `close`.

    `names` are the hosts it answers to beside its own address. A browser keeps a connection for each name it
    knows, so the first head of a connection speaks for all that follow.
    """

    def __init__(self, host: str, port: int, behind: int, names: frozenset[str] = NAMES) -> None:
        self._host, self._port, self._behind = host, port, behind
        self._names = names | {host}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="web-ui", daemon=True)
        self._open = threading.Event()

    def open(self) -> None:
        """Begin to listen; returns when it does."""
        self._thread.start()
        self._open.wait(10)

    def close(self) -> None:
        """Stop listening, and end what is under way."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        serving = asyncio.start_server(self._met, self._host, self._port, limit=_MOST_OF_HEAD)
        server = self._loop.run_until_complete(serving)
        self._open.set()
        try:
            self._loop.run_forever()
        finally:
            server.close()
            under_way = asyncio.all_tasks(self._loop)
            for task in under_way:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*under_way, return_exceptions=True))
            self._loop.close()

    async def _met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _HEAD_WITHIN)
            if named(head) not in self._names:
                writer.write(_REFUSAL)
                await writer.drain()
                return
            inside, outside = await asyncio.open_connection(self._host, self._behind)
            outside.write(head)
            with suppress(OSError):
                await asyncio.gather(_pass(reader, outside), _pass(inside, writer))
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # whoever called has gone, or Temporal is being started again
        finally:
            writer.close()


def named(head: bytes) -> str:
    """The host that a head names, without its port; empty if it names none, or several."""
    lines = [line.partition(b":") for line in head.split(b"\r\n")[1:]]
    hosts = [value.strip().decode("latin-1").lower() for name, _, value in lines if name.lower() == b"host"]
    if len(hosts) != 1:
        return ""
    bare, colon, port = hosts[0].rpartition(":")
    return bare if colon and port.isdecimal() else hosts[0]


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hand on all that comes, then say that no more does."""
    try:
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    finally:
        with suppress(OSError):
            writer.close()
