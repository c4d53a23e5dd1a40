"""Workers tell the bench by UDP what has happened, and when: no polling, and next to no CPU."""

from __future__ import annotations

import asyncio
import os
import socket
import time

_port = int(os.environ.get("BENCH_BEACON", "0"))
_socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def tell(what: str, who: str) -> None:
    """Say that `what` has happened to `who`, now."""
    _socket.sendto(f"{what} {who} {time.monotonic()}".encode(), ("127.0.0.1", _port))


class Expected:
    """Something that is to happen a number of times; `first` is when it did first (monotonic seconds)."""

    def __init__(self, count: int) -> None:
        self.left, self.first = count, 0.0
        self.last: asyncio.Future[float] = asyncio.get_running_loop().create_future()


class Listener(asyncio.DatagramProtocol):
    """The bench's end."""

    def __init__(self) -> None:
        self._waiting: dict[str, Expected] = {}

    def datagram_received(self, data: bytes, addr: object) -> None:
        what, who, at = data.decode().split()
        if not (expected := self._waiting.get(f"{what} {who}")):
            return
        expected.first = expected.first or float(at)
        expected.left -= 1
        if expected.left == 0:
            del self._waiting[f"{what} {who}"]
            expected.last.set_result(float(at))

    def expect(self, what: str, who: str, count: int = 1) -> Expected:
        """Listen for it from now on."""
        expected = self._waiting[f"{what} {who}"] = Expected(count)
        return expected


async def listen() -> tuple[Listener, int]:
    """A listener and its port."""
    loop = asyncio.get_running_loop()
    heard = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    heard.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    heard.bind(("127.0.0.1", 0))
    heard.setblocking(False)
    _, listener = await loop.create_datagram_endpoint(Listener, sock=heard)
    return listener, heard.getsockname()[1]
