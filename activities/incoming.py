"""A mail as it came in: read as far as is needed to know whose it is, and no further.

The headers are read after the library's old policy: the new one takes headers apart with a grammar that
fails on, or is slow with, what some senders and all attackers write. The body is looked at only in a report
of a mail server, so that no part of a mail, however deep or large, costs more than its bytes.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from email.errors import HeaderParseError, MessageError
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesHeaderParser, BytesParser, HeaderParser
from email.utils import getaddresses
from hashlib import sha256
from typing import Final, NamedTuple

from activities.providers.mime import one_line
from domain import addresses

MOST: Final = 10 * 1024 * 1024
"""Bytes of a mail."""
_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,120}@[!-;=?-~]{1,120}>")
_RECIPIENTS = ("To", "Cc", "Delivered-To", "X-Original-To", "Envelope-To")
_LONGEST_HEADER, _MOST_IDS, _LONGEST_TEXT = 20_000, 50, 300
_MOST_OF_REPORT = 1024 * 1024


class Failure(NamedTuple):
    """Whom a mail server could not deliver to, and its words."""

    address: str
    text: str


class Report(NamedTuple):
    """What a mail server reports of one of our messages (RFC 3464)."""

    message_id: str
    failures: tuple[Failure, ...]


class Incoming(NamedTuple):
    """One mail. `thread`: the Message-IDs it answers, the nearest first.

    `message_id` without one in the mail is made of its content. `automatic`: no person wrote it. `report`: a
    mail server did, of a message that could not be delivered.
    """

    message_id: str
    sender: str
    recipients: tuple[str, ...]
    subject: str
    thread: tuple[str, ...]
    automatic: bool
    report: Report | None
    size: int


def read(raw: bytes, mail_from: str | None = None, rcpt_tos: Sequence[str] = ()) -> Incoming:
    """Read a mail (RFC 5322). The envelope is known where it came by SMTP; `mail_from` is empty for a bounce.

    Whatever the bytes are, there is an answer: without a sender that is an address, `sender` is empty.
    """
    headers = BytesHeaderParser().parsebytes(raw)
    ids = _MESSAGE_ID.findall(_text(headers, "Message-ID"))
    senders = [*_addresses(headers, "From"), *_addresses(headers, "Sender")]
    is_report = headers.get_content_type() == "multipart/report"
    automatic = is_report or mail_from in ("", "<>") or _automatic(headers)
    return Incoming(
        message_id=ids[0] if len(ids) == 1 else f"sha256:{sha256(raw).hexdigest()}",
        sender=next((address for written in senders if (address := _address(written))), ""),
        recipients=(*rcpt_tos, *_addresses(headers, *_RECIPIENTS)),
        subject=_subject(headers),
        thread=tuple(_thread(headers)),
        automatic=automatic,
        report=_report(raw) if is_report else None,
        size=len(raw),
    )


def _automatic(headers: Message) -> bool:
    """Whether a program wrote it: by RFC 3834, and by what programs did before it and still do."""
    submitted = _text(headers, "Auto-Submitted").partition(";")[0].strip().lower()
    precedence = _text(headers, "Precedence").strip().lower()
    told = ("X-Auto-Response-Suppress", "X-Autoreply", "X-Autorespond", "List-Id")
    return (
        submitted not in ("", "no")
        or precedence in ("bulk", "junk", "list", "auto_reply")
        or any(name in headers for name in told)
        or _text(headers, "Return-Path").strip() == "<>"
    )


def _report(raw: bytes) -> Report | None:
    """Of a delivery that failed; None for any other report, and for one that names no message."""
    try:
        parts = [*BytesParser().parsebytes(raw[:_MOST_OF_REPORT]).walk()]
    except (MessageError, RecursionError, ValueError, LookupError):
        return None
    failures = tuple(failure for part in parts for failure in _failures(part))
    ids = [id_ for part in parts[1:] for id_ in _returned(part)]
    return Report(ids[0], failures) if ids and failures else None


def _failures(part: Message) -> Iterator[Failure]:
    """The recipients of one part that is a delivery status."""
    blocks = part.get_payload() if part.get_content_type() == "message/delivery-status" else ()
    for block in blocks if isinstance(blocks, list) else ():
        if isinstance(block, Message) and _text(block, "Action").strip().lower() == "failed":
            named = _text(block, "Original-Recipient") or _text(block, "Final-Recipient")
            if address := _address(named.rpartition(";")[2]):
                said = f"{_text(block, 'Status')} {_text(block, 'Diagnostic-Code')}"
                yield Failure(address, one_line(said)[:_LONGEST_TEXT])


def _returned(part: Message) -> Iterator[str]:
    """The Message-ID of a returned message, or of its headers."""
    if part.get_content_type() == "text/rfc822-headers":
        payload = part.get_payload()
        part = HeaderParser().parsestr(payload if isinstance(payload, str) else "")
    yield from _MESSAGE_ID.findall(_text(part, "Message-ID"))[:1]


def _thread(headers: Message) -> Iterator[str]:
    nearest = _MESSAGE_ID.findall(_text(headers, "In-Reply-To"))
    nearest += reversed(_MESSAGE_ID.findall(_text(headers, "References")))
    yield from list(dict.fromkeys(nearest))[:_MOST_IDS]


def _subject(headers: Message) -> str:
    written = _text(headers, "Subject")
    with contextlib.suppress(HeaderParseError, LookupError, ValueError):  # then it stays as it was written
        written = str(make_header(decode_header(written)))
    return one_line(written)[:_LONGEST_TEXT]


def _addresses(headers: Message, *names: str) -> list[str]:
    found: list[str] = []
    for value in (value for name in names for value in headers.get_all(name, [])):
        with contextlib.suppress(RecursionError):  # comments within comments within comments
            found += [address for _, address in getaddresses([_whole(str(value))]) if address]
    return found


def _address(written: str) -> str:
    """In the one form of addresses; empty for what is none."""
    try:
        return addresses.email(written.strip().strip("<>"))
    except ValueError:
        return ""


def _text(headers: Message, name: str) -> str:
    return _whole(str(headers.get(name, "")))


def _whole(value: str) -> str:
    """A header in one line, no longer than a person would write one."""
    return " ".join(value[:_LONGEST_HEADER].split())
