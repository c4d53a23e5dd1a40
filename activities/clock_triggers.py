"""What the clock makes of records for their triggers: a date is reached, a record has been idle.

Every worker looks; what was heard once is remembered in `heard_event`, so that two of them, or one that
looks again, move nothing twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import structlog
from sqlalchemy import DateTime, bindparam, text

from activities.house import House
from activities.runner import Runner
from activities.triggers import fire_first, heard_once, matches
from db.engine import Database, Transaction
from db.locked import Locked
from db.outbox import Bell
from db.rows import Ids
from db.rulebook import Rulebook
from domain.rule import Trigger
from domain.schedule import instant

log = structlog.get_logger()

_NEAR: Final = timedelta(days=2)
"""A zone and a clock time move an instant by less than this from the day in its field and the offset."""
_STRETCHED: Final = timedelta(days=30)
"""Working time and absences move it by less than this, and than twice the offset."""
_TRUSTED: Final = timedelta(minutes=10)
"""So long an instant computed from a record's facts is taken to stand while its version does."""


class _Candidate(NamedTuple):
    """A record the clock may have done something to; `at`: since when it is idle."""

    record_id: int
    version: int
    pipeline: str
    trigger: Trigger
    at: datetime | None = None


class _Known(NamedTuple):
    """An instant that was computed, of which version of the record, and when."""

    version: int
    at: datetime | None
    computed: datetime


class ClockTriggers:
    """Looks at the clock for one process."""

    def __init__(self, database: Database, book: Rulebook, ids: Ids, house: House) -> None:
        self._database, self._book, self._ids, self._house = database, book, ids, house
        self._known: dict[tuple[int, str], _Known] = {}

    async def look(self, now: datetime) -> list[Bell]:
        """Fire what came since the last look, up to `now` (UTC); the bells to ring.

        Each record has a transaction of its own. What came while nobody looked fires now; the first look of
        an installation finds nothing.
        """
        async with self._database.transaction() as tx:
            since = (await tx.execute(_SINCE, {"now": now})).scalar_one()
            met = [one for found in await _published(tx) for one in await _candidates(tx, *found, since, now)]
        by_record: dict[int, list[_Candidate]] = {}
        for one in met:
            if one.at or self._may_be_reached(one, since, now):
                by_record.setdefault(one.record_id, []).append(one)
        bells = [
            await self._try(record_id, by_record[record_id], since, now) for record_id in sorted(by_record)
        ]
        async with self._database.transaction() as tx:
            await tx.execute(_SEEN, {"now": now})
        kept = {(one.record_id, one.trigger.id) for one in met}
        self._known = {key: known for key, known in self._known.items() if key in kept}
        return [bell for bell in bells if bell]

    async def _try(
        self, record_id: int, candidates: Sequence[_Candidate], since: datetime, now: datetime
    ) -> Bell | None:
        """One record; a trigger that cannot be carried out must not keep the others from firing."""
        try:
            async with self._database.transaction() as tx:
                locked = await Locked.take(tx, self._book, record_id)
                if locked is None:
                    return None
                return await self._fire(Runner(locked, self._house, self._ids, now), candidates, since)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            log.error("a trigger could not be carried out", record=record_id, error=type(error).__name__)
            return None

    def _may_be_reached(self, one: _Candidate, since: datetime, now: datetime) -> bool:
        known = self._known.get((one.record_id, one.trigger.id))
        if known is None or known.version != one.version or now > known.computed + _TRUSTED:
            return True
        return known.at is not None and since < known.at <= now

    async def _fire(self, runner: Runner, candidates: Sequence[_Candidate], since: datetime) -> Bell | None:
        """Of all that the clock has brought for one record, the first in priority moves it."""
        heard: list[Trigger] = []
        for one in candidates:
            if one.pipeline != runner.locked.record.pipeline_id:  # it has left since it was found
                continue
            at = one.at or await self._reached(runner, one)
            if at is None or not (one.at or since < at <= runner.now):
                continue
            if await heard_once(runner, one.trigger, at):
                heard.append(one.trigger)
        matching = await matches(runner, heard) if heard else []
        bell = (await fire_first(runner, matching))[1] if matching else None
        await runner.flush()
        return bell

    async def _reached(self, runner: Runner, one: _Candidate) -> datetime | None:
        """The instant at which the date of its trigger is reached."""
        date, locked = one.trigger.date, runner.locked
        at = instant(date, runner.now, await locked.schedule_facts(date)) if date else None
        known = _Known(locked.record.version, at, runner.now)
        self._known[one.record_id, one.trigger.id] = known
        return at


async def _candidates(
    tx: Transaction, pipeline: str, trigger: Trigger, since: datetime, now: datetime
) -> list[_Candidate]:
    """Records of the pipeline that the clock may have moved on for this trigger."""
    own = {"pipeline": pipeline, "trigger": trigger.id}
    date = trigger.date
    if trigger.event == "idle":
        idle = await tx.execute(_IDLE, own | {"before": now - trigger.idle_for.span})
        return [_Candidate(row.id, row.version, pipeline, trigger, row.since) for row in idle]
    if date is None:
        return []
    offset = date.offset.span if date.offset else timedelta()
    slack = _STRETCHED + 2 * offset if date.working_time or date.on_duty else _NEAR + offset
    section, _, name = date.basis.partition(".")
    days = {"low": (since - slack).date().isoformat(), "high": (now + slack).date().isoformat()}
    dated = await tx.execute(_DATED, own | days | {"section": section, "name": name})
    return [_Candidate(row.id, row.version, pipeline, trigger) for row in dated]


async def _published(tx: Transaction) -> list[tuple[str, Trigger]]:
    """The triggers of all pipelines, as they are now, that the clock fires."""
    return [(row.pipeline_id, Trigger.model_validate(row.trigger)) for row in await tx.execute(_TRIGGERS)]


_AT = DateTime(timezone=True)
_SINCE = text("""
with s as (
  insert into setting (key, value) values ('clock_looked_at', to_jsonb(cast(:now as timestamptz)))
  on conflict (key) do nothing
)
select coalesce((select cast(value #>> '{}' as timestamptz) from setting where key = 'clock_looked_at'),
  cast(:now as timestamptz))
""").bindparams(bindparam("now", type_=_AT))
_SEEN = text("""
update setting set value = to_jsonb(cast(:now as timestamptz))
where key = 'clock_looked_at' and cast(value #>> '{}' as timestamptz) < :now
""").bindparams(bindparam("now", type_=_AT))
_TRIGGERS = text("""
select v.pipeline_id, t.value as trigger
from (
    select distinct on (pipeline_id) pipeline_id, triggers from rule_set order by pipeline_id, number desc) v,
  jsonb_array_elements(v.triggers) t
where t.value ->> 'event' in ('date_reached', 'idle') and t.value ->> 'active' is distinct from 'false'
""")
# a date and an instant both begin with their day
_DATED = text("""
select id, version from (
  select r.id, r.version, left(case :section
    when 'record' then coalesce(to_jsonb(r) ->> :name, r.fields ->> :name)
    when 'contact' then coalesce(to_jsonb(c) ->> :name, c.fields ->> :name)
    else coalesce(to_jsonb(f) ->> :name, f.fields ->> :name) end, 10) as day
  from record r left join contact c on c.id = r.contact_id left join company f on f.id = r.company_id
  where r.pipeline_id = :pipeline and r.deleted_at is null
) dated
where day between :low and :high
""")
# idle since the last thing that was to be done was done, or since it entered its stage
_IDLE = text("""
with idle as (
  select r.id, r.version, greatest(r.entered_at,
    (select max(completed_at) from todo where record_id = r.id),
    (select max(ended_at) from task where record_id = r.id),
    (select max(ended_at) from meeting where record_id = r.id),
    (select max(ended_at) from hold where record_id = r.id and kind = 'wait')) as since
  from record r join stage s on s.pipeline_id = r.pipeline_id and s.id = r.stage_id
  where r.pipeline_id = :pipeline and s.meaning = 'process' and r.deleted_at is null
    and r.journey_visit >= r.visit_no
    and not exists (select 1 from todo where record_id = r.id and completed_at is null)
    and not exists (select 1 from task where record_id = r.id and ended_at is null)
    and not exists (select 1 from meeting where record_id = r.id and ended_at is null)
    and not exists (select 1 from hold where record_id = r.id and kind = 'wait' and outcome = '')
)
select i.id, i.version, i.since from idle i
where i.since <= :before and not exists (
  select 1 from heard_event e where e.record_id = i.id and e.trigger = :trigger and e.at = i.since)
""").bindparams(bindparam("before", type_=_AT))
