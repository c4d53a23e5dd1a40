"""The journal and the ledger: what was decided, and what every act ended as."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from pydantic_core import to_json
from sqlalchemy import BigInteger, bindparam, text

from db.engine import Transaction
from db.facts import HoldRow, LedgerRow
from db.locked import Locked
from db.rows import Rows
from domain.events import Decision, HoldEnd, Outcome
from domain.hold import how_it_ended

SYSTEM = "system"


def line(
    record_id: int,
    visit_no: int,
    event: str,
    at: datetime,
    *,
    rule: str = "",
    n: int = 0,
    reason: str = "",
    actor: str = SYSTEM,
    detail: Mapping[str, object] | None = None,
) -> Rows:
    """One line of the journal. `event` of a rule's outcome is the outcome."""
    row = {
        "record_id": record_id,
        "visit_no": visit_no,
        "rule": rule,
        "n": n,
        "event": event,
        "reason": reason,
        "at": at,
        "actor": actor,
        "detail": dict(detail or {}),
    }
    return Rows("journal", [row])


def key(record_id: int, row: LedgerRow, error: str = "") -> Rows:
    """The row of the ledger that claims the key of an act."""
    return Rows("ledger", [row.model_dump() | {"record_id": record_id, "error": error}])


_BOOK = text("""
with d as (
  select * from jsonb_to_recordset(cast(:decisions as jsonb))
    as d(visit_no int, rule text, result text, reason text, at timestamptz)
), l as (
  insert into ledger (record_id, visit_no, rule, n, outcome, reason, at)
  select :id, visit_no, rule, 0, result, reason, at from d
  on conflict (record_id, visit_no, rule, n) do nothing
  returning visit_no, rule
), told as (
  insert into notification (employee_id, record_id, visit_no, rule, sender, body, at)
  select s.owner_id, :id, d.visit_no, d.rule, 'system',
    format('Rule %L of %L failed: %s', d.rule, r.title,
      case d.reason when 'if_past' then 'its time had passed' when 'if_empty' then 'its date is empty'
        else d.reason end),
    d.at
  from d join l using (visit_no, rule)
    join visit v on v.record_id = :id and v.visit_no = d.visit_no
    join record r on r.id = :id
    join rule_set s on s.pipeline_id = v.pipeline_id and s.number = v.rules_number
  where d.result = 'failed'
)
insert into journal (record_id, visit_no, rule, event, reason, at, actor)
select :id, d.visit_no, d.rule, d.result, d.reason, d.at, 'system' from d join l using (visit_no, rule)
""").bindparams(bindparam("id", type_=BigInteger))


async def book(tx: Transaction, record_id: int, decisions: Sequence[Decision]) -> None:
    """Write down what was decided without an effect; what has an outcome keeps it.

    Of what failed the owner of the rules is told.
    """
    if decisions:
        await tx.execute(_BOOK, {"id": record_id, "decisions": to_json(list(decisions)).decode()})


def open_task(locked: Locked, visit_no: int, rule: str, due: datetime | None, opens: Outcome) -> Rows:
    """The row of the hold of a chain that waits for a task; `due` is when its step was due to act."""
    row = HoldRow(
        visit_no=visit_no, rule=rule, kind="task", turn=due or opens.at, opened_at=opens.at,
        due_at=opens.due, state="waiting", next_act=1,
    )  # fmt: skip
    locked.holds[visit_no, rule] = row
    own = {"visit_no", "rule", "kind", "turn", "opened_at", "due_at", "state", "next_act"}
    return Rows("hold", [row.model_dump(include=own) | {"record_id": locked.record.id}])


_END_HOLDS = text("""
with e as (
  select * from jsonb_to_recordset(cast(:ends as jsonb))
    as e(rule text, result text, reason text, at timestamptz, closing bool, state text,
         late_since timestamptz, results jsonb)
), h as (
  update hold set outcome = e.result, reason = e.reason, ended_at = e.at, ended_by = :by, state = e.state,
    late_since = e.late_since, closing = e.closing, due_at = null
  from e where hold.record_id = :id and hold.visit_no = :visit_no and hold.rule = e.rule and hold.outcome = ''
)
update ledger set outcome = e.result, reason = e.reason, at = e.at, results = e.results
from e where ledger.record_id = :id and ledger.visit_no = :visit_no and ledger.rule = e.rule and ledger.n = 0
""").bindparams(bindparam("id", type_=BigInteger))
_IN_TIME = text("update record set late = false where id = :id").bindparams(bindparam("id", type_=BigInteger))


async def end_holds(locked: Locked, visit_no: int, ends: Sequence[HoldEnd], by: str) -> list[Rows]:
    """End open holds of a visit; answers the lines of the journal, which the caller writes with its own.

    `by` is who or what ended them: an employee, the client's activity, `time`, `rule:<id>`. A control that
    had missed its deadline by then says so first, whoever was not there to say it, and when no other is late
    the record is not either.
    """
    if not ends:
        return []
    told, lines = [], []
    for end in ends:
        row, stored = locked.holds[visit_no, end.rule], locked.ledger[visit_no, end.rule, 0]
        missed, flagged = locked.missed(row, end.at), row.late_since
        if missed and not flagged:
            lines.append(line(locked.record.id, visit_no, "late", missed, rule=end.rule))
        row.state, results = how_it_ended(row.kind, missed, end, by)
        results = stored.results | results  # a task has its id already
        row.outcome, row.reason, row.ended_at = end.result, end.reason, end.at
        row.late_since, row.closing, row.due_at = missed, end.closing, None
        stored.outcome, stored.reason, stored.at, stored.results = end.result, end.reason, end.at, results
        told.append(end.model_dump() | {"state": row.state, "late_since": missed, "results": results})
        lines.append(line(
            locked.record.id, visit_no, end.result, end.at, rule=end.rule, reason=end.reason, actor=by,
            detail={"hold": row.state},
        ))  # fmt: skip
    asked = {"id": locked.record.id, "visit_no": visit_no, "by": by, "ends": to_json(told).decode()}
    await locked.tx.execute(_END_HOLDS, asked)
    if locked.record.late and not any(row.late_since for row in locked.open_holds(visit_no)):
        locked.record.late = False
        await locked.tx.execute(_IN_TIME, {"id": locked.record.id})
    return lines
