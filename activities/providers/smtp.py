"""E-mail over SMTP (RFC 5321), command by command: what went wrong says whether the message may be out."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from aiosmtplib import SMTP
from aiosmtplib.errors import SMTPException, SMTPHeloError, SMTPRecipientRefused, SMTPResponseException

from activities.providers.mail import Ambiguous, Delivery, Letter, NotSent, Reply
from activities.providers.mime import in_ascii_domain, mailbox
from db.fail_points import fail_point

_SHUTTING_DOWN = 421
_START_INPUT = 354
_NO_SUCH_ADDRESS = 550
_GOODBYE = 2.0  # seconds; the message is through, the answer to QUIT matters to nobody
_KEPT_FOR = 10.0  # seconds
_MOST_KEPT = 4
_LONE_BREAK = re.compile(rb"\r\n|\r|\n")
_LEADING_DOT = re.compile(rb"(?m)^\.")


class SmtpMail:
    """One account at one server.

    A connection that is through with a message is kept for the next one, for some seconds. `timeout`
    (seconds) bounds every step: connecting, each reply; all that comes before the message takes at most five
    times that. With `starttls` nothing is said in the clear, and the server's certificate must be valid.
    `name` is said in EHLO, by default the machine's.
    """

    def __init__(
        self,
        host: str,
        port: int = 25,
        *,
        username: str = "",
        password: str = "",
        starttls: bool = False,
        timeout: float = 20.0,
        name: str = "",
    ) -> None:
        self._host, self._port, self._timeout = host, port, timeout
        self._username, self._password, self._starttls = username, password, starttls
        self._name = name or socket.gethostname()
        self._idle: list[SMTP] = []

    async def send(self, letter: Letter) -> Delivery:
        """Hand the letter over. Raises `NotSent` until DATA is answered, `Ambiguous` after that."""
        client = await self._kept() or SMTP(
            hostname=self._host, port=self._port, timeout=self._timeout,
            start_tls=False, local_hostname=self._name,
        )  # fmt: skip
        try:
            with _nothing_sent():
                async with asyncio.timeout(5 * self._timeout):
                    if not client.is_connected:
                        await self._greet(client)
                    delivery = await _envelope(client, letter)
                    if delivery.accepted:
                        await _begin(client)
            if delivery.accepted:
                await self._content(client, letter.content)
        except BaseException:  # whatever is on its wire, nobody reads it any more
            client.close()
            raise
        await self._keep(client)
        return delivery

    async def close(self) -> None:
        """Say goodbye on the connections that were kept."""
        kept, self._idle = self._idle, []
        await asyncio.gather(*(_goodbye(client) for client in kept))

    async def _kept(self) -> SMTP | None:
        """A connection that was kept and is still good; RSET (RFC 5321, 4.1.1.5) begins a message anew."""
        while self._idle:
            client = self._idle.pop()
            with suppress(SMTPException, OSError):
                await client.rset(timeout=_GOODBYE)
                return client
            client.close()
        return None

    async def _keep(self, client: SMTP) -> None:
        if len(self._idle) >= _MOST_KEPT or not client.is_connected:
            return await _goodbye(client)
        self._idle.append(client)
        asyncio.get_running_loop().call_later(_KEPT_FOR, self._let_go, client)

    def _let_go(self, client: SMTP) -> None:
        """It has waited long enough, if it still does; one in use has another such call to come."""
        if client in self._idle:
            self._idle.remove(client)
            client.close()

    async def _greet(self, client: SMTP) -> None:
        await client.connect()
        if self._starttls:
            await client.starttls()
        try:
            await client.ehlo()
        except SMTPHeloError as refused:
            if refused.code == _SHUTTING_DOWN:
                raise
            await client.helo()
        if self._username:
            await client.login(self._username, self._password)

    async def _content(self, client: SMTP, content: bytes) -> None:
        """From the first byte on the message may be taken."""
        if client.protocol is None:
            raise NotSent("the connection was lost before the message", temporary=True)
        try:
            client.protocol.write(_stuffed(content))
            code, said = await client.protocol.read_response(timeout=self._timeout)
        except (SMTPException, OSError) as error:
            raise Ambiguous(f"the message was sent, and no answer came: {_printable(str(error))}") from error
        if code // 100 in (4, 5):
            raise NotSent(_shown(Reply(code, _printable(said))), temporary=code // 100 == 4)
        if code // 100 != 2:
            raise Ambiguous(f"the message was sent, and the answer is none: {code} {_printable(said)}")


async def _goodbye(client: SMTP) -> None:
    with suppress(SMTPException, OSError):
        await client.quit(timeout=_GOODBYE)
    client.close()


@contextmanager
def _nothing_sent() -> Iterator[None]:
    """Whatever goes wrong inside, the message itself has not been sent."""
    try:
        yield
    except SMTPResponseException as error:
        reply = Reply(error.code, _printable(error.message))
        raise NotSent(_shown(reply), temporary=reply.code // 100 != 5) from error
    except (SMTPException, OSError) as error:  # TLS and time-outs too
        raise NotSent(_printable(str(error)) or type(error).__name__, temporary=True) from error
    except ValueError as error:  # what the library does not put on a command line
        raise NotSent(_printable(str(error)), temporary=False) from error


async def _envelope(client: SMTP, letter: Letter) -> Delivery:
    """MAIL and RCPT: who of the recipients is let in."""
    wide = client.supports_extension("smtputf8")
    options = _body_option(client, letter.content)
    sender = _on_the_line(letter.sender)
    if wide and not all(address.rpartition("@")[0].isascii() for address in (sender, *letter.recipients)):
        options.append("SMTPUTF8")
    await client.mail(sender, options=options, encoding="utf-8" if wide else "ascii")
    refused: dict[str, Reply] = {}
    for recipient in letter.recipients:
        try:
            await client.rcpt(_on_the_line(recipient), encoding="utf-8" if wide else "ascii")
        except SMTPRecipientRefused as error:
            if error.code == _SHUTTING_DOWN:  # that goes for all of them
                raise
            refused[recipient] = Reply(error.code, _printable(error.message))
        except ValueError:  # RFC 6531, 3.5
            refused[recipient] = Reply(_NO_SUCH_ADDRESS, "5.6.7 the server can be told no address like this")
    return Delivery(tuple(r for r in letter.recipients if r not in refused), refused)


def _on_the_line(address: str) -> str:
    """As it is said in a command. Raises `ValueError` for anything but a bare address."""
    if mailbox(address).address != address:
        raise ValueError(f"{address!r} is no bare address")
    return in_ascii_domain(address)


def _body_option(client: SMTP, content: bytes) -> list[str]:
    if content.isascii():
        return []
    if not client.supports_extension("8bitmime"):
        raise NotSent("the server takes no 8-bit text (8BITMIME)", temporary=False)
    return ["BODY=8BITMIME"]


async def _begin(client: SMTP) -> None:
    fail_point("sending.before_data")
    response = await client.execute_command(b"DATA")
    if response.code != _START_INPUT:
        raise SMTPResponseException(response.code, response.message)


def _stuffed(content: bytes) -> bytes:
    """With the end of lines and leading dots as RFC 5321 (2.3.8, 4.5.2) wants them, and the final dot."""
    lines = _LONE_BREAK.sub(b"\r\n", content)
    if not lines.endswith(b"\r\n"):
        lines += b"\r\n"
    return _LEADING_DOT.sub(b"..", lines) + b".\r\n"


def _shown(reply: Reply) -> str:
    return f"{reply.code} {reply.text}"


def _printable(text: str) -> str:
    """What a server said, fit to be kept and shown: a line of bounded length."""
    return "".join(c if c.isprintable() else " " for c in text)[:500].strip()
