"""What was changed by other means than the product's stops its own records alone, and is told."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs
from temporalio.exceptions import ApplicationError

from activities.publish import publish
from domain.journey import Replan
from domain.rule import RuleSet
from tests import builders
from tests.builders import NOON
from tests.kinds.conftest import Desk
from tests.kinds.test_poison import Victim, everything_else_went_on, victim

REPAIR = """
update rule_set r set stages = k.stages, triggers = k.triggers from kept k
where k.pipeline_id = r.pipeline_id and k.number = r.number
"""
BY_HAND = "set local session_replication_role = replica"
"""Past the triggers that keep what was published as it was."""
SPOILT = {
    "no rules": "stages = '[1]'",
    "no condition": """stages = jsonb_set(stages, '{new,0,condition}', '{"field": 7}')""",
    "no such kind": """stages = jsonb_set(stages, '{new,0,kind}', '"gone"')""",
    "no triggers": "triggers = '[7]'",
}


@pytest.mark.parametrize("how", SPOILT)
async def test_a_rule_set_that_cannot_be_read_stops_its_records_until_it_is_repaired(
    desk: Desk, how: str
) -> None:
    found = await victim(desk, "add_comment", text="Good")
    other = await desk.deal(pipeline="service", stage=next(iter(builders.SERVICE)))
    await desk.run("create table kept as table rule_set", BY_HAND, f"update rule_set set {SPOILT[how]}")
    with capture_logs() as log, pytest.raises(ApplicationError) as stopped:
        await found.tries_to_enter()
    assert stopped.value.type == "Unreadable"
    assert not stopped.value.non_retryable
    assert log[0]["record"] == found.record
    with pytest.raises(ApplicationError):
        await found.tries_to_enter()
    (told,) = await found.told()  # once
    assert "version 1 of the rules of 'sales' cannot be read" in told
    assert (await Victim(desk, other).enters(most=1)).progress.visit_no == 1
    assert await desk.rows("ledger") == []
    await desk.run(BY_HAND, REPAIR)
    await found.enters(most=3)
    assert {outcome for outcome, _ in (await found.outcomes()).values()} == {"done"}


@pytest.mark.parametrize("how", SPOILT)
async def test_rules_are_published_though_others_were_spoilt(desk: Desk, how: str) -> None:
    good = {"id": "good", "kind": "add_comment", "params": {"text": "Good"}}
    async with desk.database.transaction() as tx:
        await builders.rule_set(tx, {"new": [good]})
    await desk.run(BY_HAND, f"update rule_set set {SPOILT[how]}")
    for pipeline, stage, number in (("sales", "new", 2), ("service", next(iter(builders.SERVICE)), 1)):
        rules = RuleSet.model_validate({"stages": {stage: [good | {"id": "better"}]}})
        async with desk.database.transaction() as tx:
            assert (await publish(tx, pipeline, rules, "eve", NOON)).number == number


async def test_a_rule_whose_parameters_cannot_be_read_fails_alone(desk: Desk) -> None:
    found = await victim(desk, "add_comment", text="Good")
    params = """'{"colour": 7}'"""
    await desk.run(BY_HAND, f"update rule_set set stages = jsonb_set(stages, '{{new,1,params}}', {params})")
    await found.enters(most=3)
    await everything_else_went_on(found, failed=("failed", "error"))


async def test_a_due_time_that_cannot_be_computed_fails_its_step_alone(desk: Desk) -> None:
    """A calendar spoilt by hand: nobody's rule is wrong, and the engine cannot go on with this step."""
    found = await victim(desk, "add_comment", text="Good")
    working = """'{"working_time": true, "after": {"hours": 1}}'"""
    await desk.run(
        BY_HAND,
        f"update rule_set set stages = jsonb_set(stages, '{{new,1,schedule}}', {working})",
        """insert into calendar (id, title, definition) values ('broken', 'Broken', '{"week": 7}')""",
        "update employee set calendar_id = 'broken'",
    )
    with capture_logs() as log:
        driven = await found.enters(most=3)
    assert [(said["rule"], said["n"]) for said in log] == [("bad", -1)] * 3
    await everything_else_went_on(found, failed=("failed", "error"))
    assert found.number == 3
    assert driven.progress.unbooked == []


async def test_an_open_wait_that_cannot_be_followed_ends_as_failed(desk: Desk) -> None:
    wait = {"until": {"basis": "record.due", "working_time": True}}
    async with desk.database.transaction() as tx:
        await builders.rule_set(tx, {"new": [{"id": "bad", "kind": "wait", "params": wait}]})
        record = await builders.deal(tx, responsible="ada")
    found = Victim(desk, record)
    opened = await found.enters(most=1)
    assert await found.outcomes() == {"bad": ("open", "")}
    await desk.run(
        """insert into calendar (id, title, definition) values ('broken', 'Broken', '{"week": 7}')""",
        "update employee set calendar_id = 'broken'",
    )
    asked = Replan(record_id=record, progress=opened.progress, at=NOON, fields=["record.due"])
    driven = await found.repeated(found.acts.replan, asked, most=4)
    assert await found.outcomes() == {"bad": ("failed", "error")}
    assert (await desk.row("hold"))["outcome"] == "failed"
    assert all(step.over for visit in driven.progress.visits for step in visit.steps)
    (told,) = await found.told()
    assert "'bad'" in told


async def test_a_record_that_cannot_be_read_stands_still_alone_and_its_owner_is_told_once(desk: Desk) -> None:
    found = await victim(desk, "add_comment", text="Good")
    other = await desk.deal(responsible="ben")
    await desk.run("""update record set fields = '[7]' where responsible_id = 'ada'""")
    for _ in range(5):
        with pytest.raises(ApplicationError) as stopped:
            await found.tries_to_enter()
    assert stopped.value.type == "Faulted"
    (told,) = await found.told()
    assert told.startswith("Nothing goes on with")
    assert [event for event, *_ in await desk.journal(found.record) if event == "stuck"] == ["stuck"]
    assert (await Victim(desk, other).enters(most=1)).progress.visit_no == 1
    await desk.run("""update record set fields = '{}'""")
    await found.tries_to_enter()
    assert {outcome for outcome, _ in (await found.outcomes()).values()} == {"done"}
    assert await desk.rows("strike") == []
