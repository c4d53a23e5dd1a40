"""`add_to_exceptions`: who wrote or called is not to be heard again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field, JsonValue

from activities import exceptions
from activities.act import Act
from activities.effect import Done, Effect, Setting, Text
from activities.exceptions import Entry
from activities.recycling import delete, keep_client
from db.clients import needed_elsewhere
from db.edits import Link, edit
from db.records import move
from domain.errors import Refused
from domain.fields import FieldType, Problem
from domain.rule import Nature

Whose = Literal["record", "contact", "company"]


class AddToExceptions(Effect):
    """Puts e-mail addresses and phone numbers on the exception list: what they send creates nothing any more.

    Calls, e-mails and forms of somebody on the list are kept in a quarantine log. `scope` says whose
    addresses are added: those of the record itself, its contact, its company (by default all there are).
    `then` says what becomes of the record: `leave`, `close_as_failure` (it moves to the first failure stage)
    or `delete`. With `delete_orphan_client` its contact and company are deleted if no other record has them,
    and the company if no other contact belongs to it. The `comment` is kept with the entries.
    """

    kind: ClassVar[str] = "add_to_exceptions"
    title: ClassVar[str] = "Add to the exceptions"
    example: ClassVar[dict[str, JsonValue]] = {
        "scope": ["record", "contact"],
        "then": "close_as_failure",
        "comment": "Advertising, by way of {{ record.title }}",
    }
    executes: ClassVar[bool] = True
    results: ClassVar[dict[str, FieldType]] = {"added": "number", "already_there": "number"}
    errors: ClassVar[dict[str, str]] = {
        "nothing_to_add": "there is no e-mail address and no phone number to add",
        "wrong_stage": "the pipeline has no failure stage any more",
    }

    scope: Annotated[list[Whose], Field(min_length=1)] = ["record", "contact", "company"]
    then: Literal["leave", "close_as_failure", "delete"] = "leave"
    delete_orphan_client: bool = False
    comment: Text = ""

    @classmethod
    def nature_of(cls, params: Mapping[str, JsonValue]) -> Nature:
        return cls.nature if params.get("then", "leave") == "leave" else "transition"

    async def apply(self, act: Act) -> Done:
        found = {entry for whose in self.scope for entry in _of(act, whose)}
        if not found:
            raise Refused("nothing_to_add", f"no address and no number of its {', '.join(self.scope)}")
        comment = act.text(self.comment).strip()
        added = await exceptions.add(
            act.tx, found, act.author, act.now, record_id=act.record.id, comment=comment
        )
        results: dict[str, JsonValue] = {"added": len(added), "already_there": len(found) - len(added)}
        changed = await _without_orphans(act) if self.delete_orphan_client else ()
        moved = await self._end(act)
        return Done(results, moved_to=act.record.visit_no if moved else 0, changed=changed)

    async def _end(self, act: Act) -> bool:
        """Whether the record went somewhere; a closed one that failed already stays where it is."""
        if self.then == "delete":
            return await delete(act.locked, act.by, act.mail) is not None
        if self.then == "leave" or act.locked.meaning(act.record.stage_id) == "failure":
            return False
        stages = act.locked.around.stages
        failures = [s.id for s in stages if s.meaning == "failure" and s.retired_at is None]
        if not failures:
            raise Refused("wrong_stage", f"{act.record.pipeline_id} has no failure stage")
        return await move(act.locked, failures[0], act.by) is not None

    def problems(self, setting: Setting) -> Iterator[Problem]:
        if self.then == "close_as_failure" and "failure" not in setting.stages[setting.pipeline].values():
            yield Problem(place="/then", message=f"{setting.pipeline} has no failure stage")


def _of(act: Act, whose: Whose) -> Iterator[Entry]:
    """The addresses and numbers; what is none is passed over."""
    for name in ("email", "phone"):
        values = act.values[f"{whose}.{name}"]
        for value in values if isinstance(values, list) else []:
            with contextlib.suppress(ValueError):
                yield exceptions.entry(str(value), act.mail.region)


async def _without_orphans(act: Act) -> tuple[str, ...]:
    """Delete the clients that no other record has; answers what of the record has changed with that."""
    clients: dict[Link, int | None] = {"contact": act.record.contact_id, "company": act.record.company_id}
    orphans: dict[Link, int] = {}
    for link, client in clients.items():
        beside = act.record.id, orphans.get("contact")
        if client is not None and not await needed_elsewhere(act.tx, link, client, *beside):
            orphans[link] = client
    edited = await edit(act.locked, {}, act.by, links=dict.fromkeys(orphans))
    for link, client in orphans.items():
        await keep_client(act.locked, link, client, act.by)
    return edited.changed

