"""What watches over the journeys keeps: whose turn it is to look, what was begun anew and why.

All times are PostgreSQL's own clock.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple

from sqlalchemy import ARRAY, BigInteger, Interval, Row, bindparam, text

from db.engine import Transaction
from domain.journey import Face, workflow_id

Reason = Literal["tasks_fail", "ended", "missing", "not_opened"]
AllReason = Literal["temporal_lost", "temporal_restored", "database_restored"]
IN_WORDS: Final[dict[str, str]] = {
    "tasks_fail": "its tasks kept failing",
    "ended": "it had ended though the record is there",
    "missing": "Temporal did not know it any more",
    "not_opened": "it knew of stages that the record has not been in",
    "temporal_lost": "Temporal's database is another one",
    "temporal_restored": "Temporal's database was restored from a backup",
    "database_restored": "PostgreSQL was restored from a backup",
}
MOST: Final = 3
"""So often one journey is begun anew within an hour; after that somebody has to look."""


class Followed(NamedTuple):
    """A record that has to have a journey, with what that is begun with."""

    record_id: int
    visit_no: int
    face: Face

    @property
    def journey(self) -> str:
        return workflow_id(self.face.record_type, self.record_id)


class All(NamedTuple):
    """All journeys are being begun anew, since `at`; those up to the record `reached` have been."""

    id: int
    reason: AllReason
    at: datetime
    reached: int


async def whose_turn(tx: Transaction, every: timedelta) -> bool:
    """Whether it is this process that looks now: one of all, each time so much has passed."""
    return (await tx.execute(_TURN, {"every": every})).one_or_none() is not None


async def tide(tx: Transaction) -> int:
    return int((await tx.execute(text("select tide from watch"))).scalar_one())


async def raise_tide(tx: Transaction, to: int) -> None:
    await tx.execute(text("update watch set tide = greatest(tide, :to), risen_at = now()"), {"to": to})


async def next_to_probe(tx: Transaction, many: int) -> list[Followed]:
    """The next records whose journey has opened the present visit; after the last the first again."""
    return [_followed(row) for row in await tx.execute(_PROBE, {"many": many})]


class Sample(NamedTuple):
    """Some records that had a journey when the tide rose last, which was at `at`."""

    at: datetime
    records: list[Followed]


async def sample(tx: Transaction, many: int) -> Sample:
    """The newest of them."""
    at = (await tx.execute(text("select coalesce(risen_at, '-infinity') from watch"))).scalar_one()
    rows = await tx.execute(_SAMPLE, {"many": many, "at": at})
    return Sample(at, [_followed(row) for row in rows])


async def still_behind(tx: Transaction, since: timedelta, many: int) -> list[Followed]:
    """Records that nobody opened the present visit of for so long, though it was rung for."""
    return [_followed(row) for row in await tx.execute(_STILL_BEHIND, {"since": since, "many": many})]


async def followed(tx: Transaction, ids: Collection[int]) -> list[Followed]:
    """Those of the records that are there and not in the bin."""
    return [_followed(row) for row in await tx.execute(_FOLLOWED, {"ids": list(ids)})]


async def begins_anew(tx: Transaction, record: Followed, reason: Reason, run_id: str) -> bool:
    """Write down that the journey is begun anew, and tell the owner of the rules, once a run.

    False if that was tried too often: the owner is told that too, once.
    """
    asked = {"id": record.record_id, "reason": reason, "run": run_id}
    said = f"began anew: {IN_WORDS[reason]}"
    tried = (await tx.execute(_TRIED, asked)).scalar_one()
    if tried > MOST:
        return False
    if tried == MOST:
        said = f"cannot go on, and was begun anew {MOST} times within an hour: {IN_WORDS[reason]}"
    await tx.execute(_BEGINS, asked | {"said": said})
    return bool(tried < MOST)


async def all_begin_anew(tx: Transaction, reason: AllReason) -> None:
    """From now on all journeys are begun anew; the owners of the rules are told."""
    await tx.execute(_ALL, {"reason": reason, "said": f"All journeys begin anew: {IN_WORDS[reason]}."})


async def under_way(tx: Transaction) -> All | None:
    """The latest beginning of all journeys that is not done with."""
    row = (await tx.execute(_UNDER_WAY)).one_or_none()
    return All(row.id, row.reason, row.at, row.reached) if row else None


async def next_of_all(tx: Transaction, of: All, many: int) -> list[Followed]:
    """The next records; one made since may bear an id whose journey is of another past."""
    asked = {"reached": of.reached, "many": many}
    return [_followed(row) for row in await tx.execute(_NEXT, asked)]


async def reached(tx: Transaction, of: All, record_id: int, begun: int) -> None:
    await tx.execute(_REACHED, {"of": of.id, "id": record_id, "begun": begun})


async def all_begun(tx: Transaction, of: All) -> None:
    await tx.execute(text("update healing set ended_at = now() where id <= :of and ended_at is null"
                          " and record_id is null"), {"of": of.id})  # fmt: skip


async def count(tx: Transaction, within: timedelta) -> int:
    """How many journeys were begun anew within the last so and so much."""
    return int((await tx.execute(_COUNT, {"within": within})).scalar_one())


def _followed(row: Row[tuple[object, ...]]) -> Followed:
    face = Face(
        record_type=row.record_type, pipeline=row.pipeline_id, stage=row.stage_id,
        responsible=row.responsible_id or "", suspended=bool(row.suspended),
    )  # fmt: skip
    return Followed(row.id, row.visit_no, face)


_COLUMNS: Final = "id, visit_no, record_type, pipeline_id, stage_id, responsible_id, suspended"
_TURN = text("""
update watch set looked_at = now() where looked_at is null or looked_at < now() - :every returning id
""").bindparams(bindparam("every", type_=Interval))
_PROBE = text(f"""
with found as materialized (
  select {_COLUMNS}, deleted_at, journey_visit from record
  where id > (select probed from watch) order by id limit :many
), on_ as (
  update watch set probed = case when (select count(*) from found) < :many then 0
    else (select max(id) from found) end
)
select {_COLUMNS} from found where deleted_at is null and journey_visit >= visit_no
""")  # noqa: S608 - known columns
_SAMPLE = text(f"""
select {_COLUMNS} from record
where deleted_at is null and journey_visit >= visit_no and created_at < :at order by id desc limit :many
""")  # noqa: S608 - known columns
_STILL_BEHIND = text(f"""
select {_COLUMNS} from record
where journey_visit < visit_no and entered_at < now() - :since limit :many
""")  # noqa: S608 - known columns
_STILL_BEHIND = _STILL_BEHIND.bindparams(bindparam("since", type_=Interval))
_FOLLOWED = text(f"select {_COLUMNS} from record where id = any(:ids) and deleted_at is null")  # noqa: S608
_FOLLOWED = _FOLLOWED.bindparams(bindparam("ids", type_=ARRAY(BigInteger)))
_TRIED = text("""
select count(*) from healing where record_id = :id and at > now() - interval '1 hour' and run_id <> :run
""").bindparams(bindparam("id", type_=BigInteger))
_BEGINS = text("""
with h as (
  insert into healing (reason, record_id, run_id, at, ended_at) values (:reason, :id, :run, now(), now())
  on conflict (record_id, run_id) where record_id is not null do nothing
  returning record_id
)
insert into notification (employee_id, record_id, visit_no, sender, body, at)
select coalesce(s.owner_id, p.owner_id), r.id, r.visit_no, 'system',
  format('The journey of %L %s', r.title, cast(:said as text)), now()
from h join record r on r.id = h.record_id join pipeline p on p.id = r.pipeline_id
  join visit v on v.record_id = r.id and v.visit_no = r.visit_no
  left join rule_set s on s.pipeline_id = v.pipeline_id and s.number = v.rules_number
where coalesce(s.owner_id, p.owner_id) is not null
""").bindparams(bindparam("id", type_=BigInteger))
_ALL = text("""
with h as (
  insert into healing (reason, records, at) values (:reason, 0, now()) returning id
)
insert into notification (employee_id, sender, body, at)
select distinct o.owner_id, 'system', cast(:said as text), now()
from h cross join (select owner_id from pipeline union select owner_id from rule_set) as o
where o.owner_id is not null
""")
_UNDER_WAY = text("""
select id, reason, at, reached from healing where ended_at is null and record_id is null
order by id desc limit 1
""")
_NEXT = text(f"""
select {_COLUMNS} from record
where id > :reached and deleted_at is null order by id limit :many
""")  # noqa: S608 - known columns
_REACHED = text("""
update healing set reached = :id, records = records + :begun where id = :of
""").bindparams(bindparam("id", type_=BigInteger), bindparam("of", type_=BigInteger))
_COUNT = text("select coalesce(sum(records), 0) from healing where at > now() - :within")
_COUNT = _COUNT.bindparams(bindparam("within", type_=Interval))
