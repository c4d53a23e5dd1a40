"""`book_resource`: employees and things are booked for the record."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated, ClassVar
from zoneinfo import ZoneInfo

from pydantic import Field, JsonValue

from activities import resources
from activities.act import Act
from activities.bookings import FARTHEST, MONTH, OnConflict, Wanted, book
from activities.effect import Done, Effect, Setting, Text
from domain.errors import Refused
from domain.fields import FieldType, Problem
from domain.period import Period, localise
from domain.schedule import Schedule


class BookResource(Effect):
    """Books all of the `resources` at once for a booking `field` of the record, or none of them.

    `resources` are `responsible` (the default), `employee:<id>`, `resource:<id>`. `start` is a schedule, as a
    date field or in so many days at a clock time, or a text that gives a time, as `{{ record.visit_at }}`;
    without an offset it is the record's clock. `duration` is how long; `service` names what for. If something
    is booked then, `on_conflict` says `fail` (the default), `book_anyway`, or `next_free`: the first start
    from then on, within the `horizon` (30 days), at which none is booked, and all are at work and not absent
    throughout. With `replace` (the default) the bookings of the field are released in the same moment. The
    field then holds the start.
    """

    kind: ClassVar[str] = "book_resource"
    title: ClassVar[str] = "Book employees and things"
    example: ClassVar[dict[str, JsonValue]] = {
        "field": "visit",
        "service": "Measuring for {{ record.title }}",
        "start": {"after": {"days": 2}, "at": "10:00", "working_time": True},
        "duration": {"hours": 2},
        "resources": ["responsible", "resource:van"],
        "on_conflict": "next_free",
    }
    executes: ClassVar[bool] = True
    results: ClassVar[dict[str, FieldType]] = {
        "id": "number",
        "start": "datetime",
        "end": "datetime",
        "changed": "text",
    }
    errors: ClassVar[dict[str, str]] = {
        "unknown_field": "the booking field was taken away since",
        "wrong_resource": "there is no such active employee or thing, or the record has no responsible",
        "not_allowed": "the settings of the field do not allow a resource",
        "start_empty": "its date field is empty, or nothing is left of the text once it is filled in",
        "start_unreadable": "the text gives no time once it is filled in",
        "start_past": "the start is past",
        "duration_not_positive": "it would end no later than it starts",
        "conflict": "a resource is booked then",
        "no_free_time": "the resources are not free together before the horizon",
    }

    field: str
    start: Schedule | Text
    duration: Period
    resources: Annotated[list[str], Field(min_length=1, max_length=100)] = ["responsible"]
    service: Text = ""
    on_conflict: OnConflict = "fail"
    replace: bool = True
    horizon: Period = MONTH

    async def apply(self, act: Act) -> Done:
        wanted = Wanted(
            self._field, await self._start(act), self.duration, self.resources,
            act.text(self.service).strip(), self.on_conflict, self.replace, self.horizon,
        )  # fmt: skip
        booked = await book(act.locked, act.ids, wanted, act.by, act.visit_no)
        results: dict[str, JsonValue] = {
            "id": booked.id, "start": booked.start.isoformat(), "end": booked.end.isoformat(),
            "changed": [*booked.changed],
        }  # fmt: skip
        return Done(results, changed=booked.changed)

    @property
    def _field(self) -> str:
        return self.field.removeprefix("record.")

    async def _start(self, act: Act) -> datetime:
        if isinstance(self.start, Schedule):
            at = await act.at(self.start)
            if at is None:
                raise Refused("start_empty", f"{self.start.basis} is empty")
            return at
        written = act.text(self.start).strip()
        if not written:
            raise Refused("start_empty", "nothing is left of the start once it is filled in")
        found = _instant(written, act.locked.zone)
        if found is None:
            raise Refused("start_unreadable", f"{written[:80]!r} is no time like 2024-02-29T09:00")
        return found

    def problems(self, setting: Setting) -> Iterator[Problem]:
        yield from resources.field_problems(self._field, setting, "/field")
        known = setting.registry.record.get(self._field)
        yield from resources.problems(self.resources, known, setting, "/resources")
        if not self.duration.span:
            yield Problem(place="/duration", message="a booking lasts some time")
        if self.horizon.span > FARTHEST.span:
            yield Problem(place="/horizon", message="a horizon is at most 366 days away")
        if isinstance(self.start, Schedule):
            for name in sorted({"if_past", "if_empty", "catch_up"} & self.start.model_fields_set):
                said = "a booking without a start, or with a past one, is never made"
                yield Problem(place=f"/start/{name}", message=said)
        elif "{" not in self.start:
            at = _instant(self.start.strip(), "UTC")
            if at is None:
                yield Problem(place="/start", message=f"{self.start[:80]!r} is no time like 2024-02-29T09:00")
            elif setting.now and at < setting.now - timedelta(days=1):  # in whatever zone it is meant
                yield Problem(place="/start", message=f"{self.start[:80]!r} is past")


def _instant(written: str, zone: str) -> datetime | None:
    """A time somebody wrote, in UTC; without an offset it is a clock time of the zone."""
    try:
        at = datetime.fromisoformat(written)
        return localise(at, ZoneInfo(zone)) if at.tzinfo is None else at.astimezone(ZoneInfo("UTC"))
    except (ValueError, OverflowError):
        return None
