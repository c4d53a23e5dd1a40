"""Histories of journeys, looked at after the fact: tasks that failed, and whether every run replays."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, NamedTuple

from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause
from temporalio.client import Client, WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

from db.temporal import DATA_CONVERTER
from domain.journey import WORKFLOW
from tests.failed_tasks import STARVED
from workflows.journey import Journey

HARMLESS: Final = frozenset(
    {
        # a signal came while the task was about to end the run, or begin the next: it is done again
        WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND,
        WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_UPDATE,
        WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_FORCE_CLOSE_COMMAND,
        WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_STICKY_TASK_QUEUE,
        WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW,
    }
)


class Looked(NamedTuple):
    """`runs` and `events` were looked at, the longest run has `longest`; `wrong` says what must not be."""

    runs: int
    events: int
    longest: int
    wrong: list[str]


async def all_replay(client: Client) -> None:
    """Raises `AssertionError` unless every run replays, and none had a task that failed."""
    looked = await look(client)
    assert not looked.wrong, f"of {looked.runs} runs of journeys:\n" + "\n".join(looked.wrong)


async def look(client: Client, query: str = "") -> Looked:
    """Look at every run of every journey that the server knows; `query` narrows them down."""
    runs = events = longest = 0
    wrong: list[str] = []

    async def histories() -> AsyncIterator[WorkflowHistory]:
        nonlocal runs, events, longest
        asked = f"WorkflowType = '{WORKFLOW}'" + (f" and {query}" if query else "")
        async for run in client.list_workflows(asked):
            history = await client.get_workflow_handle(run.id, run_id=run.run_id).fetch_history()
            runs, events, longest = runs + 1, events + len(history.events), max(longest, len(history.events))
            wrong.extend(failed_tasks(history))
            yield history

    replayer = Replayer(
        workflows=[Journey], workflow_runner=UnsandboxedWorkflowRunner(), data_converter=DATA_CONVERTER
    )
    async with replayer.workflow_replay_iterator(histories()) as replayed:
        async for result in replayed:
            if result.replay_failure is not None:
                said = str(result.replay_failure).splitlines()[0][:300]
                _keep(result.history)
                wrong.append(f"{result.history.workflow_id} does not replay: {said}")
    return Looked(runs, events, longest, wrong)


def _keep(history: WorkflowHistory) -> None:
    """Write down a history that does not replay, if `JALON_BAD_HISTORIES` names a folder for it."""
    if folder := os.environ.get("JALON_BAD_HISTORIES"):
        (Path(folder) / f"{history.workflow_id}-{history.run_id}.json").write_text(history.to_json())


def failed_tasks(history: WorkflowHistory) -> list[str]:
    """The workflow tasks of a run that failed; of several in a row the server keeps the first."""
    found = []
    for event in history.events:
        if event.event_type != EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED:
            continue
        failed = event.workflow_task_failed_event_attributes
        if failed.cause in HARMLESS or STARVED in failed.failure.message:
            continue
        cause, said = WorkflowTaskFailedCause.Name(failed.cause), failed.failure.message[:300]
        found.append(f"{history.workflow_id}: task failed at event {event.event_id}: {cause}: {said}")
    return found
