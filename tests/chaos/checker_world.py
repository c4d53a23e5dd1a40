"""What the checker judges: what is in the database, at the mail server, in Temporal and in the driver's log.

It knows nothing of the product but its tables: plans come from the published rule sets as JSON, order from
the commit times that the server itself keeps (`track_commit_timestamp`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import asyncpg

OUTCOMES = ("done", "skipped", "failed", "cancelled", "stale", "superseded", "unknown")
ACTED = ("done", "failed", "unknown")
ENTRIES = ("created", "moved", "closed", "pipeline_changed", "deleted", "restored")
HOLDS = ("wait", "control")

Key = tuple[int, int, str]
"""Record, visit, rule."""


class Journey(NamedTuple):
    """What Temporal says of a record's journey: whether it runs, and how often its present task was tried."""

    runs: bool
    attempts: int = 1


@dataclass
class Log:
    """What those outside know: what they were told, and what they saw."""

    told: Sequence[tuple[int, int, str]] = ()
    """Entries that were acknowledged: record, visit, stage."""
    edits: Sequence[tuple[int, str, str]] = ()
    """Edits that were acknowledged: record, field, value; no value is used twice."""
    operations: Sequence[tuple[int, str, str]] = ()
    """What operators were told is done: record, verb, why; no why is used twice."""
    activities: Sequence[str] = ()
    """Client activities that were acknowledged, by their external ids."""
    callers: Sequence[str] = ()
    """Who asked for something, each for one thing, however often: under these names it was done."""
    journeys: Mapping[int, Journey] | None = None
    """What Temporal says of each record; None where nobody has asked it."""
    failed_tasks: Sequence[str] = ()
    """Lines of the workers' logs that tell of a workflow task that failed."""


@dataclass
class Findings:
    """What is wrong, by invariant."""

    said: list[str] = field(default_factory=list)

    def __call__(self, invariant: str, what: str, offenders: Iterable[object]) -> None:
        self.said += [f"{invariant} {what}: {offender}" for offender in offenders]


@dataclass
class World:
    """Everything the database holds, the ids and bodies at the mail server, and the driver's log."""

    visits: dict[tuple[int, int], asyncpg.Record]
    kinds: dict[Key, str]
    """The plans: each step's kind."""
    stays: set[Key]
    """Steps of chains that a leaving does not cancel."""
    ledger: dict[tuple[int, int, str, int], asyncpg.Record]
    journal: list[asyncpg.Record]
    effects: dict[str, list[asyncpg.Record]]
    messages: list[asyncpg.Record]
    rows: dict[str, list[asyncpg.Record]]
    """Other tables, each whole."""
    deletions: list[asyncpg.Record]
    owed: list[asyncpg.Record]
    mails: Sequence[tuple[str, bytes]]
    log: Log


def key_of(row: asyncpg.Record) -> Key:
    return row["record_id"], row["visit_no"], row["rule"]


def kind_of(world: World, row: asyncpg.Record) -> str:
    return world.kinds.get(key_of(row), "")


def is_held(world: World, record: int) -> bool:
    """Whether the record is suspended, and there."""
    found = next((r for r in world.rows["record"] if r["id"] == record), None)
    if found is None or found["deleted_at"]:
        return False
    covers = [s for s in world.rows["suspension"] if (s["scope"], s["key"]) == ("record", str(record))]
    return bool(covers or found["suspended"])


def on_its_way(world: World, row: asyncpg.Record, since: datetime) -> bool:
    """Whether it is the end of a message that was being handed over at that instant."""
    return any(key_of(m) == key_of(row) and m["created_at"] <= since for m in world.messages)


def is_kept(world: World, row: asyncpg.Record, at: datetime) -> bool:
    """Whether the rule was marked, at that instant, by the transaction that left the visit.

    A deletion takes the marks away; before it they were on what the plan says, and on what a hold owes.
    """
    if row["rule"] in json.loads(world.visits[row["record_id"], row["visit_no"]]["kept"]):
        return True
    may_stay = key_of(row) in world.stays or world.kinds.get(key_of(row)) in HOLDS
    record = [d for d in world.deletions if d["record_id"] == row["record_id"]]
    ended = [d["committed"] for d in record if d["visit_no"] > row["visit_no"] + 1]
    return may_stay and bool(ended) and at <= min(ended)


async def read(connection: asyncpg.Connection, mails: Sequence[tuple[str, bytes]], log: Log) -> World:
    """All of it, at one instant."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        plans = await connection.fetch(_PLANS)
        return World(
            visits={(r["record_id"], r["visit_no"]): r for r in await connection.fetch(_VISITS)},
            kinds={key_of(r): r["kind"] for r in plans if r["active"]},
            stays={key_of(r) for r in plans if r["on_exit"] in ("keep", "run_now")},
            ledger={(*key_of(r), r["n"]): r for r in await connection.fetch("select * from ledger")},
            journal=await connection.fetch(_JOURNAL),
            effects={table: await connection.fetch(query) for table, query in _EFFECTS.items()},
            messages=await connection.fetch("select * from message"),
            rows={table: await connection.fetch(f"select * from {table}") for table in _WHOLE},
            deletions=await connection.fetch(_DELETIONS),
            owed=await connection.fetch(OWED),
            mails=mails,
            log=log,
        )


# a chain goes on or ends as its first rule says, active or not
_PLANS = """
select p.record_id, p.visit_no, p.rule, p.kind, p.active,
  first_value(p.on_exit) over (partition by p.record_id, p.visit_no, p.chain order by p.place) as on_exit
from (
  select v.record_id, v.visit_no, r.value ->> 'id' as rule, r.value ->> 'kind' as kind,
    coalesce((r.value ->> 'active')::boolean, true) as active, r.value ->> 'on_exit' as on_exit, r.place,
    count(*) filter (where coalesce(r.value ->> 'after_previous', 'false') = 'false')
      over (partition by v.record_id, v.visit_no order by r.place) as chain
  from visit v
  join rule_set s on s.pipeline_id = v.pipeline_id and s.number = v.rules_number
  cross join jsonb_array_elements(coalesce(s.stages -> v.stage_id, '[]')) with ordinality as r (value, place)
  where v.run_rules
) as p
"""
# what a suspension holds back is owed to nobody yet; of a record in the bin nothing is held back
OWED = f"""
select p.record_id, p.visit_no, p.rule from ({_PLANS}) as p
join record r on r.id = p.record_id
left join ledger l on l.record_id = p.record_id and l.visit_no = p.visit_no and l.rule = p.rule and l.n = 0
where p.active and coalesce(l.outcome, '') in ('', 'open')
  and not (r.deleted_at is null and (r.suspended is not null
    or exists (select from suspension s where s.scope = 'record' and s.key = r.id::text)))
"""
_VISITS = """
select v.*, pg_xact_commit_timestamp(j.xmin) as left_commit
from visit v
left join journal j on j.record_id = v.record_id and j.visit_no = v.visit_no + 1 and j.rule = ''
  and j.event in ('moved', 'closed', 'pipeline_changed', 'deleted', 'restored')
"""
_JOURNAL = """
select id, record_id, visit_no, rule, n, event, reason, at, actor, detail,
  pg_xact_commit_timestamp(xmin) as committed
from journal order by id
"""
_DELETIONS = """
select record_id, visit_no, pg_xact_commit_timestamp(xmin) as committed from journal where event = 'deleted'
and rule = ''
"""
_OWN = "record_id, visit_no, rule"
_COMMITTED = "pg_xact_commit_timestamp(xmin) as committed"
# what is changed later becomes another row, as a to-do that is completed or comes back from the bin
_EFFECTS = {
    "comment": f"select {_OWN}, 0 as n, '' as whom, {_COMMITTED} from comment",
    "code": f"select {_OWN}, 0 as n, '' as whom, {_COMMITTED} from code",
    "notification": f"select {_OWN}, n, employee_id as whom, {_COMMITTED} from notification",
    "todo": f"""
      select {_OWN}, 0 as n, '' as whom,
        case when completed_at is not null or exists (
          select from journal j where j.record_id = todo.record_id and j.event = 'restored'
        ) then created_at else pg_xact_commit_timestamp(xmin) end as committed
      from todo
    """,
    "task": f"select {_OWN}, 0 as n, '' as whom, created_at as committed from task",
    "booking": f"select {_OWN}, 0 as n, '' as whom, created_at as committed from booking",
    "meeting": f"select {_OWN}, 0 as n, '' as whom, created_at as committed from meeting",
}
_WHOLE = (
    "record", "hold", "outbox", "healing", "booking", "booking_resource", "meeting", "invitation", "todo",
    "task", "notification", "client_activity", "firing", "suspension",
)  # fmt: skip
