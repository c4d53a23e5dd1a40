"""Histories of real runs replay in the sandbox: no change of the workflow's code may break what runs.

The stored ones were written by the test that records, which does so when it is asked to:

    JALON_RECORD_HISTORIES=1 python -m pytest tests/journeys/test_replay.py -k "fresh and cached"

Those of a released version stay for as long as journeys of that version run. A change that breaks one needs
`workflow.patched`, or new histories before the first release that has it.
"""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from db.temporal import DATA_CONVERTER
from domain.journey import Move
from tests.journeys.product import Deal, Product, utc_now
from tests.journeys.rules import comment, control, edit, move, rule, rules, wait
from workflows.journey import Journey

STORED = Path(__file__).parent / "histories"
SOON = 60  # events of a run


def replayer() -> Replayer:
    """As the worker runs journeys."""
    restrictions = SandboxRestrictions.default.with_passthrough_modules("domain")
    return Replayer(
        workflows=[Journey],
        workflow_runner=SandboxedWorkflowRunner(restrictions=restrictions),
        data_converter=DATA_CONVERTER,
    )


# -- the stories that are recorded ------------------------------------------------------------------
async def chains(product: Product) -> Deal:
    """Delays, a date field, a send, a condition that is waited for, a transition at the end."""
    met = {"field": "record.hot", "op": "equal", "value": True}
    listed = [
        comment("hello"),
        comment("later", after={"hours": 1}),
        comment("morning", below=True, after={"days": 1}, at="09:00"),
        rule("send_email", "mail", {"subject": "news", "text": "there is news"}),
        comment("picky", condition=met, if_false="wait"),
        comment("dated", basis="record.visit_at"),
        edit("set", "hot", True, after={"hours": 3}),
        move("on", "offer", after={"days": 4}),
    ]
    day = utc_now() + timedelta(days=2)
    deal = await product.deal(
        {"new": rules(listed), "offer": rules([comment("thanks")])}, fields={"visit_at": day.isoformat()}
    )
    await deal.pass_time(hours=2)
    await deal.edit(visit_at=(day + timedelta(days=1)).isoformat())
    await deal.pass_time(days=5)
    return deal


async def holds(product: Product) -> Deal:
    """Waits ended by the client, by time, by a move; a control that is late."""
    listed = [
        wait("call", {"days": 1}, ends={"ends_on": ["call"]}),
        comment("then", below=True),
        wait("patience", {"hours": 5}),
        comment("below", below=True, after={"days": 1}, at="09:00"),
        control("watch", {"hours": 1}, params={"recipients": ["employee:hugo"]}),
        wait("moves", {"days": 3}, ends={"on_timeout": {"move_to": "lost"}}),
    ]
    deal = await product.deal({"new": rules(listed)})
    await deal.pass_time(hours=2)
    await deal.client("call")
    await deal.pass_time(days=4)
    return deal


async def operations(product: Product) -> Deal:
    """Everything an operator does, a signal by hand, a journey in several runs, deletion."""
    steps = [comment(name, after={"days": 2}) for name in ("a", "b", "c", "d")]
    kept = comment("kept", after={"days": 9}, on_exit="keep")
    deal = await product.deal({"new": rules([*steps, wait("patience"), kept])}, most_events=SOON)
    await deal.operate("run_now", "a")
    await deal.operate("skip", "b")
    await deal.operate("skip", "patience")
    await deal.operate("reschedule", "c", due=await deal.now() + timedelta(days=1))
    await deal.operate("suspend")
    await deal.pass_time(days=3)
    await deal.operate("resume")
    await deal.rest()
    for stage in ("offer", "new"):
        await deal.signal(Move(id=f"{stage}-{(await deal.state()).progress.visit_no}", stage=stage, by="eve"))
        await deal.rest()
    await deal.pass_time(days=1)
    await deal.delete()
    await deal.over()
    return deal


STORIES: dict[str, Callable[[Product], Awaitable[Deal]]] = {
    story.__name__: story for story in (chains, holds, operations)
}


# -- the tests --------------------------------------------------------------------------------------
@pytest.mark.parametrize("path", sorted(STORED.glob("*.json")), ids=lambda path: path.stem)
async def test_a_stored_history_replays(path: Path) -> None:
    await replayer().replay_workflow(stored(path.stem))


def test_there_are_stored_histories_of_every_story() -> None:
    assert {path.stem.split("-")[0] for path in STORED.glob("*.json")} == set(STORIES)


@pytest.mark.parametrize("story", STORIES)
async def test_a_fresh_history_replays(product: Product, story: str, request: pytest.FixtureRequest) -> None:
    deal = await STORIES[story](product)
    runs = await deal.histories()
    assert len(runs) > 1 or story != "operations"
    for history in runs:
        await replayer().replay_workflow(history)
    if os.environ.get("JALON_RECORD_HISTORIES"):
        store(story, runs)


@pytest.mark.parametrize("path", sorted(STORED.glob("*.json")), ids=lambda path: path.stem)
async def test_a_history_replays_whatever_the_server_knows_of_its_search_attributes(path: Path) -> None:
    """Soon after its start a server does not know their types, and leaves out of an answer what it will tell
    later: whether a journey sets them must not depend on that."""
    history = stored(path.stem)
    begun = history.events[0].workflow_execution_started_event_attributes
    for payload in begun.search_attributes.indexed_fields.values():
        payload.metadata.pop("type", None)
    await replayer().replay_workflow(history)
    begun.search_attributes.indexed_fields.clear()
    await replayer().replay_workflow(history)


@pytest.mark.fails_tasks
async def test_a_history_of_other_code_does_not_replay() -> None:
    """The check is alive: had the workflow asked for another activity, it would be noticed."""
    other = stored("chains-1")
    asked = [e for e in other.events if e.HasField("activity_task_scheduled_event_attributes")]
    asked[0].activity_task_scheduled_event_attributes.activity_type.name = "another"
    with pytest.raises(Exception, match="TMPRL1100"):
        await replayer().replay_workflow(other)


def stored(name: str) -> WorkflowHistory:
    return WorkflowHistory.from_json(name, (STORED / f"{name}.json").read_text())


def store(story: str, runs: list[WorkflowHistory]) -> None:
    """Write the runs of a story, without the names of machine and process."""
    STORED.mkdir(exist_ok=True)
    for old in STORED.glob(f"{story}-*.json"):
        old.unlink()
    for number, history in enumerate(runs, 1):
        told = re.sub(rf"[0-9]+@{re.escape(platform.node())}", "worker", history.to_json())
        lines = [json.dumps(event) for event in json.loads(told)["events"]]
        (STORED / f"{story}-{number}.json").write_text('{"events": [\n' + ",\n".join(lines) + "\n]}\n")
