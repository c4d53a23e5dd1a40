"""What the clock has to look at: marks left by whoever wrote a fact, sweeps over many records, what is due.

One look at a time plans, whichever worker's it is; a row of `clock_due` is locked by whoever fires it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from pydantic import JsonValue
from pydantic_core import to_json
from sqlalchemy import ARRAY, BigInteger, DateTime, bindparam, text

from db.engine import Transaction

MARKS_AT_ONCE = 500
RECORDS_AT_ONCE = 1000
_PLANNER = 4_207_849_484  # the number of an advisory lock: whoever has it plans


class Work(NamedTuple):
    """What there is to do. `looked_at`: up to when the clock had been looked at before."""

    looked_at: datetime
    marks: bool
    sweeps: bool
    due: bool


class Sweep(NamedTuple):
    """Records to go through: those after `after_id`, of one responsible where `employee_id` names one."""

    id: int
    clock_trigger_id: int
    employee_id: str
    after_id: int
    since: datetime | None


class Due(NamedTuple):
    """A trigger that is due for a record; of one that is gone the name is empty."""

    clock_trigger_id: int
    due_at: datetime
    since: datetime
    attempts: int
    trigger: str
    pipeline_id: str


class Planned(NamedTuple):
    """When a trigger is due for a record. What is `past` is planned only if it was planned already."""

    clock_trigger_id: int
    record_id: int
    due_at: datetime
    since: datetime
    past: bool


async def look(tx: Transaction, now: datetime) -> Work:
    """What there is to do at `now`, which the marks that follow will name as the last look."""
    return Work(*(await tx.execute(_LOOK, {"now": now})).one())


async def may_plan(tx: Transaction) -> bool:
    """Whether nobody else plans; it lasts until the transaction ends."""
    return bool((await tx.execute(_MAY_PLAN, {"planner": _PLANNER})).scalar_one())


async def take_marks(tx: Transaction, looked_at: datetime) -> dict[int, datetime]:
    """Records whose facts changed, the oldest marks first, and up to when an instant is past for each."""
    found: dict[int, datetime] = {}
    for row in await tx.execute(_MARKS, {"most": MARKS_AT_ONCE}):
        since = row.since or looked_at
        found[row.record_id] = min(since, found.get(row.record_id, since))
    return found


async def next_sweep(tx: Transaction) -> Sweep | None:
    """The first sweep that may go on; others that would do the same from the beginning are joined to it."""
    row = (await tx.execute(_SWEEP)).one_or_none()
    return None if row is None else Sweep(*row)


async def set_horizons(tx: Transaction) -> None:
    """New sweeps wait for every transaction that is under way now."""
    await tx.execute(_HORIZON)


async def records_of(tx: Transaction, sweep: Sweep) -> list[int]:
    """The next records of a sweep, in order."""
    asked = {"after": sweep.after_id, "most": RECORDS_AT_ONCE}
    if sweep.employee_id:
        rows = await tx.execute(_OF_EMPLOYEE, asked | {"employee": sweep.employee_id})
    else:
        rows = await tx.execute(_OF_ALL, asked)
    return [row.id for row in rows]


async def sweep_on(tx: Transaction, sweep: Sweep, after_id: int | None) -> None:
    """The sweep has come to that record; None ends it."""
    if after_id is None:
        await tx.execute(_END, {"id": sweep.id})
    else:
        await tx.execute(_ON, {"id": sweep.id, "after": after_id})


async def forget(tx: Transaction, clock_trigger_id: int) -> int:
    """Take away what is planned for a trigger that is gone, some at a time; how much."""
    asked = {"trigger": clock_trigger_id, "most": RECORDS_AT_ONCE}
    return (await tx.execute(_FORGET, asked)).rowcount


async def plan(
    tx: Transaction, records: Collection[int], planned: Sequence[Planned], only: int | None = None
) -> None:
    """Replace what is planned for these records, of all triggers or one. What is due as it was stays."""
    rows = to_json([one._asdict() for one in planned]).decode()
    await tx.execute(_PLAN, {"records": list(records), "only": only, "rows": rows})


async def due_records(tx: Transaction, now: datetime, most: int) -> list[int]:
    """Records for which a trigger is due, the longest due first."""
    rows = await tx.execute(_DUE, {"now": now, "most": most})
    return list(dict.fromkeys(row.record_id for row in rows))


async def take_due(tx: Transaction, record_id: int, now: datetime) -> list[Due]:
    """What is due for a record, locked; what somebody else has in hand is passed over."""
    return [Due(*row) for row in await tx.execute(_TAKE, {"record": record_id, "now": now})]


async def is_free(tx: Transaction, record_id: int) -> bool:
    """Whether nobody has the lock of the record; now the caller has it."""
    return (await tx.execute(_FREE, {"record": record_id})).one_or_none() is not None


async def done(tx: Transaction, record_id: int, triggers: Collection[int], now: datetime) -> None:
    """These were heard, or are not due at all; one that turned out to be due later stays."""
    await tx.execute(_DONE, {"record": record_id, "triggers": list(triggers), "now": now})


async def due_later(tx: Transaction, record_id: int, trigger: int, due_at: datetime) -> None:
    """It turned out to be due at another instant."""
    await tx.execute(_LATER, {"record": record_id, "trigger": trigger, "due": due_at})


async def look_again(tx: Transaction, record_id: int, trigger: int, at: datetime, attempts: int) -> None:
    """It could not be carried out: tried again at `at`."""
    asked = {"record": record_id, "trigger": trigger, "at": at, "attempts": attempts}
    await tx.execute(_AGAIN, asked)


def definition(raw: JsonValue) -> dict[str, JsonValue]:
    """The definition of a trigger as an object; anything else, as spoilt by hand, is an empty one."""
    return raw if isinstance(raw, dict) else {}


_AT = DateTime(timezone=True)
_IDS = ARRAY(BigInteger)
_LOOK = text("""
with s as (
  insert into setting (key, value) values ('clock_looked_at', to_jsonb(cast(:now as timestamptz)))
  on conflict (key) do update set value = excluded.value
  where cast(setting.value #>> '{}' as timestamptz) < cast(excluded.value #>> '{}' as timestamptz)
)
select coalesce(clock_looked_at(), :now), (select id from clock_changed order by id limit 1) is not null,
  exists (select 1 from clock_sweep),
  coalesce((select look_at from clock_due order by look_at limit 1) <= :now, false)
""").bindparams(bindparam("now", type_=_AT))
_MAY_PLAN = text("select pg_try_advisory_xact_lock(:planner)").bindparams(
    bindparam("planner", type_=BigInteger)
)
_MARKS = text("""
delete from clock_changed
where id = any(array(select id from clock_changed order by id limit :most for update skip locked))
returning record_id, since
""")
_HORIZON = text("""
update clock_sweep set horizon = cast(pg_snapshot_xmax(pg_current_snapshot()) as text) where horizon = ''
""")
_SWEEP = text("""
with mine as (
  select id, clock_trigger_id, employee_id, after_id, since from clock_sweep
  where horizon <> '' and cast(horizon as xid8) <= pg_snapshot_xmin(pg_current_snapshot())
  order by after_id, id limit 1  -- the least advanced: a short one is not kept waiting by a long one
), same as (
  delete from clock_sweep s using mine m
  where s.id > m.id and s.clock_trigger_id = m.clock_trigger_id and s.employee_id = m.employee_id
    and s.after_id = 0 and m.after_id = 0 and s.horizon <> ''
)
select id, clock_trigger_id, employee_id, after_id, since from mine
""")
_OF_ALL = text("select id from record where id > :after order by id limit :most").bindparams(
    bindparam("after", type_=BigInteger)
)
_OF_EMPLOYEE = text("""
select id from record where responsible_id = :employee and id > :after order by id limit :most
""").bindparams(bindparam("after", type_=BigInteger))
_ON = text("update clock_sweep set after_id = :after where id = :id").bindparams(
    bindparam("after", type_=BigInteger), bindparam("id", type_=BigInteger)
)
_END = text("delete from clock_sweep where id = :id").bindparams(bindparam("id", type_=BigInteger))
_FORGET = text("""
delete from clock_due where clock_trigger_id = :trigger and record_id = any(
  array(select record_id from clock_due where clock_trigger_id = :trigger order by record_id limit :most))
""").bindparams(bindparam("trigger", type_=BigInteger))
_PLAN = text("""
with wanted as materialized (
  select * from jsonb_to_recordset(cast(:rows as jsonb))
    as w (clock_trigger_id bigint, record_id bigint, due_at timestamptz, since timestamptz, past boolean)
), gone as (
  delete from clock_due d
  where d.record_id = any(:records) and (d.clock_trigger_id = :only or cast(:only as bigint) is null)
    and not exists (
      select 1 from wanted w where w.clock_trigger_id = d.clock_trigger_id and w.record_id = d.record_id
        and (not w.past or w.due_at = d.due_at))
)
insert into clock_due (clock_trigger_id, record_id, due_at, look_at, since)
select clock_trigger_id, record_id, due_at, due_at, since from wanted where not past
on conflict (clock_trigger_id, record_id) do update
set due_at = excluded.due_at, look_at = excluded.look_at, since = excluded.since, attempts = 0
where clock_due.due_at <> excluded.due_at
""").bindparams(bindparam("records", type_=_IDS), bindparam("only", type_=BigInteger))
_DUE = text("select record_id from clock_due where look_at <= :now order by look_at limit :most").bindparams(
    bindparam("now", type_=_AT)
)
_TAKE = text("""
select d.clock_trigger_id, d.due_at, d.since, d.attempts, coalesce(t.trigger, ''), coalesce(t.pipeline_id, '')
from clock_due d left join clock_trigger t on t.id = d.clock_trigger_id
where d.record_id = :record and d.look_at <= :now
order by d.look_at
for update of d skip locked
""").bindparams(bindparam("record", type_=BigInteger), bindparam("now", type_=_AT))
_FREE = text("select 1 from record where id = :record for no key update skip locked").bindparams(
    bindparam("record", type_=BigInteger)
)
_DONE = text("""
delete from clock_due where record_id = :record and clock_trigger_id = any(:triggers) and look_at <= :now
""").bindparams(
    bindparam("record", type_=BigInteger), bindparam("triggers", type_=_IDS), bindparam("now", type_=_AT)
)
_LATER = text("""
update clock_due set due_at = :due, look_at = :due, attempts = 0
where record_id = :record and clock_trigger_id = :trigger
""").bindparams(
    bindparam("record", type_=BigInteger), bindparam("trigger", type_=BigInteger), bindparam("due", type_=_AT)
)
_AGAIN = text("""
update clock_due set look_at = :at, attempts = :attempts
where record_id = :record and clock_trigger_id = :trigger
""").bindparams(
    bindparam("record", type_=BigInteger), bindparam("trigger", type_=BigInteger), bindparam("at", type_=_AT)
)
