"""A way to a server on which answers are lost: what was asked for is done, and nobody is told."""

from __future__ import annotations

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

AWAY = (ConnectionError, OSError, EOFError)
LINGER = 0.05
"""Seconds for which what comes back is swallowed before the connection is cut."""


class Lossy:
    """Listens on a port of its own and passes on to one of the loopback.

    `loses` is asked of every piece that a caller sends; where it says so the answer to that piece is
    swallowed, as soon as there is one, and the connection cut. `lost`: how many were; none unless it is `on`.
    """

    def __init__(self, to: int, loses: Callable[[bytes], bool]) -> None:
        self.to, self.loses = to, loses
        self.port, self.lost, self.on = 0, 0, False
        self._server: asyncio.Server | None = None
        self._under_way: set[StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()

    def cut(self) -> None:
        """End all connections at once."""
        for writer in [*self._under_way]:
            writer.transport.abort()

    async def _serve(self, asks: StreamReader, answers: StreamWriter) -> None:
        try:
            back, on = await asyncio.open_connection("127.0.0.1", self.to)
        except AWAY:
            answers.transport.abort()
            return
        both = {answers, on}
        self._under_way |= both
        doomed = asyncio.Event()
        ways = [
            asyncio.create_task(self._onwards(asks, on, doomed)),
            asyncio.create_task(self._back(back, answers, doomed)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._under_way -= both
            for writer in both:
                writer.transport.abort()

    async def _onwards(self, asks: StreamReader, on: StreamWriter, doomed: asyncio.Event) -> None:
        with suppress(*AWAY):
            while piece := await asks.read(2**16):
                if self.on and not doomed.is_set() and self.loses(piece):
                    doomed.set()
                on.write(piece)
                await on.drain()

    async def _back(self, back: StreamReader, answers: StreamWriter, doomed: asyncio.Event) -> None:
        with suppress(*AWAY):
            while piece := await back.read(2**16):
                if doomed.is_set():
                    self.lost += 1
                    await asyncio.sleep(LINGER)
                    return
                answers.write(piece)
                await answers.drain()
