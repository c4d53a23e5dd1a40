"""A journey that begins anew: all that it knew is read from what its acts and its operators left behind.

Nothing is kept for this alone. Ledger and holds say what came of every act; what a pending step waits for,
and who rescheduled it to when, was said in the journal by the transaction that decided it (decision 0014).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy import BigInteger, bindparam, text

from activities.follow import changed_at, plan
from activities.runner import Runner
from db.facts import VisitRow
from db.journal import line
from db.locked import Locked
from domain.events import TRIGGER, Again, Caused, Closing, Command, Decision, Event, Plan, Run
from domain.progress import Progress
from domain.restoring import Known, Leaving, Waits, restore
from domain.visit import Visit

SETTLES_WITHIN: Final = timedelta(seconds=15)
"""So long a send of the journey before may still be under way: its heartbeat ends it after 10 seconds."""
_TRIED_AGAIN: Final = ("condition", "retry", "spread")
"""What a step waits for beyond the time its schedule says."""


class Rebuilt(NamedTuple):
    """What is to be asked for the steps that were restored, and what is to be made known to them."""

    commands: list[Command]
    events: list[Event]


async def first_to_read(locked: Locked) -> int:
    """The number of the first visit a journey that begins has to look at: one that is not done with."""
    record = locked.record
    if record.journey_visit < 2:
        return 1
    owed = await locked.tx.execute(_UNFINISHED, {"id": record.id, "trigger": TRIGGER})
    return min(record.journey_visit, owed.scalar_one() or record.journey_visit)


async def begin_anew(runner: Runner, progress: Progress) -> Rebuilt:
    """Restore the machine, and say so in the journal, unless that is how a restored record goes on."""
    record = runner.locked.record
    rebuilt = await rebuild(runner, progress)
    opened = runner.locked.visit(record.journey_visit)
    if not record.deleted_at and opened and opened.left_reason != "restored":
        runner.add(line(record.id, record.visit_no, "rebuilt", runner.now))
    return rebuilt


async def foreseen(runner: Runner) -> Progress:
    """The machine of a journey that would begin anew now, with every due time; nothing acts."""
    progress = Progress()
    for command in (await rebuild(runner, progress)).commands:
        if not isinstance(command, Plan):
            continue
        visit = next(v for v in progress.visits if v.visit_no == command.visit_no)
        place = visit.index(command.rule)
        if place is None or (turn := visit.steps[place].turn) is None:
            continue
        rule = (await runner.locked.rules(command.visit_no)).rule(command.rule)
        visit.plan(place, await plan(runner, command.visit_no, rule, turn), turn, [])
    return progress


async def rebuild(runner: Runner, progress: Progress) -> Rebuilt:
    """Restore the machine of a journey that had opened visits before, as of the last one it had opened."""
    locked, record = runner.locked, runner.locked.record
    said = (await locked.tx.execute(_SAID, {"id": record.id, "first": locked.visits[0].visit_no})).all()
    waits = _waits((row.visit_no, row.rule, row.event, row.reason, row.at, row.due) for row in said)
    commands: list[Command] = []
    for row in locked.visits:
        if row.visit_no > record.journey_visit:
            break
        steps = (await locked.rules(row.visit_no)).plan(row.stage_id)
        visit = Visit(visit_no=row.visit_no, stage=row.stage_id, entered_at=row.entered_at, steps=steps)
        progress.visit_no = row.visit_no
        progress.visits.append(visit)
        if row.visit_no == record.journey_visit and _in_grace(row, runner.now):
            visit.opens = row.opens_at
            continue
        left = _heard_leaving(row, record.journey_visit)
        own = {rule: w for (visit_no, rule), w in waits.items() if visit_no == row.visit_no}
        for command in restore(visit, _known(runner, row.visit_no), own, runner.now, left):
            if isinstance(command, Decision):
                progress.unbooked.append(command)
            else:
                commands.append(command)
        progress.closing += _closings(locked, row.visit_no)
        progress.caused += _caused(locked, visit)
    commands += [Run(c.visit_no, c.rule, c.n) for c in progress.closing]
    return Rebuilt(commands, await _meanwhile(runner, progress))


def _in_grace(row: VisitRow, now: datetime) -> bool:
    """Whether nothing of the visit has started, or did before it was left."""
    return row.opens_at is not None and (row.left_at or now) < row.opens_at


def _heard_leaving(row: VisitRow, opened: int) -> Leaving | None:
    """How a visit was left, where the journey had opened the next one, and so had heard of it."""
    if row.left_at is None or row.visit_no >= opened:
        return None
    return Leaving(row.left_at, row.left_reason or "left_stage", row.kept)


def _known(runner: Runner, visit_no: int) -> dict[str, Known]:
    locked = runner.locked
    known: dict[str, Known] = {}
    for (its_visit, rule, n), row in locked.ledger.items():
        if its_visit != visit_no or n:
            continue
        hold = locked.holds.get((visit_no, rule))
        if not row.outcome:
            known[rule] = Known("", "", row.at, due=runner.now + SETTLES_WITHIN)
        elif hold is None:
            known[rule] = Known(row.outcome, row.reason, row.at)
        elif hold.ended_at is None:
            number = _next_number(locked, visit_no, rule)
            known[rule] = Known("open", "", row.at, number, hold.opened_at, hold.due_at, hold.pinned)
        else:
            known[rule] = Known(hold.outcome, hold.reason, hold.ended_at, opened_at=hold.opened_at)
    return known


def _next_number(locked: Locked, visit_no: int, rule: str) -> int:
    """The number of the next act of a hold: one that no act has."""
    return max(n for number, name, n in locked.ledger if (number, name) == (visit_no, rule)) + 1


def _closings(locked: Locked, visit_no: int) -> list[Closing]:
    """Of holds that have ended: what they owe, as telling how a control ended."""
    owed = [row for row in locked.holds.values() if row.visit_no == visit_no and row.closing]
    return [
        Closing(visit_no=visit_no, rule=row.rule, n=_next_number(locked, visit_no, row.rule)) for row in owed
    ]


def _caused(locked: Locked, visit: Visit) -> list[Caused]:
    """Acts that may have fired triggers, which nobody has judged."""
    owed = [
        (rule, n)
        for (visit_no, rule, n), row in locked.ledger.items()
        if visit_no == visit.visit_no and row.triggers and not row.moved_to
        and locked.stored(visit_no, TRIGGER + rule, n) is None
    ]  # fmt: skip
    found = [
        Caused(visit_no=visit.visit_no, place=place, rule=rule, n=n)
        for rule, n in owed
        if (place := visit.index(rule)) is not None
    ]
    return sorted(found, key=lambda c: (c.place, c.n))


async def _meanwhile(runner: Runner, progress: Progress) -> list[Event]:
    """What may have come while there was no journey: other facts, the end of a suspension."""
    locked, events, read = runner.locked, list[Event](), set[str]()
    for visit in progress.visits:
        version = await locked.rules(visit.visit_no)
        read |= version.reads(visit.stage)
        for step in visit.steps:
            if step.waiting == "suspended" and not locked.suspended(step.rule):
                events.append(Again(visit.visit_no, step.rule, runner.now))
            elif step.waiting in _TRIED_AGAIN and step.turn and step.scheduled is None:
                rule = version.rule(step.rule)
                step.scheduled = (await plan(runner, visit.visit_no, rule, step.turn)).at
    return [*changed_at(runner.now, sorted(read)), *events]


def _waits(
    said: Iterable[tuple[int, str, str, str, datetime, datetime | None]],
) -> Mapping[tuple[int, str], Waits]:
    """The last word on each pending step: lines of the journal, in order."""
    found: dict[tuple[int, str], Waits] = {}
    for visit_no, rule, event, reason, at, due in said:
        before = found.get((visit_no, rule), Waits(at))
        match event:
            case "waits" | "retry":
                waiting = reason if event == "waits" else "retry"
                now = before._replace(
                    waiting=waiting, due=due, released=before.released or waiting == "spread",
                    scheduled=before.scheduled or (before.due if waiting in _TRIED_AGAIN else None),
                )  # fmt: skip
            case "run_now" | "reschedule":
                now = Waits(at, "", due or at, moved=at, pinned=True, released=before.released)
            case "replanned":
                now = Waits(at, "" if due else "value", due, moved=at, released=before.released)
            case _:
                continue
        found[visit_no, rule] = now._replace(at=at)
    return found


_SAID = text("""
select visit_no, rule, event, reason, at,
  cast(coalesce(detail ->> 'due', detail ->> 'to') as timestamptz) as due
from journal
where record_id = :id and visit_no >= :first and rule <> ''
  and n = 0 and event in ('waits', 'retry', 'reschedule', 'run_now', 'replanned')
order by id
""").bindparams(bindparam("id", type_=BigInteger))
_UNFINISHED = text("""
select min(v.visit_no) from visit v join record r on r.id = v.record_id
where v.record_id = :id and v.visit_no < r.journey_visit and (
  exists (
    select 1 from rule_set s cross join jsonb_array_elements(coalesce(s.stages -> v.stage_id, '[]')) p(rule)
      left join ledger l on l.record_id = v.record_id and l.visit_no = v.visit_no and l.n = 0
        and l.rule = p.rule ->> 'id'
    where s.pipeline_id = v.pipeline_id and s.number = v.rules_number and v.run_rules
      and coalesce(cast(p.rule ->> 'active' as boolean), true) and coalesce(l.outcome, '') in ('', 'open'))
  or exists (
    select 1 from ledger l
    where l.record_id = v.record_id and l.visit_no = v.visit_no and l.triggers <> '[]' and l.moved_to = 0
      and not exists (
        select 1 from ledger t
        where t.record_id = l.record_id and t.visit_no = l.visit_no and t.rule = :trigger || l.rule))
  or exists (
    select 1 from hold h where h.record_id = v.record_id and h.visit_no = v.visit_no and h.closing))
""").bindparams(bindparam("id", type_=BigInteger))
