"""`notify`: a notification to employees, linked to the record."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pydantic import JsonValue

from activities import recipients
from activities.act import Act
from activities.effect import Done, Effect, Setting, Text
from domain.errors import Refused
from domain.fields import FieldType, Problem


class Notify(Effect):
    """A notification for each of the `recipients`, linked to the record and unread until read.

    `recipients` are any of `responsible` (the default), `supervisor`, `everybody`, `department:<id>` and
    `employee:<id>`; with `skip_absent` those who are absent are left out. `sender` is `system`,
    `responsible` or an employee's id, by default as whom the rule acts. `text` is what they read.
    """

    kind: ClassVar[str] = "notify"
    title: ClassVar[str] = "Notify employees"
    example: ClassVar[dict[str, JsonValue]] = {
        "text": "{{ record.title }} is waiting for an offer",
        "recipients": ["responsible", "supervisor"],
    }
    results: ClassVar[dict[str, FieldType]] = {"ids": "number", "recipients": "employee"}
    errors: ClassVar[dict[str, str]] = {
        "nobody": "no recipient is left: inactive, absent, or there is none",
        "text_empty": "nothing is left of the text once it is filled in",
    }

    text: Text
    recipients: list[str] = ["responsible"]
    sender: str | None = None
    skip_absent: bool = False

    async def apply(self, act: Act) -> Done:
        body = act.text(self.text).strip()
        if not body:
            raise Refused("text_empty", "the text of the notification is empty")
        people = await recipients.addressed(act, self.recipients, act.now, skip_absent=self.skip_absent
        )
        if not people:
            raise Refused("nobody", f"nobody is left of {', '.join(self.recipients)}")
        ids = [await act.id_for("notification") for _ in people]
        sender = recipients.speaker(act, self.sender)
        same: dict[str, object] = {"n": act.n, "sender": sender, "body": body, "at": act.now}
        rows = [{"id": i, "employee_id": p.id} | same for i, p in zip(ids, people, strict=True)]
        return Done({"ids": [*ids], "recipients": [p.id for p in people]}, (act.rows("notification", *rows),))

    def problems(self, setting: Setting) -> Iterator[Problem]:
        yield from recipients.problems(self.recipients, setting, "/recipients")
        yield from recipients.speaker_problems(self.sender, setting, "/sender")
