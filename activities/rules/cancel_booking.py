"""`cancel_booking`: what is booked for the record is given up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pydantic import JsonValue

from activities import resources
from activities.act import Act
from activities.bookings import cancel
from activities.effect import Done, Effect, Setting
from domain.fields import FieldType, Problem


class CancelBooking(Effect):
    """Releases every active booking of the `field`, of one under way what is left of it.

    Bookings that have ended stay as they were. If any was released, the field is empty then.
    """

    kind: ClassVar[str] = "cancel_booking"
    title: ClassVar[str] = "Cancel the booking"
    example: ClassVar[dict[str, JsonValue]] = {"field": "visit"}
    executes: ClassVar[bool] = True
    results: ClassVar[dict[str, FieldType]] = {"cancelled": "number", "changed": "text"}

    field: str

    async def apply(self, act: Act) -> Done:
        found = await cancel(act.locked, self._field, act.by)
        results: dict[str, JsonValue] = {"cancelled": len(found.ids), "changed": [*found.changed]}
        return Done(results, changed=found.changed)

    @property
    def _field(self) -> str:
        return self.field.removeprefix("record.")

    def problems(self, setting: Setting) -> Iterator[Problem]:
        yield from resources.field_problems(self._field, setting, "/field")
