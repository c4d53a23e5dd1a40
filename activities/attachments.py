"""Documents that a rule attaches, as its author names them.

Written are `document:<rule>`, the document that an earlier rule of the visit made, and `record.<field>`, a
field of the record that holds the number of a document.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from activities.act import Act
from activities.effect import Setting
from domain.errors import Refused
from domain.fields import Problem, UnknownField


def document_ids(act: Act, written: Sequence[str]) -> list[int]:
    """The numbers of the documents, each once. Raises `Refused` (`attachment_missing`)."""
    found: list[int] = []
    for word in written:
        section, _, name = word.partition(":")
        value = act.values[f"steps.{name}.id"] if section == "document" else act.values[word]
        digits = str(value).strip() if value is not None else ""
        if not (digits.isascii() and digits.isdecimal() and len(digits) < 19):
            raise Refused("attachment_missing", f"there is no document to attach as {word}")
        found.append(int(digits))
    return list(dict.fromkeys(found))


def attachment_problems(written: Sequence[str], setting: Setting, place: str) -> Iterator[Problem]:
    """What is wrong with attachments as written."""
    for number, word in enumerate(written):
        section, _, name = word.partition(":")
        wrong = ""
        if section == "document":
            wrong = "" if name else "document:<rule>: which rule makes it?"
        elif not word.startswith("record."):
            wrong = f"{word!r} is no attachment: document:<rule>, record.<field>"
        else:
            try:
                field = setting.registry.find(word)
                wrong = "" if field.type in ("text", "number") else f"{word} holds no number of a document"
            except UnknownField as unknown:
                wrong = str(unknown)
        if wrong:
            yield Problem(place=f"{place}/{number}", message=wrong)
