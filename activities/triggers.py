"""Triggers: what happens to a record, or what its client does, moves it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Literal, NamedTuple

from sqlalchemy import BigInteger, DateTime, bindparam, text

from activities.happened import Happened, edited, hearing
from activities.runner import Run, Runner
from db.journal import line
from db.locked import Locked
from db.outbox import Bell
from db.records import By, TooManyMoves, move, suspend_for_loop
from db.rows import Rows
from domain.conditions import judge
from domain.errors import Refused
from domain.events import TRIGGER, HoldEnd, Outcome
from domain.rule import Trigger

Moved = Literal["moved", "suspended", "refused"]


async def fire(runner: Runner, events: Sequence[Happened]) -> Bell | None:
    """Move the record where one of its triggers says so; the bell to ring after the commit."""
    matching = await matches(runner, await hearing(runner.locked, events))
    _, bell = await fire_first(runner, matching) if matching else (None, None)
    await runner.flush()
    return bell


async def caused(runner: Runner, run: Run) -> Outcome:
    """The act that judges the triggers a rule may have fired; one of them may move the record."""
    locked, cause = runner.locked, run.rule.removeprefix(TRIGGER)
    row = locked.stored(run.visit_no, cause, run.n)
    if row is None or not runner.passes(run._replace(rule=cause)):
        return runner.end(run, Outcome(result="stale", reason="outrun", at=runner.now))
    version = await locked.book.version(locked.tx, locked.record.pipeline_id, locked.around.rules_number)
    matching = await matches(runner, [t for t in version.rules.triggers if t.id in row.triggers])
    outcome = Outcome(result="skipped", reason="condition", at=runner.now)
    if matching:
        await runner.flush()
        what, bell = await fire_first(runner, matching, rule=run.rule)
        outcome.reason = "" if bell else what
        if bell:
            outcome = Outcome(result="done", at=runner.now, moved_to=locked.record.visit_no)
    return runner.end(run, outcome)


async def heard_once(runner: Runner, trigger: Trigger, at: datetime) -> bool:
    """Whether the trigger hears only now of what happened to the record at that instant (UTC)."""
    row = {"id": runner.locked.record.id, "trigger": trigger.id, "at": at}
    return (await runner.locked.tx.execute(_HEARD, row)).one_or_none() is not None


async def client_edited(runner: Runner, fields: Collection[str], at: datetime) -> Bell | None:
    """A client of the record was edited elsewhere: its triggers hear of that now."""
    heard = await hearing(runner.locked, edited(fields))
    fresh = [trigger for trigger in heard if await heard_once(runner, trigger, at)]
    matching = await matches(runner, fresh) if fresh else []
    return (await fire_first(runner, matching))[1] if matching else None


async def matches(runner: Runner, heard: Sequence[Trigger], *, newest: bool = True) -> list[Trigger]:
    """Those of the triggers that match, the one that moves the record first.

    `newest`: the record is the one created last of those the event is about.
    """
    locked, record = runner.locked, runner.locked.record
    if record.deleted_at:
        return []
    heard = [t for t in heard if (newest or t.records == "all") and _leads_on(locked, t)]
    if any(t.once != "unlimited" or t.cool_down for t in heard):
        before = (await locked.tx.execute(_FIRED, {"id": record.id})).all()
        fired = [_Fired(row.trigger, row.visit_no, row.at) for row in before]
        heard = [t for t in heard if _may_fire(t, fired, record.visit_no, runner.now)]
    values = locked.values(record.visit_no)
    heard = [t for t in heard if not t.condition or judge(t.condition, values, runner.now, locked.zone).holds]
    return sorted(heard, key=lambda trigger: _rank(locked, trigger))


async def fire_first(
    runner: Runner, matching: Sequence[Trigger], ends: Sequence[HoldEnd] = (), ended_by: str = "",
    rule: str = "",
) -> tuple[Moved, Bell | None]:
    """The first of the triggers moves the record, `ends` being the open holds that end with the move.

    The others are journaled as not chosen. `rule`: the act of a rule that it is, which tells the journey.
    """
    record, now = runner.locked.record, runner.now
    chosen, visit_no = matching[0], record.visit_no
    by = By(f"trigger:{chosen.id}", now, automatic=True, rule=rule)
    what, bell = await automatic_move(runner, chosen.stage, by, ends, ended_by)
    for other in matching[1:]:
        detail = {"trigger": other.id, "chosen": chosen.id}
        runner.add(line(record.id, visit_no, "trigger_not_chosen", now, detail=detail))
    if bell:
        row = {"record_id": record.id, "visit_no": visit_no, "trigger": chosen.id, "at": now}
        runner.add(Rows("firing", [row]))
    return what, bell


async def automatic_move(
    runner: Runner, stage: str, by: By, ends: Sequence[HoldEnd] = (), ended_by: str = "", *, rule: str = ""
) -> tuple[Moved, Bell | None]:
    """A move nobody asked for by name; one that may not be made is dropped, and said so.

    `rule`: the wait whose move it is, which may be suspended by itself.
    """
    locked, now = runner.locked, runner.now
    visit_no, who = locked.record.visit_no, by.who
    if locked.suspended(rule):
        runner.add(line(locked.record.id, visit_no, "not_moved", now, reason="suspended", actor=who))
        return "suspended", None
    try:
        return "moved", await move(locked, stage, by, ends, ended_by)
    except TooManyMoves as many:
        runner.add(*await suspend_for_loop(locked, now, str(many), await runner.owner(visit_no)))
        runner.add(line(locked.record.id, visit_no, "not_moved", now, reason="suspended", actor=who))
        return "suspended", None
    except Refused as refused:  # the stage is gone since the rule was published
        runner.add(line(locked.record.id, visit_no, "not_moved", now, reason=refused.reason, actor=who))
        return "refused", None


class _Fired(NamedTuple):
    trigger: str
    visit_no: int
    at: datetime


def _leads_on(locked: Locked, trigger: Trigger) -> bool:
    """Whether its stage is another one, and one it may lead to from here."""
    here = locked.record.stage_id
    if trigger.stage == here:
        return False
    return trigger.direction == "any" or (locked.meaning(here) == "process" and _forward(locked, trigger))


def _forward(locked: Locked, trigger: Trigger) -> bool:
    order = [stage.id for stage in locked.around.stages]
    return _place(order, trigger.stage) > _place(order, locked.record.stage_id)


def _place(order: Sequence[str], stage: str) -> int:
    return order.index(stage) if stage in order else len(order)


def _may_fire(trigger: Trigger, fired: Sequence[_Fired], visit_no: int, now: datetime) -> bool:
    own = [one for one in fired if one.trigger == trigger.id]
    if trigger.cool_down and any(now < one.at + trigger.cool_down.span for one in own):
        return False
    match trigger.once:
        case "per_record":
            return not own
        case "per_visit":
            return all(one.visit_no != visit_no for one in own)
    return True


def _rank(locked: Locked, trigger: Trigger) -> tuple[bool, int, bool, int]:
    order = [stage.id for stage in locked.around.stages]
    explicit = trigger.priority is not None
    return not explicit, trigger.priority or 0, not _forward(locked, trigger), _place(order, trigger.stage)


_HEARD = text("""
insert into heard_event (record_id, trigger, at) values (:id, :trigger, :at)
on conflict do nothing returning record_id
""").bindparams(bindparam("id", type_=BigInteger), bindparam("at", type_=DateTime(timezone=True)))
_FIRED = text("select trigger, visit_no, at from firing where record_id = :id").bindparams(
    bindparam("id", type_=BigInteger)
)
