"""`delete_record`: the record goes into the recycle bin."""

from __future__ import annotations

from typing import ClassVar

from pydantic import JsonValue

from activities.act import Act
from activities.effect import Done, Effect
from activities.recycling import delete
from domain.rule import Nature


class DeleteRecord(Effect):
    """The record goes into the recycle bin, from which it can be restored; every rule of it ends."""

    kind: ClassVar[str] = "delete_record"
    title: ClassVar[str] = "Delete the record"
    example: ClassVar[dict[str, JsonValue]] = {}
    nature: ClassVar[Nature] = "transition"
    executes: ClassVar[bool] = True

    async def apply(self, act: Act) -> Done:
        deleted = await delete(act.locked, act.by, act.mail) is not None
        return Done(moved_to=act.record.visit_no if deleted else 0)
