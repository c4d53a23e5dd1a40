"""`add_comment`: a comment in the timeline, shown on the record."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pydantic import JsonValue

from activities.act import Act
from activities.effect import Done, Effect, Setting, Text
from activities.recipients import speaker, speaker_problems
from domain.errors import Refused
from domain.fields import FieldType, Problem


class AddComment(Effect):
    """A comment with `text` in the timeline of the record.

    `author` is an employee's id or `system`, by default the responsible; `pinned` keeps it on top.
    """

    kind: ClassVar[str] = "add_comment"
    title: ClassVar[str] = "Add a comment"
    example: ClassVar[dict[str, JsonValue]] = {"text": "Offer sent to {{ contact.first_name }}"}
    results: ClassVar[dict[str, FieldType]] = {"id": "number"}
    errors: ClassVar[dict[str, str]] = {"text_empty": "nothing is left of the text once it is filled in"}

    text: Text
    author: str = "responsible"
    pinned: bool = False

    async def apply(self, act: Act) -> Done:
        body = act.text(self.text).strip()
        if not body:
            raise Refused("text_empty", "the text of the comment is empty")
        comment_id = await act.id_for("comment")
        author = speaker(act, self.author)
        row = {"id": comment_id, "author": author, "body": body, "pinned": self.pinned, "at": act.now}
        return Done({"id": comment_id}, (act.rows("comment", row),))

    def problems(self, setting: Setting) -> Iterator[Problem]:
        yield from speaker_problems(self.author, setting, "/author")
