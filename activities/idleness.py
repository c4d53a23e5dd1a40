"""Since when records are idle: open, with nothing that is still to be done or waited for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ARRAY, BigInteger, Row, bindparam, text

from db.engine import Transaction


async def idle_since(
    tx: Transaction, records: Collection[int], only: int | None = None
) -> Sequence[Row[Any]]:
    """For each idle record and trigger: `record`, `clock_trigger`, `trigger`, `definition`, `since`.

    Idle since the last to-do, task, meeting or wait of it ended, or since it entered its stage. `only`: one
    trigger. An idleness that a trigger heard of already is left out.
    """
    return (await tx.execute(_IDLE, {"records": list(records), "only": only})).all()


# with their limits the questions are asked record by record, by an index: a join may go through whole tables
_IDLE = text("""
with idle as (
  select r.id, r.pipeline_id, greatest(r.entered_at,
    (select max(completed_at) from todo where record_id = r.id),
    (select max(ended_at) from task where record_id = r.id),
    (select max(ended_at) from meeting where record_id = r.id),
    (select max(ended_at) from hold where record_id = r.id and kind = 'wait')) as since
  from record r join stage s on s.pipeline_id = r.pipeline_id and s.id = r.stage_id
  where r.id = any(:records) and s.meaning = 'process' and r.deleted_at is null
    and r.journey_visit >= r.visit_no
    and exists (select 1 from clock_trigger t where t.pipeline_id = r.pipeline_id and t.event = 'idle')
    and (select true from todo where record_id = r.id and completed_at is null limit 1) is null
    and (select true from task where record_id = r.id and ended_at is null limit 1) is null
    and (select true from meeting where record_id = r.id and ended_at is null limit 1) is null
    and (select true from hold where record_id = r.id and kind = 'wait' and outcome = '' limit 1) is null
)
select i.id as record, t.id as clock_trigger, t.trigger, t.definition, i.since
from idle i join clock_trigger t on t.pipeline_id = i.pipeline_id
where t.event = 'idle' and (t.id = :only or cast(:only as bigint) is null) and not exists (
  select 1 from heard_event e where e.record_id = i.id and e.trigger = t.trigger and e.at = i.since)
""").bindparams(bindparam("records", type_=ARRAY(BigInteger)), bindparam("only", type_=BigInteger))
