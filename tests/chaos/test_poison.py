"""A rule that takes its worker with it, or keeps it from everything else."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests import builders
from tests.chaos.company import RULES
from tests.chaos.scene import Scene

HERE = Path(__file__).parent
KINDS = {
    "PYTHONPATH": str(HERE / "more_kinds"),
    "JALON_TEST_KINDS": str(HERE.parent / "kinds" / "poisonous"),
}
MOST = 3
SOON: dict[str, Any] = {"schedule": {"basis": "record.soon"}}


def _comment(rule_id: str, **more: Any) -> dict[str, Any]:
    return {"id": rule_id, "kind": "add_comment", "params": {"text": rule_id, "author": "system"}} | more


async def poisoned(scene: Scene, how: str, **more: Any) -> int:
    """A deal whose stage has a poisonous rule; those made before have none."""
    rules = [
        _comment("above"),
        {"id": "bad", "kind": "venom", "params": {"how": how}} | more,
        _comment("chained", after_previous=True),
        _comment("below"),
    ]
    async with scene.database.transaction() as tx:
        await builders.rule_set(tx, RULES | {"new": rules}, pipeline="roofs", at=datetime.now(UTC))
    (record,) = await scene.create(1)
    return record


async def outcomes(scene: Scene, record: int) -> dict[str, tuple[str, str]]:
    rows = await scene.rows("select rule, outcome, reason from ledger where record_id = $1", record)
    return {row["rule"]: (row["outcome"], row["reason"]) for row in rows}


@pytest.mark.parametrize("later", [{}, SOON], ids=["entering", "later"])
async def test_an_act_in_which_three_workers_died_is_given_up_and_nothing_else(
    scene: Scene, later: dict[str, Any]
) -> None:
    await scene.create(3)
    record = await poisoned(scene, "dies", **later)
    for _ in range(MOST):
        doomed = await scene.worker(more=KINDS)
        await scene.until(lambda own=doomed: not own.running, "it dies in the rule")
        assert doomed.process.returncode == -9
    survivor = await scene.worker(more=KINDS)
    await scene.rest()
    assert survivor.running
    done = ("done", "")
    others = {"above": done, "chained": done, "below": done}
    assert await outcomes(scene, record) == others | {"bad": ("failed", "quarantined")}
    told = await scene.rows("select body from notification where employee_id = 'eve' and rule = 'bad'")
    assert len(told) == 1
    assert await scene.count("select count(*) from strike") == 0
    assert await scene.wrong() == []


async def test_a_rule_that_blocks_its_worker_is_stopped_and_the_worker_does_all_else(scene: Scene) -> None:
    record = await poisoned(scene, "blocks")
    worker = await scene.worker(more=KINDS)
    await scene.until(lambda: _struck(scene), "it was stopped")
    await scene.create(3)
    await scene.rest()
    assert worker.running
    assert (await outcomes(scene, record))["bad"] == ("failed", "error")
    assert await scene.wrong() == []


async def _struck(scene: Scene) -> bool:
    return await scene.count("select count(*) from strike where faults > 0") > 0
