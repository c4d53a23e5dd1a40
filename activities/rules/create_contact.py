"""`create_contact`: the lead gets a contact, a new one or one that is known already."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

from pydantic import JsonValue

from activities import recipients
from activities.act import Act
from activities.contacts import LinkBy, find_or_make, mark_repeat, person
from activities.effect import Done, Effect, RecordType, Setting, Text
from db.edits import edit
from domain.errors import Refused
from domain.fields import FieldType, Problem
from domain.templates import quoted_whole


class CreateContact(Effect):
    """Makes a contact of what the lead says, or finds it, and links it; the lead becomes a repeat lead.

    It is not converted. `first_name`, `last_name`, `emails` and `phones` are by default the lead's own
    fields; several addresses are parted by commas, and what can be none is left out. `link_by`: a contact
    with the same `phone` or `email` is linked, of several the oldest, instead of making another; an empty
    list always makes one. `responsible` is an employee's id, by default the lead's. A lead that has a contact
    keeps it.
    """

    kind: ClassVar[str] = "create_contact"
    title: ClassVar[str] = "Create a contact"
    example: ClassVar[dict[str, JsonValue]] = {"last_name": "{{ record.title }}", "link_by": ["phone"]}
    record_types: ClassVar[tuple[RecordType, ...]] = ("lead",)
    executes: ClassVar[bool] = True
    results: ClassVar[dict[str, FieldType]] = {
        "id": "number", "how": "text", "left_out": "text", "changed": "text",
    }  # fmt: skip
    errors: ClassVar[dict[str, str]] = {
        "no_contact_data": "the lead says no name, no e-mail address and no phone number",
        "wrong_responsible": "there is no such active employee",
        "wrong_type": "there are more addresses than a contact may have",
    }

    first_name: Text = "{{ record.first_name }}"
    last_name: Text = "{{ record.last_name }}"
    emails: Text = "{{ record.email }}"
    phones: Text = "{{ record.phone }}"
    responsible: str = "responsible"
    link_by: list[LinkBy] = ["phone", "email"]

    async def apply(self, act: Act) -> Done:
        if act.record.contact_id is not None:
            changed = await mark_repeat(act)
            found: dict[str, JsonValue] = {"id": act.record.contact_id, "how": "found"}
            return Done(found | {"changed": [*changed]}, changed=changed)
        who = person(
            act,
            first_name=act.text(self.first_name),
            last_name=act.text(self.last_name),
            emails=_parted(act, self.emails),
            phones=_parted(act, self.phones),
            responsible=await self._responsible(act),
        )
        contact = await find_or_make(act, who, self.link_by)
        linked = await edit(act.locked, {}, act.by, links={"contact": contact.id})
        changed = (*linked.changed, *await mark_repeat(act))
        results: dict[str, JsonValue] = {"id": contact.id, "how": "created" if contact.created else "found"}
        if who.left_out:
            results["left_out"] = [*who.left_out]
        return Done(results | {"changed": [*changed]}, changed=changed)

    async def _responsible(self, act: Act) -> str | None:
        """Whose contact a new one is; nobody's where the lead's responsible is none, or inactive."""
        somebody = await recipients.employee(act.locked, self.responsible, act.now)
        if somebody is None and self.responsible != "responsible":
            raise Refused("wrong_responsible", f"{self.responsible!r} is no active employee")
        return somebody.id if somebody else None

    def problems(self, setting: Setting) -> Iterator[Problem]:
        yield from recipients.employee_problems(self.responsible, setting, "/responsible")


def _parted(act: Act, written: str) -> list[str]:
    """The addresses of a text, parted where its author parts them: no value makes two of one.

    Of a field with several values each is one, also what is none: that is named as left out.
    """
    found: list[str] = []
    for part in [written] if "{%" in written else _BETWEEN.split(written):
        section, _, name = (quoted_whole(part) or "").partition(".")
        values = act.record.fields.get(name) if section == "record" else act.values.get(f"{section}.{name}")
        found += [str(one) for one in values] if isinstance(values, list) else [act.text(part)]
    return [one.strip() for one in found if one.strip()]


_BETWEEN = re.compile(r"[,;\n](?![^{]*\}\})")  # not within a quote
