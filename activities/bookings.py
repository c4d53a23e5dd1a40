"""Bookings: the one way to make and to cancel them, for rules and for people.

The record is locked, so its own bookings stay as they are read. All resources are had before anything is
checked (`resources.take_turns`); the database refuses an overlap besides.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import JsonValue
from pydantic_core import to_json
from sqlalchemy import ARRAY, BigInteger, DateTime, bindparam, text

from activities.booked import Around, Own, Taken, around, taken
from activities.resources import booking_field, meant, take_turns
from db.journal import line
from db.locked import Locked
from db.records import By
from db.rows import Change, Ids, Rows, write
from domain.errors import Refused
from domain.fields import dump
from domain.free_time import first_free
from domain.period import Period

OnConflict = Literal["fail", "next_free", "book_anyway"]
MONTH: Final = Period(days=30)
FARTHEST: Final = Period(days=366)
"""The longest horizon somebody may look for free time in."""


class Wanted(NamedTuple):
    """A booking to be made. `start` is UTC; a `duration` in days ends at the same clock time.

    `resources` are as written. `horizon` is how much later than `start` a `next_free` one may start.
    `replace` releases what is booked for the field.
    """

    field: str
    start: datetime
    duration: Period
    resources: Sequence[str] = ("responsible",)
    service: str = ""
    on_conflict: OnConflict = "fail"
    replace: bool = True
    horizon: Period = MONTH


class Booked(NamedTuple):
    """A booking that was made. `changed`: the field, and results of the visit, that are others now."""

    id: int
    start: datetime
    end: datetime
    changed: tuple[str, ...]


class Cancelled(NamedTuple):
    """Bookings that were released. `changed`: the field, and results of the visit, that are others now."""

    ids: tuple[int, ...] = ()
    changed: tuple[str, ...] = ()


async def book(locked: Locked, ids: Ids, wanted: Wanted, by: By, visit_no: int) -> Booked:
    """Book all resources, or none. Raises `Refused`: then the transaction is to be undone.

    `unknown_field`; `wrong_resource` (nobody active, no such thing); `not_allowed` (by the field);
    `start_past`; `duration_not_positive`; `conflict` with what is booked; `no_free_time` up to the horizon.
    """
    resources = _possible(locked, wanted, by.at)
    working = wanted.on_conflict == "next_free"
    known = await around(locked, wanted.field, by.at, resources, working=working)
    if missing := [resource for resource in resources if resource not in known.resources]:
        raise Refused("wrong_resource", f"{missing[0]} is nobody active, and no thing to be booked")
    own = known.own if wanted.replace else []
    await take_turns(locked.tx, [*resources, *(resource for one in own for resource in one.resources)])
    start, over = await _place(locked, wanted, resources, known, own)
    end = _end(locked, wanted, start)
    changed, parts = await _release(locked, own, wanted.field, by)
    booking_id = await ids.take(locked.tx, "booking")
    row: dict[str, object] = {
        "id": booking_id, "record_id": locked.record.id, "visit_no": visit_no, "rule": by.rule,
        "field": wanted.field, "service": wanted.service, "starts_at": start, "ends_at": end,
        "booked_until": end, "created_at": by.at, "created_by": by.who,
    }  # fmt: skip
    during = f"[{start.isoformat()},{end.isoformat()})"
    each: list[dict[str, object]] = [
        {"booking_id": booking_id, "resource": one, "during": during, "forced": one in over}
        for one in resources
    ]
    detail = {
        "booking": booking_id,
        "field": wanted.field,
        "start": start,
        "end": end,
        "resources": resources,
    }
    said = line(
        locked.record.id, visit_no, "booked", by.at, rule=by.rule, actor=by.who, detail=detail
    )  # fmt: skip
    field, change = set_field(locked, wanted.field, start)
    await write(locked.tx, [*parts, *change, said, Rows("booking", [row]), Rows("booking_resource", each)])
    return Booked(booking_id, start, end, (*field, *changed))


async def cancel(locked: Locked, field: str, by: By, booking_id: int | None = None) -> Cancelled:
    """Release the active bookings of a field, of one under way what is left; or just one of them.

    What has ended stays as it is. The field then holds the start of the youngest that is left.
    """
    own = (await around(locked, field, by.at)).own
    released = [one for one in own if booking_id in (None, one.id)]
    if not released:
        return Cancelled()
    await take_turns(locked.tx, [resource for one in released for resource in one.resources])
    results, parts = await _release(locked, released, field, by)
    left = [one.starts_at for one in own if one not in released]
    changed, change = set_field(locked, field, left[-1] if left else None)
    await write(locked.tx, [*parts, *change])
    return Cancelled(tuple(one.id for one in released), (*changed, *results))


# -- inside ------------------------------------------------------------------------------------------
def _possible(locked: Locked, wanted: Wanted, at: datetime) -> list[str]:
    """The resources by their names, if nothing of the record itself stands against the booking."""
    field, resources = booking_field(locked, wanted.field), meant(locked, wanted.resources)
    if refused := [one for one in resources if field.choices and one not in field.choices]:
        raise Refused("not_allowed", f"record.{field.name} does not allow {', '.join(refused)}")
    if wanted.start < at:
        raise Refused("start_past", f"{_shown(wanted.start, locked)} ({locked.zone}) is past")
    if _end(locked, wanted, wanted.start) <= wanted.start:
        raise Refused("duration_not_positive", "it would end no later than it starts")
    return resources


async def _place(
    locked: Locked, wanted: Wanted, resources: Sequence[str], known: Around, own: Sequence[Own]
) -> tuple[datetime, frozenset[str]]:
    """When it starts, and the resources that are booked over what takes them then."""
    search, until = wanted.on_conflict == "next_free", wanted.start
    if search:
        until = wanted.horizon.add(until, ZoneInfo(locked.zone))
    latest = _end(locked, wanted, until)
    found = await taken(locked.tx, resources, wanted.start, latest, [one.id for one in own])
    if search:
        needed = [known.resources[resource] for resource in resources]
        busy = [(one.starts_at, one.ends_at) for one in found]
        busy += [absence for one in needed for absence in one.absences]
        calendars = [one.calendar for one in needed if one.calendar]
        free = first_free(wanted.start, until, lambda at: _end(locked, wanted, at), calendars, busy)
        if free is None:
            raise Refused("no_free_time", f"there is no free time up to {_shown(until, locked)}", 409)
        return free, frozenset()
    if found and wanted.on_conflict == "fail":
        raise Refused("conflict", "; ".join(_said(one, known, locked) for one in found[:5]), 409)
    return wanted.start, frozenset(one.resource for one in found)


async def _release(
    locked: Locked, released: Sequence[Own], field: str, by: By
) -> tuple[tuple[str, ...], list[Rows]]:
    """Give bookings up; answers the results of the visit that are others now, and lines of the journal."""
    if not released:
        return (), []
    changed: list[str] = []
    lines: list[Rows] = []
    results: dict[str, dict[str, JsonValue]] = {}
    for one in released:
        begun, at = one.starts_at < by.at, dump(by.at)
        found: dict[str, JsonValue] = {"end": at} if begun else {"start": None, "end": None}
        results[str(one.id)] = found
        detail = {"booking": one.id, "field": field, "start": one.starts_at, "end": one.ends_at}
        detail |= {"ended": at} if begun else {}
        lines.append(
            line(
                locked.record.id, one.visit_no, "booking_cancelled", by.at, rule=by.rule, actor=by.who,
                detail=detail,
            )
        )  # fmt: skip
        stored = locked.stored(one.visit_no, one.rule, 0)
        if stored and stored.results.get("id") == one.id:
            stored.results = stored.results | found
            if one.visit_no == locked.record.visit_no:
                changed += [f"steps.{one.rule}.{name}" for name in found]
    asked = {"ids": [one.id for one in released], "at": by.at, "who": by.who, "id": locked.record.id}
    await locked.tx.execute(_RELEASE, asked | {"results": to_json(results).decode()})
    return tuple(changed), lines


def set_field(locked: Locked, field: str, start: datetime | None) -> tuple[tuple[str, ...], list[Change]]:
    """Bring the field up to date in memory; answers its name and what is to be written, if it changes."""
    record, value = locked.record, dump(start)
    if record.fields.get(field) == value:
        return (), []
    record.fields = record.fields | {field: value}
    record.version += 1
    values = {"id": record.id, "fields": to_json({field: value}).decode()}
    return (f"record.{field}",), [Change(_FIELD, values)]


def _end(locked: Locked, wanted: Wanted, start: datetime) -> datetime:
    return wanted.duration.add(start, ZoneInfo(locked.zone))


def _shown(at: datetime, locked: Locked) -> str:
    return f"{at.astimezone(ZoneInfo(locked.zone)):%Y-%m-%d %H:%M}"


def _said(one: Taken, known: Around, locked: Locked) -> str:
    span = f"{_shown(one.starts_at, locked)} to {_shown(one.ends_at, locked)} ({locked.zone})"
    return f"{one.resource} ({known.resources[one.resource].title}) is booked from {span}"


_FIELD = "update record set fields = fields || cast(:fields as jsonb), version = version + 1 where id = :id"
_RELEASE = text("""
with b as (
  update booking set cancelled_at = :at, cancelled_by = :who,
    state = case when starts_at < :at then 'active' else 'cancelled' end,
    ends_at = case when starts_at < :at then :at else ends_at end
  where id = any(:ids)
  returning *
), r as (
  update booking_resource set active = b.state = 'active', during = tstzrange(b.starts_at, b.ends_at)
  from b where booking_id = b.id
)
update ledger set results = results || (cast(:results as jsonb) -> b.id::text)
from b
where ledger.record_id = :id and ledger.visit_no = b.visit_no and ledger.rule = b.rule and ledger.n = 0
  and results -> 'id' = to_jsonb(b.id)
""").bindparams(
    bindparam("id", type_=BigInteger),
    bindparam("ids", type_=ARRAY(BigInteger)),
    bindparam("at", type_=DateTime(timezone=True)),
)
