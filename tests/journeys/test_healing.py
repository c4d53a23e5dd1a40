"""A journey that cannot go on begins anew by itself, whatever became of it; it is written down and told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from sqlalchemy import text
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError

from db.healing import followed
from db.outbox import behind
from domain.journey import WORKFLOW, FactsChanged
from tests.journeys.product import PATIENCE, Deal, Product, utc_now
from tests.journeys.rules import comment, rules
from worker.healing import Healer
from worker.standing import FAILS, Trouble

Look = Callable[[], Awaitable[list[Trouble]]]


async def until(holds: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await holds():  # noqa: ASYNC110 - of others
            await asyncio.sleep(0.1)


@pytest.fixture
def healer(product: Product) -> Healer:
    return Healer(product.database, product.environment.client, product.queue)


async def deal_with_a_step(product: Product) -> Deal:
    return await product.deal({"new": rules([comment("later", after={"hours": 2})])})


async def healed(deal: Deal, healer: Healer, look: Look, reason: str) -> None:
    """The look finds it; it is journaled, counted and told, and the step acts at its time."""
    found: list[Trouble] = []

    async def is_found() -> bool:
        found[:] = [trouble for trouble in await look() if trouble.record.record_id == deal.id]
        return bool(found)

    await until(is_found)  # visibility lags behind
    assert found[0].reason == reason
    assert await healer.begin_anew(found) == 1
    assert (await deal.rest()).progress.step(1, "later").status == "armed"
    assert [line["visit_no"] for line in await deal.lines("rebuilt")] == [1]
    rows = await deal.product.rows("select reason from healing where record_id = :id", id=deal.id)
    assert [row["reason"] for row in rows] == [reason]
    told = await deal.product.rows("select body from notification where record_id = :id", id=deal.id)
    assert [row["body"].startswith("The journey of 'A roof' began anew: ") for row in told] == [True]
    await deal.pass_time(hours=3)
    assert await deal.outcomes() == {"later": "done"}


async def deleted(deal: Deal, run_id: str) -> None:
    """Somebody deletes it in the Web UI."""
    client = deal.product.environment.client
    request = DeleteWorkflowExecutionRequest(namespace=client.namespace)
    request.workflow_execution.workflow_id, request.workflow_execution.run_id = deal.handle.id, run_id
    await client.workflow_service.delete_workflow_execution(request)

    async def is_gone() -> bool:
        try:
            await client.get_workflow_handle(deal.handle.id, run_id=run_id).describe()
        except RPCError:
            return True
        return False

    await until(is_gone)


async def test_one_that_was_terminated(product: Product, healer: Healer) -> None:
    deal = await deal_with_a_step(product)
    await deal.handle.terminate("an administrator pressed the button")
    await healed(deal, healer, lambda: healer.reported(utc_now()), "ended")


async def test_one_that_completed_though_its_record_is_there(product: Product, healer: Healer) -> None:
    deal = await deal_with_a_step(product)
    await product.rows_changed("update record set deleted_at = now() where id = :id", id=deal.id)
    await deal.signal(FactsChanged(id="f", at=await deal.now(), fields=["record.score"]))
    await deal.handle.terminate("as if it had wound up")
    await deal.start(wanted=2)
    await deal.over()
    await product.rows_changed("update record set deleted_at = null where id = :id", id=deal.id)
    assert (await deal.handle.describe()).status == WorkflowExecutionStatus.COMPLETED
    await healed(deal, healer, lambda: healer.reported(utc_now()), "ended")


async def test_one_that_somebody_deleted(product: Product, healer: Healer) -> None:
    deal = await deal_with_a_step(product)
    await deleted(deal, (await deal.handle.describe()).run_id)
    await healed(deal, healer, healer.probed, "missing")


@pytest.mark.fails_tasks
async def test_one_whose_tasks_keep_failing(product: Product, healer: Healer) -> None:
    deal = await deal_with_a_step(product)
    await deal.handle.terminate("a poisoned one takes its place")
    await product.environment.client.start_workflow(
        WORKFLOW, {"record_id": deal.id, "progress": {"visit_no": "poison"}}, id=deal.handle.id,
        task_queue=product.queue,
    )  # fmt: skip

    async def fails() -> bool:
        task = (await deal.handle.describe()).raw_description.pending_workflow_task
        return task.attempt >= FAILS

    await until(fails)
    poisoned = (await deal.handle.describe()).run_id
    await healed(deal, healer, healer.probed, "tasks_fail")
    client = product.environment.client
    history = await client.get_workflow_handle(deal.handle.id, run_id=poisoned).fetch_history()
    assert history.events[-1].event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED
    await deleted(deal, poisoned)  # no run that is there may have a task that failed


async def test_one_that_is_well_is_left_alone(product: Product, healer: Healer) -> None:
    deal = await deal_with_a_step(product)
    run_id = (await deal.handle.describe()).run_id
    assert deal.id not in {trouble.record.record_id for trouble in await healer.probed()}
    assert deal.id not in {trouble.record.record_id for trouble in await healer.reported(utc_now())}
    assert (await deal.handle.describe()).run_id == run_id


async def test_one_that_knows_of_stages_the_record_has_not_been_in(product: Product, healer: Healer) -> None:
    deal = await deal_with_a_step(product)
    back = "journey_visit = 0, entered_at = entered_at - interval '2 minutes'"
    await product.rows_changed(f"update record set {back} where id = :id", id=deal.id)  # it was put back
    found = [trouble for trouble in await healer.not_opened() if trouble.record.record_id == deal.id]
    assert [trouble.reason for trouble in found] == ["not_opened"]
    assert await healer.begin_anew(found) == 1
    await deal.rest()
    (row,) = await product.rows("select journey_visit from record where id = :id", id=deal.id)
    assert row["journey_visit"] == 1


async def test_one_that_cannot_be_healed_is_not_begun_for_ever(product: Product, healer: Healer) -> None:
    deal = await deal_with_a_step(product)
    async with product.database.transaction() as tx:
        (known,) = await followed(tx, [deal.id])
    for n in range(5):
        assert await healer.begin_anew([Trouble(known, "ended", f"run {n}")]) == (1 if n < 3 else 0)
    told = await product.rows("select body from notification where record_id = :id order by id", id=deal.id)
    assert ["cannot go on" in row["body"] for row in told] == [False, False, False, True]


async def test_all_begin_anew_when_a_database_is_not_what_it_was(product: Product, healer: Healer) -> None:
    deals = [await deal_with_a_step(product) for _ in range(3)]
    for _ in range(2):
        await healer.compare_tides()
    assert await healer.go_on_with_all() == 0
    before = [(await deal.handle.describe()).run_id for deal in deals]
    async with product.database.transaction() as tx:  # as it was one look ago
        await tx.execute(text("update watch set tide = tide - 1"))
    await healer.compare_tides()
    while await healer.go_on_with_all():
        pass
    for deal, run_id in zip(deals, before, strict=True):
        assert (await deal.rest()).progress.step(1, "later").status == "armed"
        assert (await deal.handle.describe()).run_id != run_id
    (row,) = await product.rows("select reason, records, ended_at from healing where record_id is null")
    assert (row["reason"], row["ended_at"] is not None) == ("database_restored", True)
    assert row["records"] >= len(deals)
    await healer.compare_tides()
    assert await healer.go_on_with_all() == 0


async def test_it_is_rung_for_by_another_bell_each_half_minute(product: Product) -> None:
    deal = await deal_with_a_step(product)
    await product.rows_changed("update record set journey_visit = 0 where id = :id", id=deal.id)

    async def rung() -> bool:
        return not await product.rows("select 1 from outbox where record_id = :id", id=deal.id)

    await until(rung)
    at, ids = utc_now() + timedelta(minutes=1), []
    for later in (0, 0, 30):
        async with product.database.transaction() as tx:
            bells = await behind(tx, at + timedelta(seconds=later))
        ids += [bell.id for bell in bells if bell.record_id == deal.id]
    assert (ids[0] == ids[1], ids[1] == ids[2]) == (True, False)
