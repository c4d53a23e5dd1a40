"""An open hold, and how leaving the stage ends it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, JsonValue

from domain.events import HoldEnd
from domain.plan import Step


class Hold(BaseModel):
    """The row of an open hold: since when it counts, and when it ends (is late)."""

    rule: str
    kind: Literal["wait", "control", "task"]
    since: datetime
    due: datetime | None = None
    deadline: datetime | None = None  # of a control, which may look earlier
    late: bool = False
    told: bool = False
    conditional: bool = False  # a control with an `until` condition
    moves: bool = False  # a wait that moves the record when its time is out
    pinned: bool = False

    def resolved(self, at: datetime) -> HoldEnd:
        """The end of a control in time, or too late."""
        return HoldEnd(
            rule=self.rule,
            result="done",
            reason="resolved_late" if self.late else "resolved",
            at=at,
            closing=self.told,
        )

    def left(self, reason: str, at: datetime, *, by_rule: bool) -> HoldEnd:
        """The end that leaving the stage makes of it; a task stays, so its step has done what it had to."""
        if self.kind == "task":
            done = reason in ("left_stage", "closed")
            return HoldEnd(
                rule=self.rule, result="done" if done else "cancelled", reason="" if done else reason,
                at=at, ended="left",
            )  # fmt: skip
        if self.kind == "control" and not self.conditional and reason in ("left_stage", "closed"):
            return self.resolved(at)
        if by_rule and self.moves and self.due and self.due <= at:
            return HoldEnd(rule=self.rule, result="superseded", reason="", at=at)
        told = self.told and reason != "record_deleted"  # of a record that is gone nobody is told anything
        return HoldEnd(rule=self.rule, result="cancelled", reason=reason, at=at, closing=told)


def earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    """The earlier of two instants, either of which may be missing."""
    return min((at for at in (one, other) if at), default=None)


def kept(
    steps: Sequence[Step], ended: Collection[str], reason: str, tasks: Collection[str] = ()
) -> list[str]:
    """The rules that go on after the stage was left: what is left of `keep` and `run_now` chains.

    `ended` are the rules with an outcome, `tasks` those whose open task the chain waited for. Under `keep`,
    such a task and a blocking wait that has not ended cut off what stands below them.
    """
    if reason not in ("left_stage", "closed"):
        return []
    marked: list[str] = []
    cut = False
    for step in steps:
        cut = cut and not step.first
        if step.on_exit == "cancel" or step.rule in ended:
            continue
        if step.rule in tasks:
            cut = cut or step.on_exit == "keep"
        elif step.nature in ("wait", "control", "transition"):
            cut = cut or (step.on_exit == "keep" and step.nature == "wait" and step.blocks)
        elif not cut:
            marked.append(step.rule)
    return marked


def how_it_ended(
    kind: str, late_since: datetime | None, end: HoldEnd, by: str
) -> tuple[str, dict[str, JsonValue]]:
    """The state a hold ends in, and its results, for later rules; `by` is who or what ended it."""
    if kind == "task":
        return end.ended, {"ended": end.ended, "by": by, "at": end.at.isoformat()}
    if kind == "wait":
        return "ended", {"ended": end.reason or end.result, "by": by, "at": end.at.isoformat()}
    state = end.reason if end.result == "done" and end.reason in ("resolved", "resolved_late") else "given_up"
    late = int((end.at - late_since).total_seconds() // 60) if late_since and end.at > late_since else 0
    return state, {"state": state, "late_by": late}
