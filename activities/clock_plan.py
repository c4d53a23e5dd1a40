"""Computes when the triggers of the clock are due, for records whose facts changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final

import structlog
from sqlalchemy import ARRAY, BigInteger, Row, String, bindparam, text

from activities.idleness import idle_since
from db.clock import (
    RECORDS_AT_ONCE,
    Planned,
    definition,
    forget,
    may_plan,
    next_sweep,
    plan,
    records_of,
    set_horizons,
    sweep_on,
    take_marks,
)
from db.engine import Database, Transaction
from domain.calendar import Calendar
from domain.period import Period
from domain.schedule import Schedule, ScheduleFacts, instant

log = structlog.get_logger()

SPOILT: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What comes of facts that nobody can compute with, as only a hand can write them."""


async def plan_marked(database: Database, looked_at: datetime, now: datetime) -> bool:
    """Some of the records that were marked; whether there are more."""
    async with database.transaction() as tx:
        if not await may_plan(tx):
            return False
        marked = await take_marks(tx, looked_at)
        if marked:
            await _Planner(tx, now).plan(marked)
        return bool(marked)


async def plan_swept(database: Database, looked_at: datetime, now: datetime) -> bool:
    """Some records of one sweep; whether there are more. It goes on where it was, whoever comes next."""
    async with database.transaction() as tx:
        await set_horizons(tx)
    async with database.transaction() as tx:
        if not await may_plan(tx) or (sweep := await next_sweep(tx)) is None:
            return False
        if await _is_gone(tx, sweep.clock_trigger_id):
            more = await forget(tx, sweep.clock_trigger_id)
            await sweep_on(tx, sweep, sweep.after_id if more else None)
            return True
        records = await records_of(tx, sweep)
        if records:
            since = sweep.since or looked_at
            await _Planner(tx, now).plan(dict.fromkeys(records, since), sweep.clock_trigger_id)
        await sweep_on(tx, sweep, records[-1] if len(records) == RECORDS_AT_ONCE else None)
        return True


class _Planner:
    """Computes for many records with one statement a kind of fact."""

    def __init__(self, tx: Transaction, now: datetime) -> None:
        self._tx, self._now = tx, now
        self._calendars: dict[str, Calendar] = {}
        self._absences: dict[str, list[tuple[datetime, datetime]]] = {}
        self._schedules: dict[int, Schedule] = {}
        self._spoilt: Counter[tuple[str, str]] = Counter()

    async def plan(self, since: Mapping[int, datetime], only: int | None = None) -> None:
        """Plan anew for these records. `since`: up to when an instant is past for each."""
        records = list(since)
        planned = [*await self._dates(since, only), *await self._idle(since, only)]
        await plan(self._tx, records, planned, only)
        for (trigger, error), many in self._spoilt.items():
            log.error("when a trigger is due cannot be computed", trigger=trigger, error=error, records=many)

    async def _dates(self, since: Mapping[int, datetime], only: int | None) -> list[Planned]:
        rows = (await self._tx.execute(_DATED, {"records": list(since), "only": only})).all()
        if not rows:
            return []
        await self._surround({row.calendar for row in rows}, {row.responsible for row in rows})
        found: list[Planned] = []
        for row in rows:
            try:
                at = self._instant(row)
            except SPOILT as error:
                self._spoilt[row.trigger, type(error).__name__] += 1
                continue
            if at is not None:
                bound = since[row.record]
                found.append(Planned(row.clock_trigger, row.record, at, bound, past=at <= bound))
        return found

    def _instant(self, row: Row[Any]) -> datetime | None:
        schedule = self._schedules.get(row.clock_trigger)
        if schedule is None:
            schedule = self._schedules[row.clock_trigger] = Schedule.model_validate(row.date)
        if not isinstance(row.value, str):
            return None
        facts = ScheduleFacts.model_validate({
            "zone": row.zone, "value": row.value.strip(),
            "calendar": self._calendars.get(row.calendar) if schedule.working_time else None,
            "absences": self._absences.get(row.responsible, []) if schedule.on_duty else [],
        })  # fmt: skip
        return instant(schedule, self._now, facts)

    async def _surround(self, calendars: Collection[str], people: Collection[str]) -> None:
        for row in await self._tx.execute(_CALENDARS, {"ids": list(calendars)}):
            try:
                self._calendars[row.id] = Calendar.model_validate(row.definition)
            except SPOILT as error:
                self._spoilt[f"calendar {row.id}", type(error).__name__] += 1
        for row in await self._tx.execute(_ABSENCES, {"ids": [who for who in people if who]}):
            self._absences.setdefault(row.employee_id, []).append((row.starts_at, row.ends_at))

    async def _idle(self, since: Mapping[int, datetime], only: int | None) -> list[Planned]:
        found: list[Planned] = []
        for row in await idle_since(self._tx, list(since), only):
            try:
                span = Period.model_validate(definition(row.definition).get("idle_for", {"minutes": 0})).span
                found.append(Planned(row.clock_trigger, row.record, row.since + span, row.since, past=False))
            except SPOILT as error:
                self._spoilt[row.trigger, type(error).__name__] += 1
        return found


async def _is_gone(tx: Transaction, clock_trigger_id: int) -> bool:
    return (await tx.execute(_KNOWN, {"id": clock_trigger_id})).one_or_none() is None


_KNOWN = text("select 1 from clock_trigger where id = :id").bindparams(bindparam("id", type_=BigInteger))
# zone and calendar are the responsible's, else the pipeline's, else the company's
_DATED = text("""
select r.id as record, t.id as clock_trigger, t.trigger, t.definition -> 'date' as date,
  coalesce(nullif(e.zone, ''), nullif(p.zone, ''),
    (select value #>> '{}' from setting where key = 'zone'), 'UTC') as zone,
  coalesce(nullif(e.calendar_id, ''), nullif(p.calendar_id, ''),
    (select value #>> '{}' from setting where key = 'calendar'), '') as calendar,
  coalesce(r.responsible_id, '') as responsible,
  case t.section
    when 'record' then case t.field when 'created_at' then to_jsonb(r.created_at)
      when 'entered_at' then to_jsonb(r.entered_at) else r.fields -> t.field end
    when 'contact' then coalesce(c.fields -> t.field,
      case t.field when 'birthday' then to_jsonb(c.birthday) end)
    when 'company' then f.fields -> t.field end as value
from record r join clock_trigger t on t.pipeline_id = r.pipeline_id join pipeline p on p.id = r.pipeline_id
  left join employee e on e.id = r.responsible_id
  left join contact c on c.id = r.contact_id and t.section = 'contact'
  left join company f on f.id = r.company_id and t.section = 'company'
where r.id = any(:records) and r.deleted_at is null and t.event = 'date_reached'
  and (t.id = :only or cast(:only as bigint) is null)
""").bindparams(bindparam("records", type_=ARRAY(BigInteger)), bindparam("only", type_=BigInteger))
_IDS = bindparam("ids", type_=ARRAY(String))
_CALENDARS = text("select id, definition from calendar where id = any(:ids)").bindparams(_IDS)
_ABSENCES = text("""
select employee_id, starts_at, ends_at from absence where employee_id = any(:ids)
""").bindparams(_IDS)
