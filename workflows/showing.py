"""What administrators see of a journey in the Temporal Web UI."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from temporalio import workflow
from temporalio.common import SearchAttributeKey, SearchAttributeUpdate, TypedSearchAttributes

with workflow.unsafe.imports_passed_through():
    from domain.changed_facts import HELD, WATCHING
    from domain.journey import JourneyState
    from domain.plan import Step

KEYWORDS = {
    name: SearchAttributeKey.for_keyword(f"Jalon{name}")
    for name in ("RecordType", "Pipeline", "Stage", "Responsible")
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


def attributes(state: JourneyState, present: TypedSearchAttributes) -> list[SearchAttributeUpdate[Any]]:
    """The search attributes that have changed."""
    face = state.face
    named = {"RecordType": face.record_type, "Pipeline": face.pipeline, "Stage": face.stage}
    named["Responsible"] = face.responsible
    changed: list[SearchAttributeUpdate[Any]] = []
    for name, value in named.items():
        key = KEYWORDS[name]
        if (present.get(key) or "") != value:
            changed.append(key.value_set(value) if value else key.value_unset())
    if list(present.get(FLAGS) or []) != (raised := flags(state)):
        changed.append(FLAGS.value_set(raised))
    due = state.progress.next_due
    if present.get(NEXT_DUE) != (due and _to_millisecond(due)):
        changed.append(NEXT_DUE.value_set(_to_millisecond(due)) if due else NEXT_DUE.value_unset())
    return changed


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
