"""What providers report of SMS: how far they came. Reports come twice, in any order, and early.

`queued` < `sent` < `failed` < `delivered`: of two reports the higher one counts, whichever came first. That a
phone has it outweighs a carrier that had given it up.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, bindparam, text

from activities.telling import tell_responsible
from db.engine import Transaction
from db.journal import line
from db.rows import write

Delivery = Literal["queued", "sent", "failed", "delivered"]


class Report(NamedTuple):
    """One report. `key` is the message's own, where the provider knows it; `error` says why it failed."""

    provider: str
    provider_id: str
    delivery: Delivery
    key: str = ""
    error: str = ""


async def note(tx: Transaction, report: Report, now: datetime) -> None:
    """Write a report down at its message, or have it wait for that.

    A message of unknown fate that is reported was taken, and once nothing of its step is unknown any more the
    step is `done`; nothing below it follows. Of one that did not arrive the journal says so, and the
    responsible is told.
    """
    asked = {**report._asdict(), "at": now}
    await _one_by_one(tx, report.provider, report.provider_id)
    if (await tx.execute(_FIND, asked)).one_or_none() is None:
        await tx.execute(_PARK, asked)
    else:
        await _noted(tx, asked)


async def adopt(tx: Transaction, message: UUID, provider: str, provider_id: str) -> None:
    """Write the provider's number of a message down, and what was reported of it before."""
    asked = {"id": message, "provider": provider, "provider_id": provider_id}
    await _one_by_one(tx, provider, provider_id)
    if parked := (await tx.execute(_ADOPT, asked)).mappings().one_or_none():
        await _noted(tx, {"provider": provider, "provider_id": provider_id, "key": "", **parked})


async def _noted(tx: Transaction, asked: Mapping[str, Any]) -> None:
    """Write the report down; where it turns what is known of the arrival, say so to people."""
    for row in await tx.execute(_NOTE, asked):
        of_act = {"id": row.record_id, "visit_no": row.visit_no, "rule": row.rule, "n": row.n}
        if row.was == "unknown":
            await tx.execute(_KNOWN_BETTER, of_act | {"at": asked["at"], "by": row.provider})
        if row.delivery == row.before or "failed" not in (row.delivery, row.before):
            continue
        to = ", ".join(row.recipients)
        arrived = row.delivery != "failed"
        event, of = "delivered" if arrived else "undelivered", {"rule": row.rule, "n": row.n}
        detail = {"recipients": row.recipients, "error": row.delivery_error}
        await write(tx, [line(row.record_id, row.visit_no, event, asked["at"], detail=detail, **of)])
        what = "arrived after all" if arrived else f"did not arrive: {row.delivery_error or 'undelivered'}"
        body = f"The SMS of {{title}} to {to} {what}"
        await tell_responsible(tx, row.record_id, body, asked["at"], visit_no=row.visit_no, **of)


async def _one_by_one(tx: Transaction, provider: str, provider_id: str) -> None:
    """Whoever comes second sees what the first has committed: no report falls between."""
    await tx.execute(_LOCK, {"what": f"sms {provider} {provider_id}"})


_ORDER = "array['', 'queued', 'sent', 'failed', 'delivered']"
_AT = bindparam("at", type_=DateTime(timezone=True))
_LOCK = text("select pg_advisory_xact_lock(hashtextextended(:what, 0))")
_MINE = "channel = 'sms' and provider = :provider and (provider_id = :provider_id or message_id = :key)"
_FIND = text(f"select id from message where {_MINE}")  # noqa: S608  # written above
_NOTE = text(f"""
update message set
  provider_id = case when provider_id = '' then :provider_id else provider_id end,
  delivery = case when higher then :delivery else delivery end,
  delivery_at = case when higher then :at else delivery_at end,
  delivery_error = case when higher then :error else delivery_error end,
  accepted = case when state = 'unknown' then recipients else accepted end,
  sent_at = case when state = 'unknown' then :at else sent_at end,
  error = case when state = 'unknown' then '' else error end,
  state = case when state = 'unknown' then 'sent' else state end
from (
  select id as own, delivery as before, state as was, array_position({_ORDER}, delivery::text)
    < array_position({_ORDER}, cast(:delivery as text)) as higher
  from message where {_MINE} for update
) as present
where id = own
returning record_id, visit_no, rule, n, recipients, provider, delivery, before, was, delivery_error
""").bindparams(_AT)  # noqa: S608  # written above
_KNOWN_BETTER = text("""
with m as (
  select bool_and(state = 'sent') as all_sent, jsonb_build_object(
    'message_ids', jsonb_agg(message_id order by length(message_id), message_id),
    'recipients', jsonb_agg(recipients -> 0 order by length(message_id), message_id),
    'segments', sum(segments)) as results
  from message where record_id = :id and visit_no = :visit_no and rule = :rule and n = :n
), l as (
  update ledger set outcome = 'done', error = '', results = m.results
  from m
  where record_id = :id and visit_no = :visit_no and rule = :rule and n = :n and outcome = 'unknown'
    and m.all_sent
  returning record_id, visit_no, rule, n, ledger.results
)
insert into journal (record_id, visit_no, rule, n, event, at, actor, detail)
select record_id, visit_no, rule, n, 'done', :at, :by, jsonb_build_object('results', results) from l
""").bindparams(bindparam("id", type_=BigInteger), _AT)
_PARK = text(f"""
insert into sms_report (provider, provider_id, delivery, error, at)
values (:provider, :provider_id, :delivery, :error, :at)
on conflict (provider, provider_id) do update set
  delivery = excluded.delivery, error = excluded.error, at = excluded.at
  where array_position({_ORDER}, sms_report.delivery::text)
    < array_position({_ORDER}, excluded.delivery::text)
""").bindparams(_AT)  # noqa: S608  # written above
_ADOPT = text("""
with own as (update message set provider_id = :provider_id where id = :id)
delete from sms_report where provider = :provider and provider_id = :provider_id
returning delivery, error, at
""")
