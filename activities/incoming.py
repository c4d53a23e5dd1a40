"""A mail as it came in: whose it is, what it answers, who is believed to have written it, and what it says.

The headers are read after the library's old policy: the new one takes headers apart with a grammar that
fails on, or is slow with, what some senders and all attackers write.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterator, Sequence
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesHeaderParser, HeaderParser
from email.utils import getaddresses
from hashlib import sha256
from typing import Final, NamedTuple

from activities.authentication_results import disowned
from activities.mail_body import Body, parsed, read_body
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

    `fingerprint` tells it from any other: its id, its sender and what it says, which stay the same whichever
    way it came. `message_id` without one in the mail is made of its content. `believed`: its sender's domain
    does not disown it. `automatic`: no person wrote it. `report`: a mail server did, of a message that could
    not be delivered. `raw` is the mail itself.
    """

    message_id: str
    fingerprint: str
    sender: str
    believed: bool
    recipients: tuple[str, ...]
    subject: str
    thread: tuple[str, ...]
    automatic: bool
    report: Report | None
    size: int
    body: Body = Body()
    raw: bytes = b""


def read(
    raw: bytes, mail_from: str | None = None, rcpt_tos: Sequence[str] = (), servers: Collection[str] = ()
) -> Incoming:
    """Read a mail (RFC 5322). The envelope is known where it came by SMTP; `mail_from` is empty for a bounce.

    `servers` are the authserv-ids (RFC 8601) of the mail servers whose word about senders counts. Whatever
    the bytes are, there is an answer: without one sender that is an address, `sender` is empty.
    """
    headers = BytesHeaderParser().parsebytes(raw)
    ids = _MESSAGE_ID.findall(_text(headers, "Message-ID"))
    sender, believed = _sender(headers), not disowned(headers, servers)
    print_ = _fingerprint(headers, raw, ids[0] if len(ids) == 1 else "", sender if believed else f"?{sender}")
    is_report = headers.get_content_type() == "multipart/report"
    automatic = is_report or mail_from in ("", "<>") or _automatic(headers)
    return Incoming(
        message_id=ids[0] if len(ids) == 1 else f"sha256:{print_}",
        fingerprint=print_,
        sender=sender,
        believed=believed,
        recipients=(*rcpt_tos, *_addresses(headers, *_RECIPIENTS)),
        subject=_subject(headers),
        thread=tuple(_thread(headers)),
        automatic=automatic,
        report=_report(raw) if is_report else None,
        size=len(raw),
        body=read_body(raw),
        raw=raw,
    )


def _sender(headers: Message) -> str:
    """Who wrote it: the one address that `From` names. Of several, authentication speaks of only one."""
    (sender, *others) = _addresses(headers, "From") or [""]
    return "" if others else _address(sender)


def _fingerprint(headers: Message, raw: bytes, message_id: str, sender: str) -> str:
    """Of what no server on the way changes: what servers write stands in other headers."""
    _, _, body = raw.replace(b"\r\n", b"\n").partition(b"\n\n")
    said = (message_id, sender, _text(headers, "Date"), _text(headers, "Subject"))
    return sha256(repr(said).encode() + body.rstrip()).hexdigest()


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
    whole = parsed(raw[:_MOST_OF_REPORT])
    parts = [*whole.walk()] if whole is not None else []
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
