"""What a journey was asked for by signal: an activity of the client, a move."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.exc import IntegrityError

from activities import client
from activities.attempts import Attempts
from db.engine import Transaction
from db.journal import line
from db.locked import Locked
from db.records import By, move
from db.rows import Rows, write
from domain.errors import Refused
from domain.journey import GONE, Moved, MoveRecord, RecordActivity


async def client_activity(work: Attempts, asked: RecordActivity, at: datetime) -> Moved:
    """Record each; of a record that is gone a line in the journal says that it came."""
    for one in (asked.activity, *asked.more):
        moved = await _client_activity(work, RecordActivity(record_id=asked.record_id, activity=one), at)
    return moved


async def _client_activity(work: Attempts, asked: RecordActivity, at: datetime) -> Moved:
    told = asked.activity
    heard = client.Heard(told.id, told.type, told.at or at, record=asked.record_id, source=told.source)
    try:
        async with work.database.transaction() as tx:
            answer = await client.record_activity(tx, work.book, work.ids, work.house, heard, at)
    except Refused:
        async with work.database.transaction() as tx:
            await write(tx, [line(asked.record_id, 0, "ignored", at, reason="no_record")])
        return Moved(refused=GONE)
    work.doorbell.ring(*answer.bells)
    return Moved()


async def move_record(work: Attempts, asked: MoveRecord, at: datetime) -> Moved:
    """Make each move once, however often the activity is repeated; what refuses one is in the journal."""
    for one in (asked.move, *asked.more):
        moved = await _move_record(work, MoveRecord(record_id=asked.record_id, move=one), at)
    return moved


async def _move_record(work: Attempts, asked: MoveRecord, at: datetime) -> Moved:
    record_id, who, bell = asked.record_id, asked.move.by, None
    async with work.database.transaction() as tx:
        locked = await Locked.take(tx, work.book, record_id)
        if locked is None or locked.record.deleted_at:
            await write(tx, [line(record_id, 0, "ignored", at, reason="no_record", actor=who)])
            return Moved(refused=GONE)
        try:
            async with tx.begin_nested():
                await write(tx, [_once(asked, at)])
                bell = await move(locked, asked.move.stage, By(who, at))
        except IntegrityError:
            pass  # an earlier attempt of this activity moved it
        except Refused as refused:
            return await _not_moved(tx, locked, asked, refused, at)
        visit_no = locked.record.visit_no
    work.doorbell.ring(bell)
    return Moved(visit_no=visit_no)


def _once(asked: MoveRecord, at: datetime) -> Rows:
    key = f"move/{asked.record_id}/{asked.move.id}"
    return Rows("request", [{"key": key, "body_hash": "", "status": 200, "at": at}])


async def _not_moved(
    tx: Transaction, locked: Locked, asked: MoveRecord, refused: Refused, at: datetime
) -> Moved:
    visit_no, detail = locked.record.visit_no, {"why": refused.message, "stage": asked.move.stage}
    said = line(
        asked.record_id, visit_no, "not_moved", at,
        reason=refused.reason, actor=asked.move.by, detail=detail,
    )  # fmt: skip
    await write(tx, [said])
    return Moved(visit_no=visit_no, refused=refused.reason)
