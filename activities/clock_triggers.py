"""What the clock makes of records for their triggers: a date is reached, a record has been idle.

What a look costs grows with what changed and what is due, not with the records there are: when a trigger is
due stands in an index (`db/clock.py`), to which every write of a fact leaves a mark. What is due is judged
anew under the record's lock. What was heard once is remembered in `heard_event`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import structlog
from sqlalchemy import BigInteger, DateTime, bindparam, text

from activities.clock_plan import plan_marked, plan_swept
from activities.house import House
from activities.idleness import idle_since
from activities.runner import Runner
from activities.triggers import fire_first, heard_once, matches
from db.clock import Due, done, due_later, due_records, is_free, look, look_again, take_due
from db.engine import Database
from db.locked import Locked
from db.outbox import Bell
from db.rows import Ids
from db.rulebook import Rulebook
from domain.rule import Trigger
from domain.schedule import instant

log = structlog.get_logger()
Planning = Callable[[Database, datetime, datetime], Coroutine[None, None, bool]]

RECORDS_AT_ONCE: Final = 200
"""For so many records one look fires."""
SIDE_BY_SIDE: Final = 4
MOST_ATTEMPTS: Final = 8
"""After so many, over twenty minutes, a trigger that cannot be carried out is given up for this instant."""
_FIRST, _LONGEST = timedelta(seconds=10), timedelta(minutes=10)


class _Met(NamedTuple):
    """A trigger that is due. `at`: the instant of its date, or since when the record is idle."""

    trigger: Trigger
    at: datetime


class ClockTriggers:
    """Looks at the clock for one process."""

    def __init__(self, database: Database, book: Rulebook, ids: Ids, house: House) -> None:
        self._database, self._book, self._ids, self._house = database, book, ids, house
        self.more = False

    async def look(self, now: datetime) -> list[Bell]:
        """Fire what came up to `now` (UTC); the bells to ring. `more` says whether to look again at once.

        Each record has a transaction of its own. What came while nobody looked fires now; the first look of
        an installation finds nothing.
        """
        async with self._database.transaction() as tx:
            work = await look(tx, now)
        marked = work.marks and await self._planned(plan_marked, work.looked_at, now)
        swept = work.sweeps and await self._planned(plan_swept, work.looked_at, now)
        self.more = marked or swept
        if not (work.due or marked or swept):
            return []
        async with self._database.transaction() as tx:
            records = await due_records(tx, now, RECORDS_AT_ONCE)
        self.more = self.more or len(records) == RECORDS_AT_ONCE
        slots = asyncio.Semaphore(SIDE_BY_SIDE)
        firing = (self._fire(record_id, now, slots) for record_id in records)
        came = await asyncio.gather(*firing, return_exceptions=True)
        for broken in came:
            if isinstance(broken, BaseException):  # the database is away; what moved is rung by the relay
                raise broken
        return [bell for bell in came if isinstance(bell, Bell)]

    async def _planned(self, planning: Planning, looked_at: datetime, now: datetime) -> bool:
        """Whether something was planned. What cannot be is tried at the next look, and what is due fires."""
        try:
            return await planning(self._database, looked_at, now)
        except Exception:
            log.exception("when triggers are due could not be computed", what=planning.__name__)
            return False

    async def _fire(self, record_id: int, now: datetime, slots: asyncio.Semaphore) -> Bell | None:
        """One record. A trigger that cannot be carried out holds up no other, and no other record."""
        async with slots:
            try:
                return await self._fire_together(record_id, now)
            except Exception as error:  # noqa: BLE001 - whatever is wrong with one record, the others fire
                log.warning("triggers are tried one by one", record=record_id, error=type(error).__name__)
            bell: Bell | None = None
            async with self._database.transaction() as tx:
                due = await take_due(tx, record_id, now)
            for one in due:
                try:
                    bell = await self._fire_together(record_id, now, one.clock_trigger_id) or bell
                except Exception as error:
                    log.exception("a trigger could not be carried out", record=record_id, trigger=one.trigger)
                    await self._postpone(record_id, one, now, type(error).__name__)
            return bell

    async def _fire_together(self, record_id: int, now: datetime, only: int | None = None) -> Bell | None:
        """Of all that the clock has brought for one record, the first in priority moves it."""
        async with self._database.transaction() as tx:
            if not await is_free(tx, record_id):  # whoever has it is not waited for
                self.more = True
                return None
            due = [one for one in await take_due(tx, record_id, now) if only in (None, one.clock_trigger_id)]
            locked = await Locked.take(tx, self._book, record_id) if due else None
            if locked is None:
                return None
            runner = Runner(locked, self._house, self._ids, now)
            met = [found for one in due if (found := await self._met(runner, one))]
            await done(tx, record_id, [one.clock_trigger_id for one in due], now)
            heard = [one.trigger for one in met if await heard_once(runner, one.trigger, one.at)]
            matching = await matches(runner, heard) if heard else []
            bell = (await fire_first(runner, matching))[1] if matching else None
            await runner.flush()
            return bell

    async def _met(self, runner: Runner, due: Due) -> _Met | None:
        """What is due by the facts as they are; None, and planned anew, if that is another instant now."""
        locked = runner.locked
        record = locked.record
        if due.pipeline_id != record.pipeline_id or record.deleted_at:
            return None
        version = await locked.book.version(locked.tx, record.pipeline_id, locked.around.rules_number)
        trigger = next((t for t in version.rules.triggers if t.id == due.trigger), None)
        if trigger is None:
            return None
        if trigger.event == "idle":
            rows = await idle_since(locked.tx, [record.id], due.clock_trigger_id)
            at = rows[0].since if rows else None
            due_at = at + trigger.idle_for.span if at else None
        else:
            at = due_at = await _reached(locked, trigger, runner.now)
        if at is None or due_at is None or (trigger.event != "idle" and due_at <= due.since):
            return None
        if due_at > runner.now:
            await due_later(locked.tx, record.id, due.clock_trigger_id, due_at)
            return None
        return _Met(trigger, at)

    async def _postpone(self, record_id: int, due: Due, now: datetime, error: str) -> None:
        """Later again; after too often the owner of the rules is told, and it is not tried any more."""
        attempts = due.attempts + 1
        pause = min(_FIRST * (1 << attempts - 1), _LONGEST)
        async with self._database.transaction() as tx:
            if attempts < MOST_ATTEMPTS:
                await look_again(tx, record_id, due.clock_trigger_id, now + pause, attempts)
                return
            await done(tx, record_id, [due.clock_trigger_id], now)
            told = {"id": record_id, "trigger": due.trigger, "error": error, "at": now}
            await tx.execute(_GIVEN_UP, told)


async def _reached(locked: Locked, trigger: Trigger, now: datetime) -> datetime | None:
    """The instant at which its date is reached."""
    if trigger.date is None:
        return None
    return instant(trigger.date, now, await locked.schedule_facts(trigger.date))


_GIVEN_UP = text("""
with r as (
  select r.id, r.visit_no, r.title, coalesce(
    (select owner_id from rule_set s where s.pipeline_id = r.pipeline_id order by number desc limit 1),
    (select owner_id from pipeline p where p.id = r.pipeline_id)) as owner
  from record r where r.id = :id
), j as (
  insert into journal (record_id, visit_no, event, reason, at, actor, detail)
  select id, visit_no, 'trigger_failed', 'error', :at, 'system',
    jsonb_build_object('trigger', cast(:trigger as text), 'error', cast(:error as text)) from r
)
insert into notification (employee_id, record_id, visit_no, sender, body, at)
select owner, id, visit_no, 'system',
  format('Trigger %s of %L fails: %s', cast(:trigger as text), title, cast(:error as text)), :at
from r where owner is not null
""").bindparams(bindparam("id", type_=BigInteger), bindparam("at", type_=DateTime(timezone=True)))
