"""Judges what is left when everything has come to rest: nothing lost, nothing twice, nothing invented.

It reads PostgreSQL and what the mail server took, and knows nothing of the product but its tables: plans come
from the published rule sets as JSON, order from the commit times that the server itself keeps
(`track_commit_timestamp`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import asyncpg

from tests.chaos.checker_promises import PROMISES
from tests.chaos.checker_world import (
    ACTED,
    HOLDS,
    OUTCOMES,
    OWED,
    Findings,
    Log,
    World,
    is_held,
    is_kept,
    key_of,
    kind_of,
    on_its_way,
    read,
)

MADE_BY = {
    "add_comment": "comment", "create_todo": "todo", "generate_code": "code", "notify": "notification",
    "create_task": "task", "book_resource": "booking", "schedule_meeting": "meeting",
}  # fmt: skip
SENDS = "send_email"
MOVES = ("change_stage", "wait")


async def owed(connection: asyncpg.Connection) -> int:
    """How many steps of plans have no outcome yet; visits that nobody has opened count too."""
    return int(await connection.fetchval(f"select count(*) from ({OWED}) as o"))


async def check(
    connection: asyncpg.Connection, mails: Sequence[tuple[str, bytes]], log: Log | None = None
) -> list[str]:
    """What is wrong, one sentence each; nothing is right, and so is an empty list.

    `mails`: Message-ID and content of each message at the mail server.
    """
    world = await read(connection, mails, log or Log())
    findings = Findings()
    for invariant in (_lost, _twice, _invented, _fence, _mail, _journal, _after_deletion, *PROMISES):
        invariant(world, findings)
    return findings.said


# -- the invariants ----------------------------------------------------------------------------------
def _lost(world: World, findings: Findings) -> None:
    """I1: every step of every plan ends with exactly one outcome."""
    findings("I1", "has no outcome", [(*r.values(),) for r in world.owed])
    ended = {key for key, row in world.ledger.items() if row["outcome"] in OUTCOMES}
    held = {k for k, row in world.ledger.items() if row["outcome"] == "open" and is_held(world, k[0])}
    findings("I1", "is claimed or open", world.ledger.keys() - ended - held)
    for (record, visit, rule), kind in world.kinds.items():
        table = MADE_BY.get(kind)
        row = world.ledger.get((record, visit, rule, 0))
        if table and row and row["outcome"] == "done":
            there = [e for e in world.effects[table] if key_of(e) == (record, visit, rule)]
            findings("I1", f"is done without a {table}", [] if there else [(record, visit, rule)])


def _twice(world: World, findings: Findings) -> None:
    """I2: one effect a key."""
    for table, rows in world.effects.items():
        whom = Counter((*key_of(row), row["n"], row["whom"]) for row in rows if row["rule"])
        findings("I2", f"has more than one {table}", [key for key, count in whom.items() if count > 1])
    keys = Counter((*key_of(row), row["n"]) for row in world.messages)
    findings("I2", "has more than one message", [key for key, count in keys.items() if count > 1])
    led = Counter((k[0], row["moved_to"]) for k, row in world.ledger.items() if row["moved_to"])
    findings("I2", "visit that several steps led to", [visit for visit, count in led.items() if count > 1])


def _invented(world: World, findings: Findings) -> None:
    """I3: whatever there is, a rule of the plan made it, of the kind that makes such a thing."""
    for table, rows in world.effects.items():
        own = [row for row in rows if row["rule"]]
        unknown = [key_of(row) for row in own if key_of(row) not in world.kinds]
        findings("I3", f"{table} of no rule of the plan", unknown)
        planned = [row for row in own if key_of(row) in world.kinds]
        others = [key_of(row) for row in planned if not _may_make(world, row, table)]
        findings("I3", f"{table} that its rule does not make", others)
    findings("I3", "key of no rule of the plan", [k for k in world.ledger if k[:3] not in world.kinds])
    findings("I3", "message of no rule", [key_of(m) for m in world.messages if kind_of(world, m) != SENDS])
    moved = [where for where, entry in world.visits.items() if entry["automatic"]]
    findings("I3", "moved by no rule", [where for where in moved if not _moved_by(world, *where)])


def _moved_by(world: World, record: int, visit: int) -> bool:
    """Whether what moved the record automatically is there: a step, a trigger, or a wait the client ended."""
    actor, left = world.visits[record, visit]["actor"], (record, visit - 1)
    if actor.startswith("trigger:"):
        fired = [(row["record_id"], row["visit_no"], row["trigger"]) for row in world.rows["firing"]]
        return (*left, actor.removeprefix("trigger:")) in fired
    if actor == "client":
        ended = [(h["record_id"], h["visit_no"]) for h in world.rows["hold"] if h["reason"] == "client"]
        return left in ended
    rule = world.visits[left]["left_by"] if left in world.visits else ""
    led = [k for k, row in world.ledger.items() if k[:3] == (*left, rule) and row["moved_to"] == visit]
    return bool(led) and world.kinds.get((*left, rule)) in MOVES


def _fence(world: World, findings: Findings) -> None:
    """I4: nothing of a visit commits after the transaction that left it, unless it was kept."""
    late: list[tuple[object, ...]] = []
    for table, rows in world.effects.items():
        late += [(table, *key_of(row)) for row in rows if row["rule"] and _after_leaving(world, row)]
    acted = (row for row in world.journal if row["rule"] and row["event"] in ACTED)
    late += [("journal", *key_of(row)) for row in acted if _after_leaving(world, row)]
    late += [("message", *key_of(m)) for m in world.messages if _made_late(world, m)]
    findings("I4", "acted after its stage was left", late)


def _mail(world: World, findings: Findings) -> None:
    """I5: at the mail server is what was sent, perhaps what is unknown, and a copy only where it is said."""
    by_id = {row["message_id"]: row for row in world.messages}
    copies = Counter(message_id for message_id, _ in world.mails)
    invited = {row["message_id"] for row in world.rows["invitation"]}
    findings("I5", "at the mail server without a message", copies.keys() - by_id.keys() - invited)
    at_server = [m for m in world.messages if copies[m["message_id"]]]
    denied = [key_of(m) for m in at_server if m["state"] not in ("sent", "unknown")]
    findings("I5", "arrived, and is neither sent nor unknown", denied)
    lost = [key_of(m) for m in world.messages if m["state"] == "sent" and not copies[m["message_id"]]]
    findings("I5", "sent, and did not arrive", lost)
    doubted = {(*key_of(row), row["n"]) for row in world.journal if row["event"] == "retry"}
    for message in at_server:
        count = copies[message["message_id"]]
        allowed = message["attempts"] if (*key_of(message), message["n"]) in doubted else 1
        findings("I5", f"{count} copies of", [key_of(message)] if count > allowed else [])
    bodies = Counter(message_id for message_id, _ in set(world.mails))
    findings("I5", "copies that differ", [i for i, count in bodies.items() if count > 1])
    findings("I5", "still under way", [key_of(m) for m in world.messages if m["state"] == "sending"])
    for message in world.messages:
        row = world.ledger.get((*key_of(message), message["n"]))
        outcome = row["outcome"] if row is not None else ""
        findings("I5", "message and outcome differ", [] if _fits(message, outcome) else [key_of(message)])
    sent = {key_of(m) for m in world.messages}
    done = {k[:3] for k, row in world.ledger.items() if row["outcome"] in ("done", "unknown") and k[3] == 0}
    unsent = [k for k in done - sent if world.kinds.get(k) == SENDS]
    findings("I5", "done without a message", unsent)


def _journal(world: World, findings: Findings) -> None:
    """I10: one line for each outcome, and it says the same."""
    own = [row for row in world.journal if row["rule"] and row["event"] in OUTCOMES and row["n"] == 0]
    lines = Counter((*key_of(row), 0) for row in own)
    ended = {k: row for k, row in world.ledger.items() if row["outcome"] in OUTCOMES and k[3] == 0}
    findings("I10", "has no line in the journal", ended.keys() - lines.keys())
    findings("I10", "has a line and no outcome", lines.keys() - ended.keys())
    findings("I10", "has several lines", [key for key, count in lines.items() if count > 1])
    said = {(*key_of(row), 0): (row["event"], row["reason"]) for row in own}
    differ = [k for k in ended.keys() & said.keys() if said[k] != (ended[k]["outcome"], ended[k]["reason"])]
    findings("I10", "line and outcome differ", differ)


def _fits(message: asyncpg.Record, outcome: str) -> bool:
    """Whether a step may have ended so, its message being what it is; refused, it may have been overtaken."""
    wanted = {"sent": ("done",), "unknown": ("unknown",)}
    refused = ("failed", "stale", "cancelled", "skipped", "superseded")
    return outcome in wanted.get(message["state"], refused)


def _after_deletion(world: World, findings: Findings) -> None:
    """I12: nothing of a visit acts after a deletion of its record, also where that was restored."""
    for table, rows in world.effects.items():
        late = [row for row in rows if row["rule"] and _is_dead(world, row, row["committed"])]
        findings("I12", f"{table} after the deletion", [key_of(row) for row in late])
    made = [key_of(row) for row in world.messages if _is_dead(world, row, row["created_at"])]
    findings("I12", "message begun after the deletion", made)


def _is_dead(world: World, row: asyncpg.Record, at: datetime) -> bool:
    """Whether the record was deleted in or after this visit, and before this instant."""
    for deletion in world.deletions:
        same = deletion["record_id"] == row["record_id"] and deletion["visit_no"] > row["visit_no"]
        if same and at > deletion["committed"]:
            return not on_its_way(world, row, deletion["committed"])
    return False


# -- what a row is -----------------------------------------------------------------------------------
def _may_make(world: World, row: asyncpg.Record, table: str) -> bool:
    """Whether the kind makes such rows; a failure, a doubt and a hold tell somebody too."""
    if MADE_BY.get(kind_of(world, row)) == table:
        return True
    outcome = world.ledger.get((*key_of(row), 0))
    badly = outcome is not None and outcome["outcome"] in ("failed", "unknown")
    if kind_of(world, row) in HOLDS and table in ("notification", "todo"):
        return True
    return table == "notification" and badly


def _after_leaving(world: World, row: asyncpg.Record) -> bool:
    left = world.visits[row["record_id"], row["visit_no"]]["left_commit"]
    if left is None or row["committed"] <= left or is_kept(world, row, row["committed"]):
        return False
    return not on_its_way(world, row, left)


def _made_late(world: World, message: asyncpg.Record) -> bool:
    """Whether a message was begun after its stage was left, by the time in it: its row changes later."""
    left = world.visits[message["record_id"], message["visit_no"]]["left_commit"]
    at = message["created_at"]
    return left is not None and at > left and not is_kept(world, message, at)
