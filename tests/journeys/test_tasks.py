"""A chain that waits for a task, through Temporal: completed, out of time, left, over continue-as-new."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from activities import tasks
from activities.announcing import facts_changed
from db.locked import Locked
from db.outbox import Bell
from db.records import By
from tests.journeys.product import Deal, Product
from tests.journeys.rules import comment, rule, rules
from tests.journeys.test_continue_as_new import SOON, another_run
from worker.relay import ring_left_over

COMPLETED = {"field": "steps.measure.ended", "op": "equal", "value": "completed"}


def holding(**more: Any) -> dict[str, Any]:
    """A task that its chain waits for, at most for a day."""
    params = {"name": "Measure", "hold_until_closed": True, "hold_timeout": {"hours": 24}}
    return rule("create_task", "measure", params, **more)


def below(**more: Any) -> dict[str, Any]:
    return comment("then", "{{ steps.measure.ended }}", below=True, **more)


async def ends(deal: Deal, how: tasks.How = "completed", *, ring: bool = True) -> None:
    """Eve ends the task; the journey hears of what may depend on it."""
    (task,) = await deal.product.rows("select id, visit_no from task where record_id = :id", id=deal.id)
    bells: list[Bell | None] = []

    async def end(locked: Locked, by: By) -> Bell | None:
        await locked.reload(task["visit_no"])
        ended = await tasks.end(locked, await tasks.find(locked.tx, task["id"]), how, by)
        bells.append(await facts_changed(locked, ended.changed, by.at))
        return ended.bell

    await deal.write(end, ring=ring)
    if ring:
        deal.product.doorbell.ring(*bells)


@pytest.mark.parametrize("how", ["completed", "deleted"])
async def test_the_chain_goes_on_when_a_person_ends_the_task(product: Product, how: tasks.How) -> None:
    deal = await product.deal({"new": rules([holding(), below()])})
    await deal.pass_time(hours=3)
    assert await deal.outcomes() == {"measure": "open"}
    assert await deal.client() == "no_match"
    await deal.edit(hot=True)
    await deal.rest()
    await ends(deal, how)
    await deal.rest()
    assert await deal.outcomes() == {"measure": "done", "then": "done"}
    assert await deal.comments() == [how]
    await deal.pass_time(hours=48)
    assert await deal.comments() == [how]


async def test_when_the_time_is_out_the_chain_goes_on(product: Product) -> None:
    deal = await product.deal({"new": rules([holding(), below()])})
    (entry,) = await deal.lines("created")
    await deal.pass_time(hours=30)
    assert await deal.comments() == ["timeout"]
    assert await deal.acted_at("measure") == entry["at"] + timedelta(hours=24)
    assert (await deal.scheduled())["create_task"] == 1
    await ends(deal)
    await deal.rest()
    assert await deal.comments() == ["timeout"]


@pytest.mark.parametrize("completed", [True, False])
async def test_it_is_waited_for_over_continue_as_new(product: Product, completed: bool) -> None:
    deal = await product.deal({"new": rules([holding(), below()])}, most_events=SOON)
    await another_run(deal)
    if completed:
        await ends(deal)
    await deal.pass_time(hours=30)
    assert await deal.comments() == ["completed" if completed else "timeout"]
    assert await deal.runs() > 1


async def test_a_task_that_ends_while_its_making_is_in_flight_is_waited_for_no_longer(
    product: Product,
) -> None:
    deal = await product.deal({"new": rules([holding(after={"hours": 1}), below()])})
    due = (await deal.rest()).progress.next_due
    assert due is not None
    gate = product.gates.close(deal.handle.id, "create_task")
    await deal.forward(due)
    await gate.reached.wait()
    await ends(deal)  # the task is there, though its journey does not know yet
    await product.rung()
    gate.open.set()
    await deal.rest()
    assert await deal.comments() == ["completed"]
    assert await deal.outcomes() == {"measure": "done", "then": "done"}


async def test_what_is_completed_while_the_time_out_is_in_flight_ends_once(product: Product) -> None:
    deal = await product.deal({"new": rules([holding(), below()])})
    due = (await deal.rest()).progress.next_due
    assert due is not None
    gate = product.gates.close(deal.handle.id, "create_task")
    await deal.forward(due)
    await gate.reached.wait()
    await ends(deal)
    gate.open.set()
    await deal.rest()
    assert await deal.comments() == ["timeout"]
    assert len(await deal.lines("done", rule="measure")) == 1


@pytest.mark.parametrize(("on_exit", "then"), [("cancel", "cancelled left_stage"), ("run_now", "done")])
async def test_left_meanwhile_it_is_done_and_the_chain_follows_on_exit(
    product: Product, on_exit: str, then: str
) -> None:
    deal = await product.deal({"new": rules([holding(on_exit=on_exit), below(after={"days": 9})])})
    await deal.move("offer")
    await deal.rest()
    assert await deal.outcomes() == {"measure": "done", "then": then}
    await deal.pass_time(days=3)
    assert await deal.comments() == (["left"] if on_exit == "run_now" else [])


async def test_a_kept_step_waits_for_its_task_until_the_pipeline_changes(product: Product) -> None:
    deal = await product.deal(
        {
            "new": rules([holding(after={"hours": 1}, on_exit="keep"), below()]),
            "offer": rules([comment("hello")]),
        }
    )
    await deal.move("offer")
    await deal.pass_time(hours=2)
    assert (await deal.outcomes())["measure"] == "open"
    await deal.change_pipeline(await product.pipeline({}))
    await deal.rest()
    gone = "cancelled pipeline_changed"
    assert await deal.outcomes() == {"hello": "done", "measure": gone, "then": gone}
    await deal.pass_time(hours=30)
    assert await deal.comments() == ["hello"]


async def test_a_person_ends_the_waiting(product: Product) -> None:
    deal = await product.deal({"new": rules([holding(), below()])})
    await deal.operate("run_now", "measure")
    await deal.rest()
    assert await deal.comments() == ["person"]


async def test_a_bell_that_nobody_rang_is_rung_by_the_relay(product: Product) -> None:
    deal = await product.deal({"new": rules([holding(), below()])})
    await ends(deal, ring=False)
    await deal.rest()
    assert await deal.comments() == []
    await ring_left_over(product.database, product.environment.client, product.queue)
    await deal.rest()
    assert await deal.comments() == ["completed"]


async def test_a_rule_that_waits_for_its_condition_hears_of_a_task_nobody_holds_for(product: Product) -> None:
    task = rule("create_task", "measure", {"name": "Measure"})
    later = comment("then", "{{ steps.measure.ended }}", condition=COMPLETED, if_false="wait")
    deal = await product.deal({"new": rules([task, later])})
    assert await deal.comments() == []
    await ends(deal)
    await deal.rest()
    assert await deal.comments() == ["completed"]


async def test_a_journey_that_begins_anew_goes_on_waiting(product: Product) -> None:
    deal = await product.deal({"new": rules([holding(), below()])})
    await deal.handle.terminate("an administrator")
    await ends(deal)  # its bell starts the journey anew
    await deal.rest()
    assert await deal.comments() == ["completed"]
    assert await deal.outcomes() == {"measure": "done", "then": "done"}
