"""The dialogue with a mail server: whatever goes wrong, it is known whether the message may be out."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from activities.providers.console import ConsoleMail
from activities.providers.mail import Ambiguous, Delivery, Letter, NotSent
from activities.providers.smtp import SmtpMail
from tests.smtp_sink import SmtpSink

ADA, BEN = "ada@company.example", "ben@company.example"
CONTENT = b"Subject: Hi\r\n\r\nHo\r\n"
LETTER = Letter("<1@a.example>", "a@b.example", (ADA,), CONTENT)
SILENCE, DROP = "silence", "drop"
CONNECT, MESSAGE = "connect", "message"
"""Stages of the dialogue that are no commands."""
USUAL = {
    CONNECT: "220 hi", "EHLO": "250-hi\r\n250 8BITMIME", "STARTTLS": "220 go on", "DATA": "354 go on",
    "QUIT": "221 bye",
}  # fmt: skip
AUTH = "250-hi\r\n250 AUTH PLAIN"


class Scripted:
    """A mail server that answers each stage as it is told, and keeps what it was told."""

    def __init__(self, replies: dict[str, str], tls: ssl.SSLContext | None = None) -> None:
        self.replies, self.tls, self.port = replies, tls, 0
        self.heard: list[str] = []

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Scripted]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            stage = CONNECT
            while await self._answer(writer, stage):
                if stage == "STARTTLS" and self.tls:
                    await writer.start_tls(self.tls)
                if stage == "DATA":
                    await reader.readuntil(b"\r\n.\r\n")
                    stage = MESSAGE
                    continue
                line = (await reader.readline()).decode().strip()
                if not line:
                    break
                self.heard.append(line)
                stage = line.partition(" ")[0].upper()
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, stage: str) -> bool:
        reply = self.replies.get(stage, USUAL.get(stage, "250 OK"))
        if reply == DROP:
            writer.transport.abort()
            return False
        if reply != SILENCE:
            writer.write(reply.encode() + b"\r\n")
            await writer.drain()
        return True


async def deliver(server: Scripted | SmtpSink, *to: str, content: bytes = CONTENT, **how: object) -> Delivery:
    mail = SmtpMail("127.0.0.1", server.port, **{"timeout": 5.0, "name": "crm.example"} | how)  # type: ignore[arg-type]
    async with asyncio.timeout(30):  # of the test: nothing waits for ever
        return await mail.send(Letter("<1@company.example>", "crm@company.example", to or (ADA,), content))


# -- connections -------------------------------------------------------------------------------------
async def both(server: Scripted, between: str = "") -> None:
    """Two letters by one account; `between`: what the server then answers to RSET."""
    mail, letter = SmtpMail("127.0.0.1", server.port), LETTER
    await mail.send(letter)
    server.replies |= {"RSET": between} if between else {}
    assert (await mail.send(letter)).accepted == (ADA,)
    await mail.close()


def commands(server: Scripted) -> list[str]:
    return [line.partition(" ")[0].upper() for line in server.heard]


async def test_a_connection_is_kept_for_the_next_message_and_closed_with_a_goodbye() -> None:
    async with Scripted({"EHLO": AUTH}).open() as server:
        await both(server)
    message = ["MAIL", "RCPT", "DATA"]
    assert commands(server) == ["EHLO", *message, "RSET", *message, "QUIT"]


@pytest.mark.parametrize("lost", [DROP, "421 4.4.2 too long idle", "nonsense"])
async def test_one_that_was_lost_meanwhile_is_replaced(lost: str) -> None:
    async with Scripted({}).open() as server:
        await both(server, lost)
    assert commands(server).count("EHLO") == commands(server).count("DATA") == 2


async def test_one_on_which_something_went_wrong_is_not_used_again() -> None:
    async with Scripted({MESSAGE: "451 4.3.0 later"}).open() as server:
        mail, letter = SmtpMail("127.0.0.1", server.port), LETTER
        for _ in range(2):
            with pytest.raises(NotSent):
                await mail.send(letter)
    assert "RSET" not in commands(server)
    assert commands(server).count("EHLO") == 2


async def test_messages_at_once_have_a_connection_each(smtp: SmtpSink) -> None:
    mail, letter = SmtpMail("127.0.0.1", smtp.port), LETTER
    for _ in range(2):
        await asyncio.gather(*(mail.send(letter) for _ in range(10)))
    await mail.close()
    assert len(smtp.messages) == 20


# -- before the message ------------------------------------------------------------------------------
@pytest.mark.parametrize("stage", [CONNECT, "EHLO", "MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("reply", [SILENCE, DROP, "421 4.3.2 shutting down", "nonsense"])
async def test_what_goes_wrong_before_the_message_may_be_tried_again(stage: str, reply: str) -> None:
    async with Scripted({stage: reply}).open() as server:
        with pytest.raises(NotSent) as refusal:
            await deliver(server, timeout=0.2)
    assert refusal.value.temporary
    assert refusal.value.message


@pytest.mark.parametrize("stage", [CONNECT, "MAIL", "DATA"])
@pytest.mark.parametrize(("reply", "temporary"), [("450 4.7.1 later", True), ("554 5.7.1 never", False)])
async def test_a_code_of_four_hundred_may_pass_one_of_five_hundred_does_not(
    stage: str, reply: str, temporary: bool
) -> None:
    async with Scripted({stage: reply}).open() as server:
        with pytest.raises(NotSent) as refusal:
            await deliver(server)
    assert (refusal.value.message, refusal.value.temporary) == (reply, temporary)


async def test_nobody_listens() -> None:
    with pytest.raises(NotSent) as refusal:
        await SmtpMail("127.0.0.1", 1).send(Letter("<1@a.example>", "a@b.example", (ADA,), CONTENT))
    assert refusal.value.temporary


async def test_a_server_that_dribbles_is_not_waited_for() -> None:
    async def dribble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                writer.write(b"220-a\r\n")
                await writer.drain()
                await asyncio.sleep(0.02)
        except ConnectionError:
            writer.close()

    server = Scripted({})
    listening = await asyncio.start_server(dribble, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    with pytest.raises(NotSent) as refusal:
        await deliver(server, timeout=0.3)
    assert refusal.value.temporary
    listening.close()


async def test_a_reply_without_end_is_not_read_for_ever() -> None:
    async with Scripted({"MAIL": "250 " + "x" * 1_000_000}).open() as server:
        with pytest.raises(NotSent):
            await deliver(server)


async def test_a_server_that_knows_only_helo_is_served() -> None:
    async with Scripted({"EHLO": "502 5.5.1 what?"}).open() as server:
        assert (await deliver(server)).accepted == (ADA,)
    assert server.heard[:2] == ["EHLO crm.example", "HELO crm.example"]


# -- after the message -------------------------------------------------------------------------------
@pytest.mark.parametrize("reply", [SILENCE, DROP, "nonsense", "354 once more"])
async def test_a_message_without_an_answer_may_have_arrived(reply: str) -> None:
    async with Scripted({MESSAGE: reply}).open() as server:
        with pytest.raises(Ambiguous):
            await deliver(server, timeout=0.2)


@pytest.mark.parametrize(("reply", "temporary"), [("451 4.3.0 later", True), ("554 5.7.1 spam", False)])
async def test_a_message_that_is_refused_has_not_arrived(reply: str, temporary: bool) -> None:
    async with Scripted({MESSAGE: reply}).open() as server:
        with pytest.raises(NotSent) as refusal:
            await deliver(server)
    assert (refusal.value.message, refusal.value.temporary) == (reply, temporary)


@pytest.mark.parametrize("reply", [SILENCE, DROP, "500 no"])
async def test_once_it_is_taken_the_goodbye_does_not_matter(reply: str) -> None:
    async with Scripted({"QUIT": reply}).open() as server:
        assert (await deliver(server)).accepted == (ADA,)


async def test_dots_and_ends_of_lines_arrive_as_they_were(smtp: SmtpSink) -> None:
    await deliver(smtp, content=b"Subject: Hi\n\n.\n..\n.hidden\r\nend\rlast")
    assert smtp.messages[0].content == b"Subject: Hi\r\n\r\n.\r\n..\r\n.hidden\r\nend\r\nlast\r\n"


# -- recipients --------------------------------------------------------------------------------------
async def test_each_recipient_is_answered_for(smtp: SmtpSink) -> None:
    smtp.to_recipient[ADA].append("550 5.1.1 no such user")
    smtp.to_recipient[BEN].append("452 4.2.2 full\x07 up")
    delivery = await deliver(smtp, ADA, BEN, "eve@company.example")
    assert delivery.accepted == ("eve@company.example",)
    assert {who: (r.code, r.text, r.temporary) for who, r in delivery.refused.items()} == {
        ADA: (550, "5.1.1 no such user", False),
        BEN: (452, "4.2.2 full  up", True),
    }


async def test_without_a_recipient_there_is_no_message() -> None:
    async with Scripted({"RCPT": "550 5.1.1 no such user"}).open() as server:
        assert (await deliver(server)).accepted == ()
    assert "DATA" not in server.heard


@pytest.mark.parametrize(
    "address", ["a@b.example>\r\nRCPT TO:<c@d.example", "a@b.example> SIZE=1", "a b@c.example"]
)
async def test_an_address_is_never_a_command(address: str) -> None:
    async with Scripted({}).open() as server:
        delivery = await deliver(server, address, ADA)
    assert (delivery.accepted, list(delivery.refused)) == ((ADA,), [address])
    assert [line for line in server.heard if line.startswith("RCPT")] == [f"RCPT TO:<{ADA}>"]


async def test_an_international_domain_is_said_in_ascii() -> None:
    async with Scripted({}).open() as server:
        assert (await deliver(server, "info@bücher.example")).accepted == ("info@bücher.example",)
    assert "RCPT TO:<info@xn--bcher-kva.example>" in server.heard


async def test_an_international_name_needs_a_server_that_knows_it() -> None:
    juergen = "jürgen@bücher.example"
    async with Scripted({"EHLO": "250-hi\r\n250-8BITMIME\r\n250 SMTPUTF8"}).open() as server:
        assert (await deliver(server, juergen)).accepted == (juergen,)
    assert "MAIL FROM:<crm@company.example> SMTPUTF8" in server.heard
    async with Scripted({}).open() as server:
        delivery = await deliver(server, juergen, ADA)
    assert (delivery.accepted, delivery.refused[juergen].temporary) == ((ADA,), False)
    assert "MAIL FROM:<crm@company.example>" in server.heard


async def test_eight_bits_need_a_server_that_takes_them() -> None:
    async with Scripted({}).open() as server:
        await deliver(server, content="Subject: Hi\r\n\r\nGrüße\r\n".encode())
    assert "MAIL FROM:<crm@company.example> BODY=8BITMIME" in server.heard
    async with Scripted({"EHLO": "250 hi"}).open() as server:
        with pytest.raises(NotSent) as refusal:
            await deliver(server, content="Subject: Hi\r\n\r\nGrüße\r\n".encode())
    assert not refusal.value.temporary


# -- who we are --------------------------------------------------------------------------------------
async def test_an_account_is_logged_in_to() -> None:
    async with Scripted({"EHLO": AUTH, "AUTH": "235 2.7.0 welcome"}).open() as server:
        await deliver(server, username="crm", password="secret")
    assert any(line.startswith("AUTH PLAIN") for line in server.heard)


@pytest.mark.parametrize(("reply", "temporary"), [("535 5.7.8 wrong", False), ("454 4.7.0 later", True)])
async def test_an_account_that_is_refused(reply: str, temporary: bool) -> None:
    async with Scripted({"EHLO": AUTH, "AUTH": reply}).open() as server:
        with pytest.raises(NotSent) as refusal:
            await deliver(server, username="crm", password="secret")
    assert (refusal.value.message, refusal.value.temporary) == (reply, temporary)
    assert "secret" not in refusal.value.message


async def test_without_tls_nothing_is_said_where_tls_is_asked_for() -> None:
    async with Scripted({"EHLO": AUTH}).open() as server:
        with pytest.raises(NotSent) as refusal:
            await deliver(server, starttls=True, username="crm", password="secret")
    assert refusal.value.temporary
    assert [line.partition(" ")[0] for line in server.heard] == ["EHLO"]


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """One that nobody knows, and its key."""
    made = tmp_path / "certificate.pem", tmp_path / "key.pem"
    what = ["-x509", "-newkey", "rsa:2048", "-nodes", "-out", str(made[0]), "-keyout", str(made[1])]
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(["openssl", "req", *what, *name], check=True, capture_output=True)
    return made


async def test_with_tls_the_certificate_must_be_known(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*certificate)
    offer = {"EHLO": "250-hi\r\n250-AUTH PLAIN\r\n250 STARTTLS", "AUTH": "235 2.7.0 welcome"}
    async with Scripted(offer, tls).open() as server:
        with pytest.raises(NotSent) as refusal:
            await deliver(server, starttls=True, username="crm", password="secret")
    assert refusal.value.temporary
    assert "certificate" in refusal.value.message
    assert not any(line.startswith(("AUTH", "MAIL")) for line in server.heard)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    async with Scripted(offer, tls).open() as server:
        delivery = await deliver(server, starttls=True, username="crm", password="secret")
    assert delivery.accepted == (ADA,)
    assert [line.partition(" ")[0] for line in server.heard][:4] == ["EHLO", "STARTTLS", "EHLO", "AUTH"]


# -- for development ---------------------------------------------------------------------------------
async def test_the_console_shows_whom_a_mail_goes_to_and_how_it_begins() -> None:
    content = b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\n" + b"x" * 500 + b"\r\n"
    with capture_logs() as lines:
        letter = Letter("<1@a.example>", "a@b.example", (ADA, BEN), content)
        assert await ConsoleMail().send(letter) == Delivery((ADA, BEN), {})
    (line,) = lines
    assert (line["to"], line["subject"], line["text"]) == (f"{ADA}, {BEN}", "Grüße", "x" * 200)
