"""What the checker asks beyond steps and effects: rest, the bin, suspension, lateness, loops, answers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

import asyncpg

from tests.chaos.checker_world import ACTED, ENTRIES, HOLDS, Findings, World, key_of, on_its_way

MOST_AN_HOUR = 10
EXACT = ("comment", "code", "notification")
"""Of these it is known when they were committed; of all else the line in the journal says it."""
ON_TIME = timedelta(seconds=1)
"""So much earlier than it acted an act may be booked."""
BY_A_FACT = ("client", "person", "resolved", "resolved_late")
"""What may end a hold while it is suspended."""


class Span(NamedTuple):
    """A time in which a record was suspended, between the commits that began and ended it."""

    record: int
    since: datetime
    until: datetime | None

    def holds(self, record: int, at: datetime) -> bool:
        return record == self.record and at > self.since and (self.until is None or at < self.until)


def _rest(world: World, findings: Findings) -> None:
    """I11: at rest every visit is opened and every bell rung; journeys run, and none fails its tasks."""
    findings("I11", "bell that was not rung", [(b["record_id"], b["kind"]) for b in world.rows["outbox"]])
    records = world.rows["record"]
    findings("I11", "not opened", [r["id"] for r in records if r["journey_visit"] < r["visit_no"]])
    ahead = [r["id"] for r in records if r["journey_visit"] > r["visit_no"]]
    findings("I11", "opened, and never entered", ahead)
    findings("I11", "workflow task failed", world.log.failed_tasks)
    if (journeys := world.log.journeys) is None:
        return
    alive = {r["id"] for r in records if r["deleted_at"] is None}
    running = {record for record, journey in journeys.items() if journey.runs}
    findings("I11", "is there without a running journey", alive - running)
    findings("I11", "has a journey in the bin", running & {r["id"] for r in records} - alive)
    failing = [record for record, journey in journeys.items() if journey.runs and journey.attempts > 1]
    findings("I11", "has a workflow task that keeps failing", failing)


def _bookings(world: World, findings: Findings) -> None:
    """I9: nothing is booked twice; what a booking says is what its resources say."""
    active = {b["id"]: b["state"] == "active" for b in world.rows["booking"]}
    taken = [r for r in world.rows["booking_resource"] if r["active"]]
    findings("I9", "taken, and released", [r["booking_id"] for r in taken if not active[r["booking_id"]]])
    by_resource: dict[str, list[asyncpg.Record]] = {}
    for row in sorted((r for r in taken if not r["forced"]), key=lambda r: r["during"].lower):
        before = by_resource.setdefault(row["resource"], [])
        met = [b["booking_id"] for b in before if b["during"].upper > row["during"].lower]
        findings("I9", f"{row['resource']} twice: {row['booking_id']} and", met)
        before.append(row)


def _bin(world: World, findings: Findings) -> None:
    """I12: what a record in the bin held of the world is given back, and guests are told."""
    dead = {r["id"]: r["deleted_at"] for r in world.rows["record"] if r["deleted_at"]}

    def of_dead(table: str) -> Iterator[tuple[asyncpg.Record, datetime]]:
        return ((r, dead[r["record_id"]]) for r in world.rows[table] if r["record_id"] in dead)

    booked = [b["id"] for b, at in of_dead("booking") if b["state"] == "active" and b["ends_at"] > at]
    findings("I12", "still booked", booked)
    met = [m["id"] for m, at in of_dead("meeting") if m["state"] == "planned" and m["ends_at"] > at]
    findings("I12", "meeting still planned", met)
    findings("I12", "to-do still open", [t["id"] for t, _ in of_dead("todo") if t["completed_at"] is None])
    findings("I12", "task still open", [t["id"] for t, _ in of_dead("task") if t["ended_how"] == ""])
    holds = [key_of(h) for h, _ in of_dead("hold") if h["outcome"] == ""]
    findings("I12", "hold still open", holds)
    letters = {(i["meeting_id"], i["recipient"], i["method"]) for i in world.rows["invitation"]}
    off = {m["id"] for m in world.rows["meeting"] if m["state"] == "cancelled"}
    untold = [i for i in letters if i[0] in off and i[2] == "REQUEST" and (*i[:2], "CANCEL") not in letters]
    findings("I12", "guest who does not know that it is off", untold)


def _suspension(world: World, findings: Findings) -> None:
    """I16: while a record is suspended nothing of it acts, by the clock or by itself."""
    spans = list(_spans(world))

    def within(row: asyncpg.Record) -> bool:
        for span in spans:
            if span.holds(row["record_id"], row["committed"]):
                return not on_its_way(world, row, span.since)
        return False

    for table in EXACT:
        rows = [row for row in world.effects[table] if row["rule"]]
        acted = [row for row in rows if not _tells_of_a_hold(world, row, table)]
        findings("I16", f"{table} while suspended", [key_of(row) for row in acted if within(row)])
    by_fact = [r for r in world.journal if r["event"] == "done" and _ended_by_a_fact(world, r)]
    free = {r["id"] for r in by_fact}
    events = (*ACTED, "open", "late", "told_late", "not_told")
    lines = [r for r in world.journal if r["rule"] and r["event"] in events and r["id"] not in free]
    findings("I16", "acted while suspended", [(*key_of(r), r["event"]) for r in lines if within(r)])
    for message in world.messages:
        at = message["created_at"]
        both = (at, at + ON_TIME)
        begun = [s for s in spans if all(s.holds(message["record_id"], when) for when in both)]
        findings("I16", "message begun while suspended", [key_of(message)] if begun else [])
    moved = [
        (r["record_id"], r["visit_no"]) for r in world.journal
        if r["event"] in ("moved", "closed", "pipeline_changed") and not r["rule"]
        and (v := world.visits.get((r["record_id"], r["visit_no"]))) and v["automatic"]
        and v["actor"] != "client" and within(r)
    ]  # fmt: skip
    findings("I16", "moved while suspended", moved)


def _spans(world: World) -> Iterator[Span]:
    """Every time in which a person or the loop guard had stopped a record."""
    since: dict[int, datetime] = {}
    for row in sorted(world.journal, key=lambda r: r["committed"]):
        record = row["record_id"]
        if row["event"] in ("suspend", "suspended"):
            since.setdefault(record, row["committed"])
        elif row["event"] == "resume" and record in since:
            yield Span(record, since.pop(record), row["committed"])
    yield from (Span(record, at, None) for record, at in since.items())


def _ended_by_a_fact(world: World, row: asyncpg.Record) -> bool:
    """A hold that a fact ended: the client, a person, a condition, a task that was closed."""
    closed = any(key_of(h) == key_of(row) and h["kind"] == "task" for h in world.rows["hold"])
    return closed or (world.kinds.get(key_of(row)) in HOLDS and row["reason"] in BY_A_FACT)


def _tells_of_a_hold(world: World, row: asyncpg.Record, table: str) -> bool:
    """Somebody is told at once that what waits has failed; that is no act of it."""
    outcome = world.ledger.get((*key_of(row), 0))
    return table == "notification" and outcome is not None and outcome["outcome"] in ("failed", "unknown")


def _lateness(world: World, findings: Findings) -> None:
    """I17: a record is late while a control of it is, and each lateness has one line of its own."""
    controls = [h for h in world.rows["hold"] if h["kind"] == "control"]
    late = {h["record_id"] for h in controls if h["late_since"] and h["outcome"] == ""}
    flagged = {r["id"] for r in world.rows["record"] if r["late"]}
    findings("I17", "late, and no control is", flagged - late)
    findings("I17", "not late, and a control is", late - flagged)
    lines = Counter(key_of(row) for row in world.journal if row["event"] == "late")
    missed = {key_of(h) for h in controls if h["late_since"] or h["reason"] == "resolved_late"}
    findings("I17", "late without a line", missed - lines.keys())
    findings("I17", "a line that it is late, and it was not", lines.keys() - missed)
    findings("I17", "late with several lines", [key for key, count in lines.items() if count > 1])
    wrong = [key_of(h) for h in controls if h["reason"] in ("resolved", "resolved_late")
             and (h["reason"] == "resolved_late") != bool(h["late_since"])]  # fmt: skip
    findings("I17", "resolved in time and late at once", wrong)


def _loops(world: World, findings: Findings) -> None:
    """I18: of a record at most ten automatic moves within an hour, from a resume on counted anew."""
    resumed = [(r["record_id"], r["visit_no"]) for r in world.journal if r["event"] == "resume"]
    moves: dict[int, list[asyncpg.Record]] = {}
    for (record, _), visit in sorted(world.visits.items()):
        if visit["automatic"]:
            moves.setdefault(record, []).append(visit)
    for record, made in moves.items():
        for first, last in zip(made, made[MOST_AN_HOUR:], strict=False):
            soon = last["entered_at"] - first["entered_at"] < timedelta(hours=1)
            anew = any(r == record and first["visit_no"] <= v < last["visit_no"] for r, v in resumed)
            findings("I18", "moved too often", [(record, last["visit_no"])] if soon and not anew else [])


def _healing(world: World, findings: Findings) -> None:
    """I19: whatever was put right is said: in the journal of the record, and to who owns the rules."""
    said = [row["body"] for row in world.rows["notification"] if row["record_id"] is None]
    titles = {row["id"]: row for row in world.rows["record"]}
    told = {r["record_id"] for r in world.rows["notification"] if r["body"].startswith("The journey of ")}
    for healed in world.rows["healing"]:
        record = healed["record_id"]
        if record is None:
            known = any(body.startswith("All journeys begin anew") for body in said)
            findings("I19", "begun anew, all of them, and nobody told", [] if known else [healed["reason"]])
            continue
        again = [r for r in world.journal if r["record_id"] == record and r["event"] == "rebuilt"]
        here = record in titles and titles[record]["deleted_at"] is None
        written = any(row["committed"] > healed["at"] for row in again)
        findings("I19", "begun anew without a line", [record] if here and not written else [])
        findings("I19", "begun anew, and nobody told", [record] if record in titles.keys() - told else [])


def _answers(world: World, findings: Findings) -> None:
    """I7: what was acknowledged is there, and was done once, however often it was asked for."""
    log = world.log
    missing = [t for t in log.told if (v := world.visits.get(t[:2])) is None or v["stage_id"] != t[2]]
    findings("I7", "was acknowledged and is not there", missing)
    edited = {
        (row["record_id"], name, str(values[1]))
        for row in world.journal if row["event"] == "edited"
        for name, values in json.loads(row["detail"]).items()
    }  # fmt: skip
    findings("I7", "was edited, and history does not say so", set(log.edits) - edited)
    operated = Counter(
        (row["record_id"], row["event"], json.loads(row["detail"]).get("why")) for row in world.journal
    )
    findings("I7", "an operator was told that it is done", [o for o in log.operations if not operated[o]])
    whys = {why for _, _, why in log.operations}
    findings("I7", "operated twice", [o for o, many in operated.items() if o[2] in whys and many > 1])
    known = {row["external_id"] for row in world.rows["client_activity"]}
    findings("I7", "client activity that was taken and lost", set(log.activities) - known)
    did = Counter((r["actor"], r["event"]) for r in world.journal if r["event"] in (*ENTRIES, "edited"))
    callers = set(log.callers)
    again = [d for d, many in did.items() if d[0] in callers and many > 1]
    findings("I7", "asked for once, done twice", again)


PROMISES: tuple[Callable[[World, Findings], None], ...] = (
    _rest, _bookings, _bin, _suspension, _lateness, _loops, _healing, _answers,
)  # fmt: skip
