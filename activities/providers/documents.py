"""Making documents: the one method a renderer has, and how it can refuse."""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

from activities.providers.blobs import Blobs

TemplateFormat = Literal["typst", "docx"]
MADE = {"typst": "pdf", "docx": "docx"}
"""The format of a document by that of its template."""
MEDIA_TYPES = {
    "pdf": "application/pdf",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
}


class Job(NamedTuple):
    """One document to be made. `data` is JSON, `stamp` an image (PNG or JPEG) or empty.

    `at` is the instant it bears as its own, in seconds since 1970 (UTC). With `parse_only` nothing is made,
    but it is seen whether the template is well formed.
    """

    format: TemplateFormat
    template: bytes
    data: bytes
    stamp: bytes = b""
    at: int = 0
    parse_only: bool = False


class MissingLetters(Exception):
    """No font has these letters."""

    def __init__(self, letters: str) -> None:
        named = ", ".join(_named(letter) for letter in letters[:_NAMED])
        more = f" and {len(letters) - _NAMED} more" if len(letters) > _NAMED else ""
        super().__init__(f"no font of the document has {named}{more}")


_NAMED = 20


def _named(letter: str) -> str:
    """The letter, if it may be shown, and its number, which can be read wherever there is no font for it."""
    return f"{letter} (U+{ord(letter):04X})" if letter.isprintable() else f"U+{ord(letter):04X}"


Unmade = Literal["template_broken", "too_slow", "missing_letters"]


class NotRendered(Exception):
    """No document came of it, for that `reason`."""

    def __init__(self, reason: Unmade, message: str) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message


class Renderer(Protocol):
    """Makes a document of a template and data; one object a process, safe to use from several tasks."""

    async def render(self, job: Job) -> bytes:
        """The document, within bounds of time and space.

        Raises `NotRendered`, or `OSError` where the machine has no room to try.
        """
        ...


class Documents(NamedTuple):
    """What rules make documents with, and where these are kept."""

    renderer: Renderer
    blobs: Blobs
