"""`post_to_feed`: a post that employees see in the activity feed and can comment on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pydantic import JsonValue

from activities import recipients
from activities.act import Act
from activities.attached_files import attached_documents
from activities.attachments import attachment_problems
from activities.effect import Done, Effect, Setting, Text
from domain.errors import Refused
from domain.fields import FieldType, Problem


class PostToFeed(Effect):
    """A post with a `subject` and a `text` in the feed of its `recipients`, who can comment on it.

    `recipients` are any of `responsible`, `supervisor`, `everybody` (the default), `department:<id>` and
    `employee:<id>`; with `skip_absent` those who are absent are left out. `author` is an employee's id,
    `responsible` (the default) or `system`. `attachments` are documents: `document:<rule>` is what an
    earlier rule of the visit made, `record.<field>` the one whose number a field holds. When it is posted is
    a matter of the rule's schedule.
    """

    kind: ClassVar[str] = "post_to_feed"
    title: ClassVar[str] = "Post to the feed"
    example: ClassVar[dict[str, JsonValue]] = {
        "subject": "{{ record.title }} is ours",
        "text": "Worth {{ record.amount }}. Well done!",
        "recipients": ["everybody"],
    }
    results: ClassVar[dict[str, FieldType]] = {"id": "number", "url": "text"}
    errors: ClassVar[dict[str, str]] = {
        "nobody": "no recipient is left: inactive, absent, or there is none",
        "text_empty": "nothing is left of the text once it is filled in",
        "attachment_missing": "a document that is to be attached is not there",
    }

    text: Text
    subject: Text = ""
    author: str = "responsible"
    recipients: list[str] = ["everybody"]
    attachments: list[str] = []
    skip_absent: bool = False

    async def apply(self, act: Act) -> Done:
        body = act.text(self.text).strip()
        if not body:
            raise Refused("text_empty", "the text of the post is empty")
        people = await recipients.addressed(act, self.recipients, act.now, skip_absent=self.skip_absent
        )
        if not people:
            raise Refused("nobody", f"nobody is left of {', '.join(self.recipients)}")
        post_id = await act.id_for("feed_post")
        row = {
            "id": post_id,
            "author": recipients.speaker(act, self.author),
            "subject": act.text(self.subject, "header"),
            "body": body,
            "recipients": [person.id for person in people],
            "attachments": [document.id for document in await attached_documents(act, self.attachments)],
            "at": act.now,
        }
        url = f"{act.mail.base_url}/api/v1/feed/{post_id}"
        return Done({"id": post_id, "url": url}, (act.rows("feed_post", row),))

    def problems(self, setting: Setting) -> Iterator[Problem]:
        yield from recipients.problems(self.recipients, setting, "/recipients")
        yield from recipients.speaker_problems(self.author, setting, "/author")
        yield from attachment_problems(self.attachments, setting, "/attachments")
