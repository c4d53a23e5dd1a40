"""A message to whoever is responsible for a record, of something that no rule did."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, DateTime, bindparam, text

from db.engine import Transaction


async def tell_responsible(
    tx: Transaction, record_id: int, body: str, at: datetime, *, visit_no: int = 0, rule: str = "", n: int = 0
) -> None:
    """Notify the responsible, else the owner of the pipeline; `{title}` in `body` is the record's.

    Of a record that is gone, or in the bin, nobody is told.
    """
    asked = {"id": record_id, "body": body, "at": at, "visit_no": visit_no, "rule": rule, "n": n}
    await tx.execute(_TELL, asked)


_TELL = text("""
insert into notification (employee_id, record_id, visit_no, rule, n, sender, body, at)
select coalesce(r.responsible_id, p.owner_id), r.id, coalesce(nullif(:visit_no, 0), r.visit_no), :rule, :n,
  'system', replace(:body, '{title}', quote_literal(r.title)), :at
from record r join pipeline p on p.id = r.pipeline_id
where r.id = :id and r.deleted_at is null and coalesce(r.responsible_id, p.owner_id) is not null
""").bindparams(bindparam("id", type_=BigInteger), bindparam("at", type_=DateTime(timezone=True)))
