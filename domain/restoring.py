"""A visit as its journey knew it, from what is written down: for a journey that begins anew.

A step with an outcome has ended, an open hold is open; of the others the chains say whose turn has come.
What a person, a refusal or an outage made of a pending step comes as `Waits`; what follows from facts is
asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from domain.events import Arm, Command, Decision
from domain.plan import Step
from domain.visit import Visit


class Waits(NamedTuple):
    """What was last said of a pending step, at `at` (UTC), where its rule alone does not tell.

    The other fields are those of the step.
    """

    at: datetime
    waiting: str = ""
    due: datetime | None = None
    scheduled: datetime | None = None
    moved: datetime | None = None
    pinned: bool = False
    released: bool = False


class Known(NamedTuple):
    """What is written down of one step. `outcome` is `open` for an open hold, empty for a send under way."""

    outcome: str
    reason: str
    at: datetime
    n: int = 1  # the number of the next act of a hold
    opened_at: datetime | None = None  # of a hold, also of one that has ended
    due: datetime | None = None
    pinned: bool = False


class Leaving(NamedTuple):
    """How and when a visit was left, where its journey had heard of it; what was kept."""

    at: datetime
    reason: str
    kept: list[str]


def restore(
    visit: Visit,
    known: Mapping[str, Known],
    waits: Mapping[str, Waits],
    now: datetime,
    left: Leaving | None = None,
) -> list[Command]:
    """Bring the fresh steps of a visit to where they were; answers what is to be asked or decided for them.

    `waits` and `known` are by rule. What a visit that was left has neither ended nor kept is `stale`: it was
    under way as the stage was left.
    """
    out: list[Command] = []
    if left:
        visit.left = left.reason
    for step in visit.steps:
        step.kept = left is not None and step.rule in left.kept
        if step.rule in known:
            _take_up(step, known[step.rule])
    for i, step in enumerate(visit.steps):
        if step.status != "queued":
            continue
        if left and not step.kept:
            visit.close(i, "stale", "outrun", now, out)
            out.append(
                Decision(visit_no=visit.visit_no, rule=step.rule, result="stale", reason="outrun", at=now)
            )
            continue
        turn = _turn(visit, i, known)
        if turn is not None:
            _await(visit, i, turn, waits.get(step.rule), now, left, out)
    return out


def _take_up(step: Step, row: Known) -> None:
    if row.outcome == "open":
        step.status, step.n, step.turn, step.due = "open", row.n, row.opened_at, row.due
        step.pinned = row.pinned
    elif row.outcome:
        step.status, step.outcome, step.reason = "ended", row.outcome, row.reason
    else:
        step.status, step.waiting, step.due = "armed", "retry", row.due


def _turn(visit: Visit, i: int, known: Mapping[str, Known]) -> datetime | None:
    """When the turn of step i came; None if the rule above has not ended."""
    if visit.steps[i].first:
        return visit.entered_at
    above = visit.steps[i - 1]
    row = known.get(above.rule)
    if row is None:
        return None
    if row.opened_at and not above.blocks:
        return row.opened_at
    return row.at if above.over else None


def _await(
    visit: Visit, i: int, turn: datetime, waits: Waits | None, now: datetime, left: Leaving | None,
    out: list[Command],
) -> None:  # fmt: skip
    step = visit.steps[i]
    at_once = left is not None and step.on_exit == "run_now"
    if waits and not (at_once and left and waits.at <= left.at):
        step.turn, step.status, step.waiting, step.due = turn, "armed", waits.waiting, waits.due
        step.pinned, step.released = waits.pinned, waits.released
        step.moved, step.scheduled = waits.moved, waits.scheduled
        if step.due and step.due > now and step.waiting != "suspended":
            out.append(Arm(visit.visit_no, step.rule, step.due))
        return
    if at_once and left:
        turn = max(turn, left.at)
    visit.begin(i, turn, now, out, counts_as_done=_opened(visit, i))


def _opened(visit: Visit, i: int) -> bool:
    """Whether the rule above is one whose opening counts as done, however it ended."""
    return i > 0 and not visit.steps[i].first and not visit.steps[i - 1].blocks
