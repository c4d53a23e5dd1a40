"""`write_to_history`: a line in the record's history, which is not the timeline."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pydantic import JsonValue

from activities.act import Act
from activities.effect import Done, Effect, Setting, Text
from activities.recipients import speaker, speaker_problems
from domain.errors import Refused
from domain.fields import FieldType, Problem
from domain.rule import Slug


class WriteToHistory(Effect):
    """A line with `text` in the history of the record.

    `event_type` sorts it, by default as `information`. `author` is `system`, `responsible` or an employee's
    id, by default as whom the rule acts, which is the system.
    """

    kind: ClassVar[str] = "write_to_history"
    title: ClassVar[str] = "Write to the history"
    example: ClassVar[dict[str, JsonValue]] = {"text": "Worth {{ record.amount | money }} when it came in"}
    results: ClassVar[dict[str, FieldType]] = {"id": "number"}
    errors: ClassVar[dict[str, str]] = {"text_empty": "nothing is left of the text once it is filled in"}

    text: Text
    event_type: Slug = "information"
    author: str | None = None

    async def apply(self, act: Act) -> Done:
        body = act.text(self.text).strip()
        if not body:
            raise Refused("text_empty", "the text of the line is empty")
        line_id = await act.id_for("history_line")
        row = {
            "id": line_id,
            "event_type": self.event_type,
            "body": body,
            "author": speaker(act, self.author),
            "at": act.now,
        }
        return Done({"id": line_id}, (act.rows("history_line", row),))

    def problems(self, setting: Setting) -> Iterator[Problem]:
        yield from speaker_problems(self.author, setting, "/author")
