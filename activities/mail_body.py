"""What a mail says, and the files with it. Whatever the bytes are, there is an answer, at a bounded cost."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from email.errors import MessageError
from email.message import Message
from email.parser import BytesParser
from typing import Final, NamedTuple

from activities.providers.mime import one_line
from domain.plain_text import plain

_BOUNDARY: Final = re.compile(rb"boundary\*?\d*\*?\s*=", re.IGNORECASE)
_MOST_BOUNDARIES, _MOST_LINES = 20, 200_000  # each line is compared with the boundary of each level around it
_MOST_DASHES = 5_000  # lines that may begin a part
_MOST_PARTS, _LONGEST_NAME = 100, 200
MOST_OF_TEXT: Final = 100_000
"""Characters of a mail's text that are kept; the mail itself holds the rest."""


class Attached(NamedTuple):
    """A file with a mail, and what its sender says of it; `size` in bytes."""

    name: str
    media_type: str
    size: int


class Body(NamedTuple):
    """What a mail says, as plain text, and what is attached to it, in its order."""

    text: str = ""
    attached: tuple[Attached, ...] = ()


def read_body(raw: bytes) -> Body:
    """The text and the files of a mail (RFC 2045); nothing of one that is built to be hard to read."""
    plains: list[str] = []
    htmls: list[str] = []
    attached: list[Attached] = []
    for part in _parts(raw):
        if not _is_file(part):
            listed = plains if part.get_content_subtype() == "plain" else htmls
            listed.append(_decoded(part))
        else:
            attached.append(Attached(_name(part), part.get_content_type(), len(_content(part))))
    text = "\n".join(plains) if any(one.strip() for one in plains) else "\n".join(plain(h) for h in htmls)
    return Body(_storable(text).strip()[:MOST_OF_TEXT], tuple(attached))


def file_of(raw: bytes, number: int) -> tuple[Attached, bytes] | None:
    """One of the files of a mail, counted from 0, with what it holds; None if there is none."""
    files = [part for part in _parts(raw) if _is_file(part)]
    if not 0 <= number < len(files):
        return None
    content = _content(files[number])
    return Attached(_name(files[number]), files[number].get_content_type(), len(content)), content


def parsed(raw: bytes) -> Message | None:
    """The mail with its parts; None for one that nobody would write."""
    is_hard = raw.count(b"\n") > _MOST_LINES or raw.count(b"\n--") > _MOST_DASHES
    if is_hard or len(_BOUNDARY.findall(raw)) > _MOST_BOUNDARIES:
        return None
    try:
        return BytesParser().parsebytes(raw)
    except (MessageError, RecursionError, ValueError, LookupError):
        return None


def _parts(raw: bytes) -> list[Message]:
    whole = parsed(raw)
    return [*_leaves(whole)][:_MOST_PARTS] if whole is not None else []


def _leaves(part: Message) -> Iterator[Message]:
    """What a mail is made of; a mail within it is one."""
    payload = part.get_payload()
    if not isinstance(payload, list) or part.get_content_maintype() != "multipart":
        yield part
        return
    for inner in payload:
        if isinstance(inner, Message):
            yield from _leaves(inner)


def _is_file(part: Message) -> bool:
    texts = part.get_content_type() in ("text/plain", "text/html")
    disposition = str(part.get("Content-Disposition", "")).strip().lower()
    return not texts or disposition.startswith("attachment") or bool(_filename(part))


def _content(part: Message) -> bytes:
    payload = part.get_payload()
    try:
        if isinstance(payload, list):  # a mail, or a report
            return b"\r\n".join(bytes(inner) for inner in payload if isinstance(inner, Message))
        content = part.get_payload(decode=True)
    except (MessageError, RecursionError, ValueError, LookupError):
        return b""
    return content if isinstance(content, bytes) else b""


def _decoded(part: Message) -> str:
    content = _content(part)
    with suppress(LookupError, ValueError):
        if charset := part.get_content_charset():
            return content.decode(charset, "replace")
    try:
        return content.decode()
    except UnicodeDecodeError:  # it says nothing of itself, and is of before UTF-8
        return content.decode("cp1252", "replace")


def _filename(part: Message) -> str:
    try:
        return part.get_filename("") or ""
    except (MessageError, ValueError, LookupError, TypeError, AttributeError):
        return ""


def _name(part: Message) -> str:
    return one_line(_storable(_filename(part)))[:_LONGEST_NAME] or "file"


def _storable(text: str) -> str:
    """Without what neither PostgreSQL nor UTF-8 takes."""
    return re.sub("[\x00\ud800-\udfff]", "", text.replace("\r\n", "\n"))
