"""What happens to records that triggers may be about."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from db.locked import Locked
from domain.rule import EventType, Trigger


class Happened(NamedTuple):
    """An event with the names it may be filtered by."""

    event: EventType
    names: frozenset[str] = frozenset()


def edited(changed: Collection[str]) -> list[Happened]:
    """The events of an edit that changed fields (full references). What a rule results in is no field."""
    fields = frozenset(name for name in changed if not name.startswith("steps."))
    events = [Happened("field_changed", fields)] if fields else []
    return [*events, Happened("responsible_changed")] if "record.responsible" in changed else events


async def hearing(locked: Locked, events: Sequence[Happened]) -> list[Trigger]:
    """The triggers, of the rules as they are now, that one of the events is for."""
    record = locked.record
    version = await locked.book.version(locked.tx, record.pipeline_id, locked.around.rules_number)
    return [t for t in version.rules.triggers if any(t.hears(e.event, e.names) for e in events)]
