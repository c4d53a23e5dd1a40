"""`jalon mail` as a process of its own, from the first mail to SIGTERM."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path

import aiosmtplib
import pytest
from pydantic import SecretStr

from activities.reply_address import reply_address
from db.engine import Database
from tests import builders
from tests.stories.conftest import Stored

ROOT = Path(__file__).parents[2]
MAIL = (
    "From: clara@client.example\r\nTo: {}\r\nSubject: Re: Your offer\r\n"
    "Message-ID: <1@client.example>\r\n\r\nYes, please.\r\n"
)


async def run(*command: str, **environment: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli", *command, cwd=ROOT, env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip


async def handed_over(port: int, to: str) -> str:
    """What the server says of a mail, as soon as it is there."""
    async with asyncio.timeout(60):
        while True:
            try:
                async with aiosmtplib.SMTP(hostname="127.0.0.1", port=port) as client:
                    _, said = await client.sendmail("clara@client.example", [to], MAIL.format(to))
                    return said
            except aiosmtplib.SMTPConnectError:  # the process is not ready yet
                await asyncio.sleep(0.1)


async def test_a_mail_is_durable_when_it_is_acknowledged_and_nothing_of_it_is_logged(
    database: Database, database_url: str, stored: Stored
) -> None:
    async with database.transaction() as tx:
        await builders.company(tx)
        deal = await builders.deal(tx, contact=await builders.contact(tx))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    own = {"JALON_DATABASE_URL": database_url, "JALON_TEMPORAL_ADDRESS": "127.0.0.1:1"}
    process = await run("mail", JALON_MAIL_IN_PORT=str(port), JALON_REPLY_SECRET="a secret", **own)
    try:
        to = reply_address(SecretStr("a secret"), deal, "jalon.localhost")
        assert (await handed_over(port, to)).startswith("2.0.0")
        (activity,) = await stored("select external_id, record_id from client_activity")
        assert activity == {"external_id": "email:<1@client.example>", "record_id": deal}
    finally:
        process.terminate()
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    assert b"a mail came in" in output
    assert b"clara" not in output
    assert b"offer" not in output


@pytest.mark.parametrize("port", ["", "0"])
async def test_without_a_port_it_says_what_is_missing(port: str) -> None:
    own = {"JALON_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
    own |= {"JALON_TEMPORAL_ADDRESS": "127.0.0.1:1"} | ({"JALON_MAIL_IN_PORT": port} if port else {})
    process = await run("mail", **own)
    output, _ = await process.communicate()
    assert process.returncode == 1
    assert b"JALON_MAIL_IN_PORT" in output
