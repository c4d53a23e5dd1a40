"""What administrators see of a journey in the Temporal Web UI."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from temporalio import workflow
from temporalio.common import SearchAttributeKey, SearchAttributeUpdate

with workflow.unsafe.imports_passed_through():
    from domain.changed_facts import HELD, WATCHING
    from domain.journey import JourneyState, Visible
    from domain.plan import Step

KEYWORDS = {
    "record_type": SearchAttributeKey.for_keyword("JalonRecordType"),
    "pipeline": SearchAttributeKey.for_keyword("JalonPipeline"),
    "stage": SearchAttributeKey.for_keyword("JalonStage"),
    "responsible": SearchAttributeKey.for_keyword("JalonResponsible"),
}
FLAGS = SearchAttributeKey.for_keyword_list("JalonFlags")
NEXT_DUE = SearchAttributeKey.for_datetime("JalonNextDue")
WAITS_FOR = {
    "condition": "its condition",
    "value": "a date to be filled in",
    "suspended": "somebody to resume it",
    WATCHING: "somebody to resume it, or its condition",
    "retry": "its next attempt",
    "spread": "its turn after an outage",
}


def visible(state: JourneyState) -> Visible:
    """What the search attributes have to say of a state."""
    face, due = state.face, state.progress.next_due
    return Visible(
        record_type=face.record_type, pipeline=face.pipeline, stage=face.stage, responsible=face.responsible,
        flags=flags(state), next_due=due and _to_millisecond(due),
    )  # fmt: skip


def changed(before: Visible, now: Visible) -> list[SearchAttributeUpdate[Any]]:
    """The search attributes that are others now."""
    updates: list[SearchAttributeUpdate[Any]] = []
    for name, key in KEYWORDS.items():
        if (value := getattr(now, name)) != getattr(before, name):
            updates.append(key.value_set(value) if value else key.value_unset())
    if now.flags != before.flags:
        updates.append(FLAGS.value_set(now.flags))
    if now.next_due != before.next_due:
        updates.append(NEXT_DUE.value_set(now.next_due) if now.next_due else NEXT_DUE.value_unset())
    return updates


def flags(state: JourneyState) -> list[str]:
    """`waiting_client`, `late`, `failed`, `suspended`."""
    steps = [step for visit in state.progress.visits for step in visit.steps]
    raised = {
        "waiting_client": any(s.nature == "wait" and s.holding for s in steps),
        "late": any(s.nature == "control" and s.holding and s.n > 1 for s in steps),
        "failed": any(s.outcome in ("failed", "unknown") for s in steps),
        "suspended": state.face.suspended or any(s.waiting in HELD for s in steps),
    }
    return [name for name, up in raised.items() if up]


def details(state: JourneyState) -> str:
    """A table in Markdown: what happens next, and when."""
    face, progress = state.face, state.progress
    head = f"**{face.pipeline} / {face.stage}**, visit {progress.visit_no}"
    rows = [
        f"| {visit.visit_no} | {step.rule} | {step.kind} | {_status(step)} | {_at(step)} |"
        for visit in progress.visits
        for step in visit.steps
    ]
    if not rows:
        return f"{head}\n\nNothing is pending."
    return "\n".join(
        [head, "", "| visit | rule | kind | status | due (UTC) |", "|---|---|---|---|---|", *rows]
    )


def _status(step: Step) -> str:
    if step.over:
        return f"{step.outcome} {step.reason}".strip()
    return f"waits for {WAITS_FOR.get(step.waiting, step.waiting)}" if step.waiting else step.status


def _at(step: Step) -> str:
    return step.due.strftime("%Y-%m-%d %H:%M:%S") if step.due and not step.over else ""


def _to_millisecond(at: datetime) -> datetime:
    """Visibility keeps no more."""
    return at.replace(microsecond=at.microsecond // 1000 * 1000)
