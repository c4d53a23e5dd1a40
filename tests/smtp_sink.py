"""A mail server on the loopback that keeps what it takes and answers as a test tells it to."""

from __future__ import annotations

import asyncio
import email.policy
import socket
from collections import defaultdict, deque
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.parser import BytesParser

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

DROP = "drop"
"""In place of a reply to DATA: take the message, then cut the connection without a word."""


@dataclass(frozen=True)
class Received:
    """One message as it was handed over; `recipients` are those of the envelope."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes

    @property
    def parsed(self) -> EmailMessage:
        return BytesParser(_class=EmailMessage, policy=email.policy.SMTP).parsebytes(self.content)

    @property
    def message_id(self) -> str:
        return str(self.parsed["Message-ID"])


@dataclass
class SmtpSink:
    """Takes everything, unless `to_recipient` or `to_data` hold scripted replies.

    Each reply is used once, in order: `sink.to_recipient["a@b.c"].append("550 5.1.1 unknown")`,
    `sink.to_data.append("451 4.3.0 later")`, `sink.to_data.append(DROP)`. A message refused at DATA is
    not kept, one whose connection is dropped is.
    """

    messages: list[Received] = field(default_factory=list)
    to_recipient: defaultdict[str, deque[str]] = field(default_factory=lambda: defaultdict(deque))
    to_data: deque[str] = field(default_factory=deque)
    host: str = "127.0.0.1"
    port: int = 0
    _controller: Controller | None = None

    def start(self) -> None:
        """Listen on a free port, which is then `port`."""
        self.port = _free_port(self.host)
        self._controller = Controller(self, hostname=self.host, port=self.port, ready_timeout=10)
        self._controller.start()

    def stop(self) -> None:
        if self._controller is not None:
            self._controller.stop()

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, rcpt_options: list[str]
    ) -> str:
        if scripted := self.to_recipient.get(address):
            return scripted.popleft()
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(rcpt_options)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        reply = self.to_data.popleft() if self.to_data else "250 2.0.0 OK"
        if reply == DROP or reply.startswith("2"):
            content = envelope.original_content or b""
            self.messages.append(Received(envelope.mail_from or "", tuple(envelope.rcpt_tos), content))
        if reply == DROP:
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
        return reply


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port
