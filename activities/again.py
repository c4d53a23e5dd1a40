"""When a step that met something which may pass is tried again."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy import BigInteger, bindparam, text

from db.locked import Locked
from domain.conditions import Verdict
from domain.rule import Rule

_FIRST, _LONGEST = timedelta(seconds=1), timedelta(minutes=10)
_DOUBLINGS: Final = 10  # more are longer than the longest


class Attempt(NamedTuple):
    """The one that is made at `due` (UTC), because the one with this number met something that may pass."""

    number: int
    due: datetime

    def told(self, error: str, verdict: Verdict | None) -> dict[str, object]:
        """What the journal says of it."""
        said: dict[str, object] = {"error": error, "attempt": self.number, "due": self.due}
        return said | ({"condition": verdict.model_dump(mode="json")} if verdict else {})


async def next_attempt(locked: Locked, visit_no: int, rule: Rule, n: int, now: datetime) -> Attempt | None:
    """Pauses double from 1 s to 10 min; None when `retry_for` is over, counted from the first attempt.

    Attempts are known by their lines in the journal; what an operator has retried begins anew.
    """
    asked = {"id": locked.record.id, "visit_no": visit_no, "rule": rule.id, "n": n}
    row = (await locked.tx.execute(_TRIED, asked)).one()
    end = (row.since or now) + rule.retry_for.span
    if now >= end:
        return None
    pause = min(_FIRST * 2 ** min(row.tried, _DOUBLINGS), _LONGEST)
    return Attempt(row.tried + 1, min(now + pause, end))


_TRIED = text("""
select count(*) as tried, min(at) as since from journal
where record_id = :id and visit_no = :visit_no and rule = :rule and n = :n and event = 'retry'
  and id > coalesce((
    select max(id) from journal
    where record_id = :id and visit_no = :visit_no and rule = :rule and n = :n
      and event in ('failed', 'unknown')), 0)
""").bindparams(bindparam("id", type_=BigInteger))
