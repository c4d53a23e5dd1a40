"""`jalon mail`: takes the mail of clients in over SMTP, from the mail server in front of it.

A mail is acknowledged when what it does is committed. While the database is away the answer is 451, and the
mail server keeps the mail and comes again. Nothing is ever passed on: it is no relay.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final

import structlog
import uvloop
from aiosmtpd.smtp import SMTP

from activities.catalogue import nature
from activities.house import House
from activities.inbound_mail import receive
from activities.incoming import MOST, read
from db import logs
from db.database_clock import DatabaseClock
from db.doorbell import Doorbell
from db.engine import Database
from db.rows import Ids
from db.rulebook import Rulebook
from db.settings import Settings
from db.temporal import Connection

log = structlog.get_logger()
Clock = Callable[[], datetime]
LATER: Final = "451 4.3.0 not now, please come again"
_IDLE: Final = 60  # seconds after which a silent connection is closed
_POOL_SIZE: Final = 5


class Mailbox:
    """What becomes of each mail that was handed over. The methods are named as aiosmtpd asks for them."""

    def __init__(self, database: Database, doorbell: Doorbell, house: House, clock: Clock) -> None:
        self._database, self._doorbell, self._house, self._clock = database, doorbell, house, clock
        self._book, self._ids = Rulebook(nature), Ids()

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Take one mail. Whoever sent it, known or not, the answer is the same."""
        del server, session
        raw: bytes = envelope.original_content or b""
        servers = self._house.mail.servers
        mail = await asyncio.to_thread(read, raw, envelope.mail_from or "", envelope.rcpt_tos, servers)
        async with self._database.transaction() as tx:
            received = await receive(tx, self._book, self._ids, self._house, mail, self._clock())
        self._doorbell.ring(*received.bells)
        log.info("a mail came in", outcome=received.outcome, record=received.record, size=mail.size)
        return "250 2.0.0 taken"

    async def handle_exception(self, error: Exception) -> str:
        """Nothing of it was committed: the mail server keeps it."""
        log.warning("a mail could not be taken", error=type(error).__name__)
        return LATER


@asynccontextmanager
async def listening(mailbox: Mailbox, host: str, port: int, name: str) -> AsyncIterator[int]:
    """Listen inside the block, as the mail server `name`; yields the port, which is a free one for 0."""
    loop = asyncio.get_running_loop()

    def session() -> asyncio.Protocol:
        made: asyncio.Protocol = SMTP(
            mailbox, data_size_limit=MOST, hostname=name, ident="Jalon", timeout=_IDLE, loop=loop,
            enable_SMTPUTF8=True,
        )  # fmt: skip
        return made

    server = await loop.create_server(session, host, port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def main(settings: Settings) -> None:
    """Listen until SIGTERM or SIGINT. A mail that was not acknowledged by then is the mail server's still."""
    logs.set_up(as_json=settings.log_json)
    logging.getLogger("mail.log").setLevel(logging.ERROR)  # it would name who writes to whom
    uvloop.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    database = Database(settings.database_url, _POOL_SIZE)
    doorbell = Doorbell(database, Connection(settings), settings.task_queue)
    clock = DatabaseClock()
    mailbox = Mailbox(database, doorbell, House.of(settings), clock.now)
    keeping = asyncio.create_task(clock.keep(database, stop))
    try:
        where = (settings.mail_in_host, settings.mail_in_port)
        async with listening(mailbox, *where, settings.mail_domain) as port:
            log.info("mail is taken in", host=settings.mail_in_host, port=port)
            await stop.wait()
        await doorbell.settle()
    finally:
        keeping.cancel()
        await database.close()
