"""What journeys have still to hear: written by the transaction that changed something, rung after it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple
from uuid import UUID, uuid4, uuid5

from pydantic import BaseModel, JsonValue
from sqlalchemy import Interval, Row, TextClause, bindparam, text

from db.engine import Transaction
from db.facts import RecordRow
from db.rows import Rows
from domain.journey import ClientActivity, Entered, Face, FactsChanged, HoldsEnded, Operation

CHANNEL = "jalon_outbox"
LEASE: Final = timedelta(seconds=30)
"""So long a bell is left to the relay that took it; a call takes 5 s at the most."""
_RECONCILER = UUID("7f5d2a54-6f0e-4a0b-9b8e-3a6f1d0c8e11")
Kind = Literal["entered", "client_activity", "facts_changed", "hold_ended", "operate"]
SIGNALS: dict[str, type[BaseModel]] = {
    "entered": Entered,
    "client_activity": ClientActivity,
    "facts_changed": FactsChanged,
    "hold_ended": HoldsEnded,
    "operate": Operation,
}


class Bell(NamedTuple):
    """Something a journey has to hear. `payload` is the signal, without its id, which is the bell's own.

    `visit_no` and `face` are what a journey starts with if there is none.
    """

    id: UUID
    record_id: int
    kind: str
    payload: dict[str, JsonValue]
    visit_no: int
    face: Face

    @classmethod
    def of(cls, record: RecordRow, kind: Kind, payload: dict[str, JsonValue]) -> Bell:
        return cls(uuid4(), record.id, kind, payload, record.visit_no, face_of(record))

    @classmethod
    def entered(cls, record: RecordRow) -> Bell:
        """The record is in a new visit."""
        return cls.of(record, "entered", {"visit_no": record.visit_no})

    def signal(self) -> BaseModel:
        """What the journey is told."""
        return SIGNALS[self.kind].model_validate({"id": str(self.id)} | self.payload)


def face_of(record: RecordRow, *, suspended: bool = False) -> Face:
    """What administrators see of the record."""
    return Face(
        record_type=record.record_type,
        pipeline=record.pipeline_id,
        stage=record.stage_id,
        responsible=record.responsible_id or "",
        suspended=suspended or bool(record.suspended),
    )


def bell_rows(bell: Bell, at: datetime) -> Rows:
    """The row that keeps a bell until it is rung."""
    own = {"id": bell.id, "record_id": bell.record_id, "kind": bell.kind, "payload": bell.payload}
    return Rows("outbox", [own | {"created_at": at}])


# passed over is a record whose bell is in hand, or waits because Temporal did not answer: they go in order
# the number stands in the text, so that the plan is made for so few, whatever else the statement is asked for
_TAKE = """
with taken as materialized (
  select id, record_id, created_at from outbox o
  where (o.next_at is null or o.next_at <= now())
    and (cast(:older_than as interval) is null or o.created_at not between now() - :older_than and now())
    and not exists (
      select 1 from outbox h where h.record_id = o.record_id and h.next_at > now() and h.attempts = 0)
  order by o.created_at
  limit {most}
  for update skip locked
), in_order as (
  select id from taken t
  where not exists (
    select 1 from outbox e
    where e.record_id = t.record_id and e.attempts = 0 and e.created_at < t.created_at
      and e.id not in (select id from taken))
), mine as (
  update outbox o set next_at = now() + :lease from in_order i where o.id = i.id
  returning o.id, o.record_id, o.kind, o.payload, o.created_at
)
select m.id, m.record_id, m.kind, m.payload, r.visit_no, r.record_type, r.pipeline_id, r.stage_id,
  r.responsible_id, r.suspended
from mine m join record r on r.id = m.record_id
order by m.created_at
"""
_RUNG = text("delete from outbox where id = any(cast(:ids as uuid[]))")
_FAILED = text("""
update outbox set attempts = attempts + 1,
  next_at = now() + least(interval '1 second' * power(2, least(attempts, 20)), interval '10 minutes')
where id = any(cast(:ids as uuid[]))
""")
_UNANSWERED = text("""
update outbox set unanswered = unanswered + 1,
  next_at = now() + least(interval '1 second' * power(2, least(unanswered, 10)), interval '1 minute')
where id = any(cast(:ids as uuid[]))
""")
_PUT_BACK = text("update outbox set next_at = null where id = any(cast(:ids as uuid[]))")


async def take_waiting(tx: Transaction, most: int, older_than: timedelta | None = None) -> list[Bell]:
    """At most so many bells nobody has rung, what waits longest first; they are the caller's for a while.

    Once this is committed nobody else takes them for `LEASE`: who dies with them in hand only delays them.
    `older_than` leaves younger ones to whoever wrote them; one from a clock that is ahead is taken at once. A
    bell waits for earlier ones of its record, save those that failed.
    """
    rows = await tx.execute(_take(most), {"older_than": older_than, "lease": LEASE})
    return [
        Bell(
            row.id, row.record_id, row.kind, row.payload, row.visit_no,
            Face(
                record_type=row.record_type, pipeline=row.pipeline_id, stage=row.stage_id,
                responsible=row.responsible_id or "", suspended=bool(row.suspended),
            ),
        )
        for row in rows
    ]  # fmt: skip


@lru_cache
def _take(most: int) -> TextClause:
    asked = text(_TAKE.format(most=int(most)))
    return asked.bindparams(bindparam("older_than", type_=Interval), bindparam("lease", type_=Interval))


async def mark_rung(tx: Transaction, ids: Collection[UUID]) -> None:
    """What was rung is nobody's business any more: it goes."""
    await tx.execute(_RUNG, {"ids": [str(i) for i in ids]})


async def mark_failed(tx: Transaction, ids: Collection[UUID]) -> None:
    """Refused: tried again after 1 s, doubling to 10 min, never given up; later ones pass it meanwhile."""
    await tx.execute(_FAILED, {"ids": [str(i) for i in ids]})


async def mark_unanswered(tx: Transaction, ids: Collection[UUID]) -> None:
    """Not answered in time: tried again after 1 s, doubling to a minute; its record's later ones wait."""
    await tx.execute(_UNANSWERED, {"ids": [str(i) for i in ids]})


async def put_back(tx: Transaction, ids: Collection[UUID]) -> None:
    """Not tried: anybody may take them at once."""
    await tx.execute(_PUT_BACK, {"ids": [str(i) for i in ids]})


_BEHIND = text("""
select r.id, r.record_type, r.visit_no, r.pipeline_id, r.stage_id, r.responsible_id, r.suspended from record r
where r.journey_visit < r.visit_no and r.entered_at < :before
  and (select true from outbox o where o.record_id = r.id and o.attempts < 5 limit 1) is null
limit 200
""")


async def behind(tx: Transaction, before: datetime) -> list[Bell]:
    """Bells for records whose journey has not opened the visit they have been in since `before`.

    Each half minute another one: a journey that was begun by one and has ended is begun by the next.
    """
    rows = await tx.execute(_BEHIND, {"before": before})
    turn = int(before.timestamp() // 30)
    return [_entered(row, f"{row.id}/{row.visit_no}/{turn}") for row in rows]


def _entered(row: Row[Any], name: str) -> Bell:
    """The same bell for the same name, so that the server counts it once."""
    face = Face(
        record_type=row.record_type,
        pipeline=row.pipeline_id,
        stage=row.stage_id,
        responsible=row.responsible_id or "",
        suspended=bool(row.suspended),
    )
    payload: dict[str, JsonValue] = {"visit_no": row.visit_no}
    return Bell(uuid5(_RECONCILER, name), row.id, "entered", payload, row.visit_no, face)


def notify() -> str:
    """The statement by which a writer that rings no bells itself wakes a relay at its commit."""
    return f"notify {CHANNEL}"

