"""What a rule has done to a record before, as far as `repeat` counts it."""

from __future__ import annotations

from sqlalchemy import BigInteger, bindparam, text

from db.locked import Locked
from domain.judge import Past


async def past(locked: Locked, rule: str) -> list[Past]:
    """Earlier done or unknown steps of the rule, in this pipeline, as far as they are written."""
    asked = {"id": locked.record.id, "pipeline": locked.record.pipeline_id, "rule": rule}
    return [Past(row.visit_no, row.pass_no, row.at) for row in await locked.tx.execute(_PAST, asked)]


_PAST = text("""
select l.visit_no, v.pass_no, l.at
from ledger l join visit v on v.record_id = l.record_id and v.visit_no = l.visit_no
where l.record_id = :id and l.rule = :rule and l.n = 0 and l.outcome in ('done', 'unknown')
  and v.pipeline_id = :pipeline
""").bindparams(bindparam("id", type_=BigInteger))
