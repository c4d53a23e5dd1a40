"""E-mail messages as bytes (RFC 5322): nothing that was written can become a header of its own.

The headers are written here and not by the library, which decodes what looks encoded (`=?utf-8?q?=0D=0A…?=`)
and folds long names so that what was quoted no longer is.
"""

from __future__ import annotations

import email.policy
import re
from collections.abc import Sequence
from datetime import datetime
from email.header import Header
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final, NamedTuple

_POLICY: Final = email.policy.SMTP.clone(cte_type="7bit")  # so no server has to know 8BITMIME
_NAMED = re.compile(r'(?:"(?P<quoted>(?:[^"\\<>]|\\.)*)"|(?P<name>[^"<>,;]*))\s*<(?P<address>[^<>]*)>')
_ADDRESS = re.compile(
    r"(?!\.|[^@]*\.\.)[^\s@<>()\[\],;:\\\"]{1,64}(?<!\.)@"
    r"(?:[^\W_][\w-]{0,62}\.)*[^\W_][\w-]{0,62}"
)
_PLAIN_NAME = re.compile(r"[A-Za-z0-9 !#$%&'*+/^_`{|}~-]*")
_NOT_IN_A_NAME = re.compile(r"[^\w.,()+ -]")
_LONGEST_ADDRESS = 254
_SHORT = 70  # characters that fit on the line with the header's name


class Mailbox(NamedTuple):
    """An address that can be written to, and whose it is."""

    address: str
    name: str = ""


class Envelope(NamedTuple):
    """Who writes to whom, as the headers say it. `answers`: Message-IDs of the thread, the oldest first."""

    sender: Mailbox
    to: Sequence[Mailbox]
    cc: Sequence[Mailbox] = ()
    reply_to: Mailbox | None = None
    answers: Sequence[str] = ()


class Attachment(NamedTuple):
    """A file that goes along. What no file system can name is replaced in its name."""

    name: str
    media_type: str
    content: bytes


class CalendarPart(NamedTuple):
    """An iTIP message on its way by e-mail (RFC 6047); `method` is its own, as REQUEST."""

    method: str
    content: str


def mailbox(written: str) -> Mailbox:
    """`ada@firm.example`, `Ada Lovelace <ada@firm.example>` or `"Lovelace, Ada" <ada@firm.example>`.

    Raises `ValueError` for anything else, also for two of them.
    """
    found = _NAMED.fullmatch(written.strip())
    address = (found["address"] if found else written).strip()
    if len(address) > _LONGEST_ADDRESS or not address.isprintable() or not _ADDRESS.fullmatch(address):
        raise ValueError(f"{written.strip()[:_LONGEST_ADDRESS]!r} is no e-mail address")
    in_ascii_domain(address)
    name = re.sub(r"\\(.)", r"\1", found["quoted"] or "") or found["name"] if found else ""
    return Mailbox(address, one_line(name or ""))


def in_ascii_domain(address: str) -> str:
    """The address with its domain as the name service knows it (`bücher.example` → `xn--bcher-kva.example`).

    Raises `ValueError` for a domain that has no such form, or whose form would be another domain's.
    """
    local, _, domain = address.rpartition("@")
    if domain.isascii():
        return address
    encoded = domain.encode("idna")
    if encoded.decode("idna") != domain.lower():  # IDNA 2003 makes straße.example strasse.example
        raise ValueError(f"the domain of {address} has no form in ASCII")
    return f"{local}@{encoded.decode('ascii')}"


def one_line(text: str) -> str:
    """The text without what would end a line or turn the direction of what is read."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def build(
    message_id: str, at: datetime, envelope: Envelope, subject: str, text: str, html: str,
    calendar: CalendarPart | None = None, attachments: Sequence[Attachment] = (),
) -> bytes:  # fmt: skip
    """The message. `text` or `html` may be empty; of both the reader takes one.

    `calendar` is one more reading of it, and is attached once more for whoever takes it as a file.
    """
    headers = {
        "Message-ID": message_id,
        "Date": format_datetime(at),
        "From": _shown(envelope.sender),
        "Reply-To": _shown(envelope.reply_to) if envelope.reply_to else "",
        "To": ",\r\n ".join(_shown(box) for box in envelope.to),
        "Cc": ",\r\n ".join(_shown(box) for box in envelope.cc),
        "Subject": _subject(one_line(subject)),
        "In-Reply-To": envelope.answers[-1] if envelope.answers else "",
        "References": "\r\n ".join(envelope.answers),
        "Auto-Submitted": "auto-generated",  # RFC 3834: no out-of-office notes in return
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if value)
    return lines.encode("ascii") + _body(text, html, calendar, attachments)


def _body(text: str, html: str, calendar: CalendarPart | None, attachments: Sequence[Attachment]) -> bytes:
    body = EmailMessage(policy=_POLICY)
    if text:
        body.set_content(text)
    if text and html:
        body.add_alternative(html, subtype="html")
    elif html:
        body.set_content(html, subtype="html")
    if calendar:  # Google and Outlook act on the alternative, Apple and the rest open the file
        own = {"method": calendar.method}
        body.add_alternative(calendar.content, subtype="calendar", cte="base64", params=own)
        file = calendar.content.encode()
        body.add_attachment(file, maintype="application", subtype="ics", filename="invite.ics")
    for one in attachments:
        kind, _, subtype = one.media_type.partition("/")
        name = _NOT_IN_A_NAME.sub("_", one.name)[:_SHORT] or "file"
        body.add_attachment(one.content, maintype=kind, subtype=subtype, filename=name)
    return body.as_bytes()


def _subject(text: str) -> str:
    plain = text.isascii() and "=?" not in text and len(text) <= _SHORT
    return text if plain else _encoded(text)


def _shown(box: Mailbox) -> str:
    address = in_ascii_domain(box.address)
    if not address.isascii():  # RFC 6857, 3.1.8: where only ASCII may stand, an empty group of that name
        return f"{_encoded(box.address)}: ;"
    if not box.name:
        return address
    plain = _PLAIN_NAME.fullmatch(box.name) and len(box.name) <= _SHORT
    return f"{box.name if plain else _encoded(box.name)} <{address}>"


def _encoded(text: str) -> str:
    """As encoded words (RFC 2047), which hold nothing that means anything in a header."""
    return Header(text, "utf-8", header_name="Reply-To").encode(linesep="\r\n")
