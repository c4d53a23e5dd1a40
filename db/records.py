"""The one write path: every entry of a record into a stage, and every way out of one.

Each function works in the caller's transaction on a record that is locked, and answers the bell that is to
be rung after the commit. PostgreSQL owns what a record *is*; its journey hears of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from pydantic_core import to_json
from sqlalchemy import BigInteger, bindparam, select, text
from sqlmodel import col

from db.facts import VisitRow
from db.journal import end_holds, line
from db.kept_tasks import end_kept_tasks
from db.locked import Locked
from db.outbox import Bell, bell_rows
from db.rows import Change, Rows, write
from db.tables import Pipeline, RuleSet, Stage
from domain.errors import Refused, Stale
from domain.events import HoldEnd
from domain.hold import kept

MOST_AN_HOUR, MOST_A_WEEK = 10, 50  # automatic moves; the next is not made
API = "api"
"""Who acts where a client of the API names no employee."""
LeftReason = Literal["left_stage", "closed", "pipeline_changed", "record_deleted"]


class By(NamedTuple):
    """Who moves a record, and when. `automatic`: no person and no API client asked for it by name.

    `rule` is the rule whose transition it is: its own outcome tells the journey, so no bell is rung.
    """

    who: str
    at: datetime
    automatic: bool = False
    rule: str = ""

    @property
    def person(self) -> bool:
        """An employee asked for it, and no program that speaks for itself."""
        return not self.automatic and self.who != API


class TooManyMoves(Exception):
    """The loop guard: the next automatic move of the record is not made."""


class Place(NamedTuple):
    """Where a record goes."""

    pipeline: str
    stage: str
    rules_number: int


async def move(
    locked: Locked, stage: str, by: By, ends: Sequence[HoldEnd] = (), ended_by: str = ""
) -> Bell | None:
    """Move the record to another stage of its pipeline; None if it is there already.

    `ends`: open holds that end with the move, by `ended_by`. Raises `Refused` for a stage there is not.
    """
    record = locked.record
    if stage == record.stage_id:
        return None
    if not locked.has_stage(stage):
        raise Refused("wrong_stage", f"{record.pipeline_id} has no stage {stage!r}")
    await _guard(locked, by)
    closes = locked.meaning(record.stage_id) == "process" and locked.meaning(stage) != "process"
    reason: LeftReason = "closed" if closes else "left_stage"
    left = await _leave(locked, reason, by, ends, ended_by)
    place = Place(record.pipeline_id, stage, locked.around.rules_number)
    return await _enter(locked, place, "closed" if closes else "moved", by, left)


async def change_pipeline(locked: Locked, pipeline: str, stage: str | None, by: By) -> Bell:
    """Leave one pipeline and enter another; without a stage, where the meaning is the same.

    Raises `Refused`, and stops nothing, for the present or an unknown pipeline or a stage of another.
    """
    record, meaning = locked.record, locked.meaning(locked.record.stage_id)
    place = await landing(locked, pipeline, stage, meaning)
    await _guard(locked, by)
    left = await _leave(locked, "pipeline_changed", by)
    record.pass_no += 1
    bell = await _enter(locked, place, "pipeline_changed", by, left)
    await locked.reload()  # another pipeline: other stages, fields, zone
    return bell


async def landing(locked: Locked, pipeline: str, stage: str | None, meaning: str) -> Place:
    """Where in another pipeline the record would land. Raises `Refused`."""
    record = locked.record
    if pipeline == record.pipeline_id:
        raise Refused("wrong_pipeline", f"the record is in {pipeline} already")
    asked = (
        select(col(Stage.id), col(Stage.meaning))
        .join(Pipeline, col(Pipeline.id) == col(Stage.pipeline_id))
        .where(col(Stage.pipeline_id) == pipeline, col(Stage.retired_at).is_(None))
        .where(col(Pipeline.record_type) == record.record_type)
        .order_by(col(Stage.position))
    )
    stages = (await locked.tx.execute(asked)).all()
    fits = [row.id for row in stages if (row.id == stage if stage else row.meaning == meaning)]
    if not fits:
        what = f"stage {stage!r}" if stage else f"stage that means {meaning}"
        raise Refused(
            "wrong_pipeline", f"there is no pipeline {pipeline!r} of {record.record_type}s with a {what}"
        )
    number = select(col(RuleSet.number)).where(col(RuleSet.pipeline_id) == pipeline)
    latest = (
        await locked.tx.execute(number.order_by(col(RuleSet.number).desc()).limit(1))
    ).scalar_one_or_none()
    return Place(pipeline, fits[0], latest or 0)


async def delete(locked: Locked, by: By) -> Bell | None:
    """Put the record into the recycle bin; every step ends. None if it is there already."""
    if locked.record.deleted_at:
        return None
    left = await _leave(locked, "record_deleted", by)
    locked.record.deleted_at = by.at
    await locked.tx.execute(_DELETE, {"id": locked.record.id, "at": by.at})
    place = Place(locked.record.pipeline_id, locked.record.stage_id, 0)
    return await _enter(locked, place, "deleted", by, left)


async def restore(locked: Locked, by: By) -> Bell | None:
    """Take the record out of the bin, into the stage it was in, or the first of the process."""
    record = locked.record
    if record.deleted_at is None:
        return None
    stage = record.stage_id
    if not locked.has_stage(stage):
        stage = next(s.id for s in locked.around.stages if s.meaning == "process" and s.retired_at is None)
    record.deleted_at = None
    await locked.tx.execute(_DELETE, {"id": record.id, "at": None})
    await locked.tx.execute(_OUT_OF_BIN, {"id": record.id, "at": by.at, "visit_no": record.visit_no})
    return await _enter(
        locked, Place(record.pipeline_id, stage, locked.around.rules_number), "restored", by, []
    )


def check_version(locked: Locked, expected: int | None) -> None:
    """Raises `Stale` if the record is not at the version somebody read."""
    if expected is not None and expected != locked.record.version:
        raise Stale(expected, locked.record.version)


async def suspend_for_loop(locked: Locked, at: datetime, why: str, owner: str) -> list[Rows]:
    """The loop guard stops the record; answers the rows that say so and tell the owner of the rules."""
    record = locked.record
    record.suspended = why
    await locked.tx.execute(_SUSPEND, {"id": record.id, "why": why})
    rows = [line(record.id, record.visit_no, "suspended", at, reason="loop", detail={"why": why})]
    if owner:
        told = {"employee_id": owner, "record_id": record.id, "visit_no": record.visit_no, "sender": "system"}
        rows.append(
            Rows("notification", [told | {"body": f"{record.title!r} is suspended: {why}", "at": at}])
        )
    return rows


# -- inside ------------------------------------------------------------------------------------------
_DELETE = text("update record set deleted_at = :at where id = :id").bindparams(
    bindparam("id", type_=BigInteger)
)
_OUT_OF_BIN = text("""
update visit set left_at = :at, left_reason = 'restored' where record_id = :id and visit_no = :visit_no
""").bindparams(bindparam("id", type_=BigInteger))
_CLEAR_MARKS = "update visit set kept = '[]' where record_id = :id and visit_no < :visit_no and kept <> '[]'"
_LEAVE = """
update visit set left_at = :at, left_reason = :reason, left_by = :rule, kept = cast(:kept as jsonb)
where record_id = :id and visit_no = :visit_no
"""
_COMPLETE = """
update todo set completed_at = :at, completed_by = :who
where record_id = :id and complete_on_exit and completed_at is null
"""
_HELD = """
update meeting set state = 'held', changed_at = :at, ended_at = :at, ended_by = :who
where record_id = :id and complete_on_exit and state = 'planned'
"""
_ENTER = """
update record set pipeline_id = :pipeline, stage_id = :stage, version = version + 1, visit_no = :visit_no,
  pass_no = :pass_no, entered_at = :at, late = false
where id = :id
"""
_SUSPEND = text("update record set suspended = :why where id = :id").bindparams(
    bindparam("id", type_=BigInteger)
)
_MOVES = text("""
select count(*) filter (where entered_at > :hour) as hour, count(*) as week from visit
where record_id = :id and visit_no > :since and automatic
  and cause in ('moved', 'closed', 'pipeline_changed') and entered_at > :week
""").bindparams(bindparam("id", type_=BigInteger))


async def _guard(locked: Locked, by: By) -> None:
    """Raises `TooManyMoves` where an automatic move would be one too many.

    They are counted by visit from the last resume on: a clock that stands still tells them not apart.
    """
    if not by.automatic:
        return
    spans = {"hour": by.at - timedelta(hours=1), "week": by.at - timedelta(days=7)}
    asked = {"id": locked.record.id, "since": locked.record.loop_since_visit}
    made = (await locked.tx.execute(_MOVES, spans | asked)).one()
    if made.hour >= MOST_AN_HOUR or made.week >= MOST_A_WEEK:
        raise TooManyMoves(f"{made.hour} automatic moves within an hour, {made.week} within a week")


async def _leave(
    locked: Locked, reason: LeftReason, by: By, ends: Sequence[HoldEnd] = (), ended_by: str = ""
) -> list[Rows | Change]:
    """End the holds of the present visit and mark what is kept; answers what is to be written of it."""
    record = locked.record
    visit = locked.visit(record.visit_no)
    if visit is None:
        raise LookupError(f"visit {record.visit_no} of record {record.id} was not read")
    own = [end.rule for end in ends]
    others = [row for row in locked.open_holds(visit.visit_no) if row.rule not in (*own, by.rule)]
    left = [(await locked.hold(row, by.at)).left(reason, by.at, by_rule=bool(by.rule)) for row in others]
    parts: list[Rows | Change] = []
    parts += await end_holds(locked, visit.visit_no, ends, ended_by)
    parts += await end_holds(locked, visit.visit_no, left, by.who)
    # a wait whose time was out has ended: it does not cut off what stands below it
    ended = locked.ended(visit.visit_no) - {end.rule for end in left if end.result != "superseded"} | {
        by.rule
    }
    plan = (await locked.rules(visit.visit_no)).plan(visit.stage_id)
    visit.kept = kept(plan, ended, reason, {row.rule for row in others if row.kind == "task"})
    if visit.opens_at and by.at < visit.opens_at:  # passed through as a slip of the hand
        visit.kept = []
    visit.left_at, visit.left_reason, visit.left_by = by.at, reason, by.rule
    mark = {"id": record.id, "visit_no": visit.visit_no, "at": by.at, "reason": reason, "rule": by.rule}
    parts.append(Change(_LEAVE, mark | {"kept": to_json(visit.kept).decode()}))
    done = {"id": record.id, "at": by.at, "who": by.who}
    parts += [Change(_COMPLETE, done), Change(_HELD, done)]
    if reason in ("pipeline_changed", "record_deleted"):
        parts.append(Change(_CLEAR_MARKS, {"id": record.id, "visit_no": visit.visit_no}))
        await end_kept_tasks(locked, reason, by.who, by.at)
        for older in locked.visits[:-1]:
            older.kept = []
    return parts


async def _enter(locked: Locked, place: Place, cause: str, by: By, left: Sequence[Rows | Change]) -> Bell:
    """The record, its new visit, the journal, the outbox, and how the old visit was `left`: one statement."""
    record = locked.record
    before = f"{record.pipeline_id}/{record.stage_id}"
    record.visit_no, record.version, record.entered_at = record.visit_no + 1, record.version + 1, by.at
    record.pipeline_id, record.stage_id, record.late = place.pipeline, place.stage, False
    asked = {"id": record.id, "pipeline": place.pipeline, "stage": place.stage, "at": by.at}
    entered = Change(_ENTER, asked | {"visit_no": record.visit_no, "pass_no": record.pass_no})
    visit = VisitRow(
        visit_no=record.visit_no, pipeline_id=place.pipeline, stage_id=place.stage,
        rules_number=place.rules_number, pass_no=record.pass_no, entered_at=by.at,
        opens_at=_opens_at(locked, cause, by),
    )  # fmt: skip
    locked.entered(visit)
    bell = Bell.entered(record)
    detail = {"from": before, "to": f"{place.pipeline}/{place.stage}"} | (
        {"rule": by.rule} if by.rule else {}
    )
    said = line(record.id, record.visit_no, cause, by.at, actor=by.who, detail=detail)
    told = [] if by.rule else [bell_rows(bell, by.at)]  # a rule's own outcome tells the journey
    await write(locked.tx, [*left, entered, visit_row(record.id, visit, cause, by), said, *told])
    return bell


def _opens_at(locked: Locked, cause: str, by: By) -> datetime | None:
    """When a visit that a person's move begins is opened, where its pipeline has a grace."""
    grace = locked.around.pipeline.grace
    return by.at + timedelta(seconds=grace) if grace and by.person and cause in ("moved", "closed") else None


def visit_row(record_id: int, visit: VisitRow, cause: str, by: By, *, run_rules: bool = True) -> Rows:
    """The row of a visit that begins."""
    own = visit.model_dump(
        include={
            *("visit_no", "pipeline_id", "stage_id", "rules_number", "pass_no", "entered_at", "opens_at")
        }
    )
    said = {"cause": cause, "automatic": by.automatic, "actor": by.who, "run_rules": run_rules}
    return Rows("visit", [own | said | {"record_id": record_id}])
