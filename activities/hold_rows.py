"""The rows of holds: how an open one is kept, and what its acts leave in ledger and journal."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from pydantic_core import to_json
from sqlalchemy import BigInteger, DateTime, bindparam, text

from activities.runner import Run, Runner
from db.facts import HoldRow
from db.journal import line
from db.rows import Change, Rows
from domain.events import Outcome
from domain.holds.control import Control
from domain.holds.wait import Wait

_KEEP = text("""
update hold set due_at = :due_at, deadline = :deadline, state = :state, late_since = :late_since,
  next_act = :next_act, told = cast(:told as jsonb), pinned = :pinned
where record_id = :id and visit_no = :visit_no and rule = :rule
""").bindparams(
    bindparam("id", type_=BigInteger),
    *(bindparam(name, type_=DateTime(timezone=True)) for name in ("due_at", "deadline", "late_since")),
)

_CLOSED = "update hold set closing = false where record_id = :id and visit_no = :visit_no and rule = :rule"


def opened(runner: Runner, row: HoldRow, params: Wait | Control) -> Rows:
    """The row of a hold that opens; its note is shown on the record."""
    own = {"visit_no", "rule", "kind", "turn", "opened_at", "due_at", "deadline", "state", "next_act", "note"}
    ends_on = params.ends_on if isinstance(params, Wait) else []
    more = {"ends_on": ends_on, "record_id": runner.locked.record.id}
    return Rows("hold", [row.model_dump(include=own) | more])


async def keep(runner: Runner, row: HoldRow) -> None:
    """Write an open hold as it is now."""
    await runner.flush()
    named = row.model_dump(
        include={"visit_no", "rule", "due_at", "deadline", "state", "late_since", "next_act", "pinned"}
    )
    asked = {"id": runner.locked.record.id, "told": to_json(row.told).decode()}
    await runner.locked.tx.execute(_KEEP, named | asked)


def closed(runner: Runner, row: HoldRow) -> Change:
    """A hold that has ended owes nothing more: whichever act comes to say so first, says it once."""
    row.closing = False
    asked = {"id": runner.locked.record.id, "visit_no": row.visit_no, "rule": row.rule}
    return Change(_CLOSED, asked)


def claim(runner: Runner, run: Run, outcome: Outcome, error: str = "") -> None:
    """The key of a further act of a hold; its line of the journal is written by the caller."""
    row = {
        "record_id": runner.locked.record.id, "visit_no": run.visit_no, "rule": run.rule, "n": run.n,
        "outcome": outcome.result, "reason": outcome.reason, "at": outcome.at, "error": error,
    }  # fmt: skip
    runner.add(Rows("ledger", [row]))


def say(runner: Runner, run: Run, event: str, at: datetime, detail: Mapping[str, object]) -> None:
    """A line of the journal that is no outcome."""
    record_id = runner.locked.record.id
    runner.add(line(record_id, run.visit_no, event, at, rule=run.rule, n=run.n, detail=detail))
