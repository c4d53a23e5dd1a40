"""Mails of ours that did not arrive after all, as a mail server reports it (RFC 3464)."""

from __future__ import annotations

from datetime import datetime

from pydantic import SecretStr
from pydantic_core import to_json
from sqlalchemy import ARRAY, DateTime, String, bindparam, text

from activities.incoming import Report
from activities.message_ids import is_ours
from activities.telling import tell_responsible
from db.engine import Transaction
from db.journal import line
from db.rows import write


async def bounced(tx: Transaction, secret: SecretStr, report: Report, now: datetime) -> int | None:
    """Write down who did not get a message, and tell the responsible; its record.

    None, and nothing is changed, for a report of no message of ours: only who has seen the message knows its
    id. A message that is only just being settled is marked too; who took it is for its settling to say.
    """
    if not is_ours(secret, report.message_id):
        return None
    refused = {failure.address: {"code": 550, "text": failure.text} for failure in report.failures}
    why = "; ".join(f"{failure.address}: {failure.text}" for failure in report.failures)
    asked: dict[str, object] = {"id": report.message_id, "who": [*refused], "why": why, "at": now}
    asked["refused"] = to_json(refused).decode()
    found = (await tx.execute(_BOUNCED, asked)).one_or_none()
    found = found or (await tx.execute(_NOT_INVITED, asked)).one_or_none()
    if found is None:
        return None
    record: int = found.record_id
    detail = {"recipients": [*refused], "error": why}
    of = {"rule": found.rule, "n": found.n}
    await write(tx, [line(record, found.visit_no, "bounced", now, detail=detail, **of)])
    told = f"The {found.what} {found.subject!r} of {{title}} did not arrive at {why}"
    await tell_responsible(tx, record, told, now, visit_no=found.visit_no, **of)
    return record


_BOUNCED = text("""
update message set delivery = 'failed', delivery_at = :at, delivery_error = :why,
  refused = case when state = 'sending' then refused else refused || cast(:refused as jsonb) end,
  accepted = case when state = 'sending' then accepted else
    coalesce((select jsonb_agg(a) from jsonb_array_elements_text(accepted) a
              where lower(a) <> all(cast(:who as varchar[]))), '[]') end
where message_id = :id and channel = 'email'
  and exists (select 1 from jsonb_array_elements_text(recipients) a
              where lower(a) = any(cast(:who as varchar[])))
returning record_id, visit_no, rule, n, subject, 'mail' as what
""").bindparams(bindparam("who", type_=ARRAY(String)), bindparam("at", type_=DateTime(timezone=True)))
_NOT_INVITED = text("""
update invitation i set state = 'failed', error = :why
from meeting m
where i.message_id = :id and i.state in ('sending', 'sent') and m.id = i.meeting_id
  and lower(i.recipient) = any(cast(:who as varchar[]))
returning m.record_id, m.visit_no, m.rule, 0 as n, m.subject, 'invitation to' as what
""").bindparams(bindparam("who", type_=ARRAY(String)))
