"""Judges what is left when everything has come to rest: nothing lost, nothing twice, nothing invented.

It reads PostgreSQL and what the mail server took, and knows nothing of the product but its tables: plans come
from the published rule sets as JSON, order from the commit times that the server itself keeps
(`track_commit_timestamp`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import asyncpg

OUTCOMES = ("done", "skipped", "failed", "cancelled", "stale", "superseded", "unknown")
ACTED = ("done", "failed", "unknown")
MADE_BY = {"add_comment": "comment", "create_todo": "todo", "generate_code": "code", "notify": "notification"}
SENDS = "send_email"
MOVES = "change_stage"
HOLDS = ("wait", "control")

Key = tuple[int, int, str]
"""Record, visit, rule."""


@dataclass
class Findings:
    """What is wrong, by invariant."""

    said: list[str] = field(default_factory=list)

    def __call__(self, invariant: str, what: str, offenders: Iterable[object]) -> None:
        self.said += [f"{invariant} {what}: {offender}" for offender in offenders]


@dataclass
class World:
    """Everything the database holds, and the ids and bodies at the mail server."""

    visits: dict[tuple[int, int], asyncpg.Record]
    kinds: dict[Key, str]
    """The plans: each step's kind."""
    ledger: dict[tuple[int, int, str, int], asyncpg.Record]
    journal: list[asyncpg.Record]
    effects: dict[str, list[asyncpg.Record]]
    messages: list[asyncpg.Record]
    deleted: dict[int, datetime]
    owed: list[asyncpg.Record]
    mails: Sequence[tuple[str, bytes]]


async def owed(connection: asyncpg.Connection) -> int:
    """How many steps of plans have no outcome yet; visits that nobody has opened count too."""
    return int(await connection.fetchval(f"select count(*) from ({_OWED}) as o"))


async def check(
    connection: asyncpg.Connection,
    mails: Sequence[tuple[str, bytes]],
    told: Iterable[tuple[int, int, str]] = (),
) -> list[str]:
    """What is wrong, one sentence each; nothing is right, and so is an empty list.

    `mails`: Message-ID and content of each message at the mail server. `told`: entries that were acknowledged
    to whoever asked for them, as record, visit and stage.
    """
    world = await _read(connection, mails)
    findings = Findings()
    for invariant in (_lost, _twice, _invented, _fence, _mail, _journal, _after_deletion):
        invariant(world, findings)
    missing = [t for t in told if (v := world.visits.get(t[:2])) is None or v["stage_id"] != t[2]]
    findings("I7", "was acknowledged and is not there", missing)
    return findings.said


# -- the invariants ----------------------------------------------------------------------------------
def _lost(world: World, findings: Findings) -> None:
    """I1: every step of every plan ends with exactly one outcome."""
    findings("I1", "has no outcome", [(*r.values(),) for r in world.owed])
    ended = {key for key, row in world.ledger.items() if row["outcome"] in OUTCOMES}
    findings("I1", "is claimed or open", [key for key in world.ledger if key not in ended])
    for (record, visit, rule), kind in world.kinds.items():
        table = MADE_BY.get(kind)
        row = world.ledger.get((record, visit, rule, 0))
        if table and row and row["outcome"] == "done":
            there = [e for e in world.effects[table] if _key(e) == (record, visit, rule)]
            findings("I1", f"is done without a {table}", [] if there else [(record, visit, rule)])


def _twice(world: World, findings: Findings) -> None:
    """I2: one effect a key."""
    for table, rows in world.effects.items():
        whom = Counter((*_key(row), row["n"], row["whom"]) for row in rows if row["rule"])
        findings("I2", f"has more than one {table}", [key for key, count in whom.items() if count > 1])
    keys = Counter((*_key(row), row["n"]) for row in world.messages)
    findings("I2", "has more than one message", [key for key, count in keys.items() if count > 1])
    led = Counter((k[0], row["moved_to"]) for k, row in world.ledger.items() if row["moved_to"])
    findings("I2", "visit that several steps led to", [visit for visit, count in led.items() if count > 1])


def _invented(world: World, findings: Findings) -> None:
    """I3: whatever there is, a rule of the plan made it, of the kind that makes such a thing."""
    for table, rows in world.effects.items():
        own = [row for row in rows if row["rule"]]
        unknown = [_key(row) for row in own if _key(row) not in world.kinds]
        findings("I3", f"{table} of no rule of the plan", unknown)
        others = [_key(row) for row in own if _key(row) in world.kinds and not _may_make(world, row, table)]
        findings("I3", f"{table} that its rule does not make", others)
    findings("I3", "key of no rule of the plan", [k for k in world.ledger if k[:3] not in world.kinds])
    findings("I3", "message of no rule", [_key(m) for m in world.messages if _kind(world, m) != SENDS])
    for (record, visit), entry in world.visits.items():
        if entry["automatic"]:
            before = world.visits.get((record, visit - 1))
            key = (record, visit - 1, before["left_by"] if before else "")
            row = world.ledger.get((*key, 0))
            led = world.kinds.get(key) == MOVES and row is not None and row["moved_to"] == visit
            findings("I3", "moved by no rule", [] if led else [(record, visit)])


def _fence(world: World, findings: Findings) -> None:
    """I4: nothing of a visit commits after the transaction that left it, unless it was kept."""
    late: list[tuple[object, ...]] = []
    for table, rows in world.effects.items():
        late += [(table, *_key(row)) for row in rows if row["rule"] and _after_leaving(world, row)]
    acted = (row for row in world.journal if row["rule"] and row["event"] in ACTED)
    late += [("journal", *_key(row)) for row in acted if _after_leaving(world, row)]
    late += [("message", *_key(m)) for m in world.messages if _made_late(world, m)]
    findings("I4", "acted after its stage was left", late)


def _mail(world: World, findings: Findings) -> None:
    """I5: at the mail server is what was sent, perhaps what is unknown, and a copy only where it is said."""
    by_id = {row["message_id"]: row for row in world.messages}
    copies = Counter(message_id for message_id, _ in world.mails)
    findings("I5", "at the mail server without a message", [i for i in copies if i not in by_id])
    at_server = [m for m in world.messages if copies[m["message_id"]]]
    denied = [_key(m) for m in at_server if m["state"] not in ("sent", "unknown")]
    findings("I5", "arrived, and is neither sent nor unknown", denied)
    lost = [_key(m) for m in world.messages if m["state"] == "sent" and not copies[m["message_id"]]]
    findings("I5", "sent, and did not arrive", lost)
    doubted = {(*_key(row), row["n"]) for row in world.journal if row["event"] == "retry"}
    for message in at_server:
        count = copies[message["message_id"]]
        allowed = message["attempts"] if (*_key(message), message["n"]) in doubted else 1
        findings("I5", f"{count} copies of", [_key(message)] if count > allowed else [])
    bodies = Counter(message_id for message_id, _ in set(world.mails))
    findings("I5", "copies that differ", [i for i, count in bodies.items() if count > 1])
    wanted = {"sent": "done", "unknown": "unknown"}
    for message in world.messages:
        row = world.ledger.get((*_key(message), message["n"]))
        fits = row is not None and wanted.get(message["state"]) == row["outcome"]
        findings("I5", "message and outcome differ", [] if fits else [_key(message)])
    sent = {_key(m) for m in world.messages}
    done = {k[:3] for k, row in world.ledger.items() if row["outcome"] in ("done", "unknown") and k[3] == 0}
    unsent = [k for k in done - sent if world.kinds.get(k) == SENDS]
    findings("I5", "done without a message", unsent)


def _journal(world: World, findings: Findings) -> None:
    """I10: one line for each outcome, and it says the same."""
    own = [row for row in world.journal if row["rule"] and row["event"] in OUTCOMES and row["n"] == 0]
    lines = Counter((*_key(row), 0) for row in own)
    ended = {k: row for k, row in world.ledger.items() if row["outcome"] in OUTCOMES and k[3] == 0}
    findings("I10", "has no line in the journal", ended.keys() - lines.keys())
    findings("I10", "has a line and no outcome", lines.keys() - ended.keys())
    findings("I10", "has several lines", [key for key, count in lines.items() if count > 1])
    said = {(*_key(row), 0): (row["event"], row["reason"]) for row in own}
    differ = [k for k in ended.keys() & said.keys() if said[k] != (ended[k]["outcome"], ended[k]["reason"])]
    findings("I10", "line and outcome differ", differ)


def _after_deletion(world: World, findings: Findings) -> None:
    """I12: nothing of a record acts after its deletion."""
    for table, rows in world.effects.items():
        late = [row for row in rows if _is_dead(world, row, row["committed"])]
        acts = [_key(row) for row in late if not _was_on_its_way(world, row)]
        findings("I12", f"{table} after the deletion", acts)
    made = [_key(row) for row in world.messages if _is_dead(world, row, row["created_at"])]
    findings("I12", "message begun after the deletion", made)


def _is_dead(world: World, row: asyncpg.Record, at: datetime) -> bool:
    """Whether the record was deleted before this instant."""
    deleted = world.deleted.get(row["record_id"])
    return deleted is not None and at > deleted


# -- what a row is -----------------------------------------------------------------------------------
def _key(row: asyncpg.Record) -> Key:
    return row["record_id"], row["visit_no"], row["rule"]


def _kind(world: World, row: asyncpg.Record) -> str:
    return world.kinds.get(_key(row), "")


def _may_make(world: World, row: asyncpg.Record, table: str) -> bool:
    """Whether the kind makes such rows; a failure, a doubt and a hold tell somebody too."""
    if MADE_BY.get(_kind(world, row)) == table:
        return True
    outcome = world.ledger.get((*_key(row), 0))
    badly = outcome is not None and outcome["outcome"] in ("failed", "unknown")
    return table == "notification" and (badly or _kind(world, row) in HOLDS)


def _after_leaving(world: World, row: asyncpg.Record) -> bool:
    visit = world.visits[row["record_id"], row["visit_no"]]
    if visit["left_commit"] is None or row["committed"] <= visit["left_commit"]:
        return False
    if row["rule"] in json.loads(visit["kept"]):
        return False
    return not _was_on_its_way(world, row)


def _was_on_its_way(world: World, row: asyncpg.Record) -> bool:
    """Whether it is the end of a message that was being handed over when its stage was left."""
    return any(_key(m) == _key(row) and not _made_late(world, m) for m in world.messages)


def _made_late(world: World, message: asyncpg.Record) -> bool:
    """Whether a message was begun after its stage was left, by the time in it: its row changes later."""
    visit = world.visits[message["record_id"], message["visit_no"]]
    left = visit["left_commit"] is not None and message["created_at"] > visit["left_commit"]
    return left and message["rule"] not in json.loads(visit["kept"])


# -- reading -----------------------------------------------------------------------------------------
async def _read(connection: asyncpg.Connection, mails: Sequence[tuple[str, bytes]]) -> World:
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        return World(
            visits={(r["record_id"], r["visit_no"]): r for r in await connection.fetch(_VISITS)},
            kinds={_key(r): r["kind"] for r in await connection.fetch(_PLANS)},
            ledger={(*_key(r), r["n"]): r for r in await connection.fetch("select * from ledger")},
            journal=await connection.fetch(_JOURNAL),
            effects={table: await connection.fetch(query) for table, query in _EFFECTS.items()},
            messages=await connection.fetch("select * from message"),
            deleted={r["record_id"]: r["committed"] for r in await connection.fetch(_DELETIONS)},
            owed=await connection.fetch(_OWED),
            mails=mails,
        )


_PLANS = """
select v.record_id, v.visit_no, r.value ->> 'id' as rule, r.value ->> 'kind' as kind
from visit v
join rule_set s on s.pipeline_id = v.pipeline_id and s.number = v.rules_number
cross join jsonb_array_elements(coalesce(s.stages -> v.stage_id, '[]')) as r
where v.run_rules and coalesce((r.value ->> 'active')::boolean, true)
"""
_OWED = f"""
select p.record_id, p.visit_no, p.rule from ({_PLANS}) as p
left join ledger l on l.record_id = p.record_id and l.visit_no = p.visit_no and l.rule = p.rule and l.n = 0
where coalesce(l.outcome, '') in ('', 'open')
"""
_VISITS = """
select v.*, pg_xact_commit_timestamp(j.xmin) as left_commit
from visit v
left join journal j on j.record_id = v.record_id and j.visit_no = v.visit_no + 1 and j.rule = ''
  and j.event in ('moved', 'closed', 'pipeline_changed', 'deleted', 'restored')
"""
_JOURNAL = """
select id, record_id, visit_no, rule, n, event, reason, pg_xact_commit_timestamp(xmin) as committed
from journal order by id
"""
_DELETIONS = """
select record_id, max(pg_xact_commit_timestamp(xmin)) as committed from journal where event = 'deleted'
and record_id in (select id from record where deleted_at is not null) group by record_id
"""
_OWN = "record_id, visit_no, rule"
# a to-do is completed later, which makes another row of it: only the others know when they were made
_EFFECTS = {
    "comment": f"select {_OWN}, 0 as n, '' as whom, pg_xact_commit_timestamp(xmin) as committed from comment",
    "code": f"select {_OWN}, 0 as n, '' as whom, pg_xact_commit_timestamp(xmin) as committed from code",
    "notification": f"""
      select {_OWN}, n, employee_id as whom, pg_xact_commit_timestamp(xmin) as committed from notification
    """,
    "todo": f"""
      select {_OWN}, 0 as n, '' as whom,
        case when completed_at is null then pg_xact_commit_timestamp(xmin) else created_at end as committed
      from todo
    """,
}
