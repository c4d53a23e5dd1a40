"""What ends a visit or a journey, in which order, and what becomes of what was under way."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

from temporalio.client import WorkflowExecutionStatus

from db.doorbell import deliver
from db.outbox import Bell
from domain.journey import Face
from tests.journeys.product import Deal, Product, utc_now
from tests.journeys.rules import comment, control, move, rules, wait
from worker.reconciler import ring_behind

HOUR = {"after": {"hours": 1}}
FACE = Face(record_type="deal", pipeline="sales", stage="new")


# -- a hold the client ends -----------------------------------------------------------------------
async def test_a_hold_the_client_ends_while_its_opening_is_in_flight_has_ended(product: Product) -> None:
    deal = await product.deal({"new": rules([wait("patience", **HOUR), comment("then", below=True)])})
    due = (await deal.rest()).progress.next_due
    assert due is not None
    gate = product.gates.close(deal.handle.id, "wait")
    await deal.forward(due)
    await gate.reached.wait()
    assert await deal.client() == "ended_wait"  # the row is open, though its journey does not know yet
    await product.rung()
    gate.open.set()
    await deal.rest()
    assert await deal.outcomes() == {"patience": "done client", "then": "done"}
    await deal.pass_time(hours=9)
    assert await deal.comments() == ["then"]


async def test_what_acts_while_the_stage_is_left_acts_once_or_not_at_all(product: Product) -> None:
    deal = await product.deal({"new": rules([comment("it", **HOUR), comment("below", below=True)])})
    due = (await deal.rest()).progress.next_due
    assert due is not None
    gate = product.gates.close(deal.handle.id, "add_comment")
    await deal.forward(due)
    await gate.reached.wait()
    await deal.move("offer")
    await product.rung()
    gate.open.set()
    await deal.rest()
    assert await deal.comments() == ["it"]
    assert await deal.outcomes() == {"it": "done", "below": "cancelled left_stage"}


# -- transitions ----------------------------------------------------------------------------------
async def test_of_all_that_is_due_transitions_act_last_and_the_first_of_them_wins(product: Product) -> None:
    listed = [
        move("first", "offer", **HOUR),
        comment("a", **HOUR),
        move("second", "deal", **HOUR),
        comment("b", **HOUR),
        comment("c", after={"hours": 2}),
    ]
    deal = await product.deal({"new": rules(listed), "offer": rules([comment("thanks")])})
    await deal.pass_time(hours=3)
    assert await deal.comments() == ["a", "b", "thanks"]
    assert await deal.outcomes() == {
        "a": "done", "b": "done", "first": "done", "second": "superseded", "c": "cancelled left_stage",
        "thanks": "done",
    }  # fmt: skip


async def test_a_wait_whose_time_is_out_moves_at_its_place_in_the_list(product: Product) -> None:
    out = {"on_timeout": {"move_to": "deal"}}
    listed = [
        wait("patience", {"hours": 1}, ends=out),
        comment("then", below=True),
        move("later", "offer", **HOUR),
    ]
    deal = await product.deal({"new": rules(listed)})
    await deal.pass_time(hours=2)
    assert await deal.outcomes() == {
        "patience": "done time", "later": "superseded", "then": "cancelled left_stage",
    }  # fmt: skip
    (record,) = await product.rows("select stage_id from record where id = :id", id=deal.id)
    assert record["stage_id"] == "deal"


# -- pipeline change, deletion --------------------------------------------------------------------
async def test_a_pipeline_change_ends_every_step_of_the_record_kept_ones_too(product: Product) -> None:
    deal = await product.deal(
        {
            "new": rules([comment("kept", after={"days": 1}, on_exit="keep")]),
            "offer": rules(
                [
                    comment("later", **HOUR, on_exit="run_now"),
                    wait("patience"),
                    control("watch", {"hours": 1}),
                ]
            ),
        }
    )
    await deal.move("offer")
    await deal.rest()
    await deal.change_pipeline(await product.pipeline({"new": rules([comment("hello")])}))
    await deal.pass_time(days=2)
    assert await deal.outcomes() == dict.fromkeys(
        ("kept", "later", "patience", "watch"), "cancelled pipeline_changed"
    ) | {"hello": "done"}
    assert await deal.comments() == ["hello"]


async def test_deletion_completes_the_workflow_and_restoring_starts_a_new_run(product: Product) -> None:
    listed = [comment("hello"), comment("kept", after={"days": 1}, on_exit="keep"), wait("patience")]
    deal = await product.deal({"offer": rules(listed)}, stage="offer")
    first = (await deal.handle.describe()).run_id
    await deal.delete()
    await deal.over()
    assert (await deal.handle.describe()).status == WorkflowExecutionStatus.COMPLETED
    ended = {"hello": "done", "kept": "cancelled record_deleted", "patience": "cancelled record_deleted"}
    assert await deal.outcomes() == ended
    await deal.restore()
    await deal.rest()
    again = await deal.handle.describe()
    assert again.run_id != first
    assert again.status == WorkflowExecutionStatus.RUNNING
    assert await deal.comments() == ["hello", "hello"]
    (record,) = await product.rows("select visit_no, stage_id from record where id = :id", id=deal.id)
    assert record["stage_id"] == "offer"
    assert await deal.outcomes(record["visit_no"]) == {"hello": "done", "patience": "open"}
    await deal.pass_time(days=2)
    assert await deal.comments() == ["hello", "hello", "kept"]


# -- terminated by an administrator -----------------------------------------------------------------
async def terminated(deal: Deal) -> None:
    await deal.handle.terminate("an administrator pressed the button")


async def test_a_terminated_journey_is_taken_up_and_does_nothing_twice(product: Product) -> None:
    told = {
        "recipients": ["employee:hugo"],
        "escalate": [{"after": {"hours": 3}, "recipients": ["employee:eve"]}],
    }
    listed = [
        comment("hello"),
        comment("below", below=True),
        comment("later", after={"days": 1}),
        wait("patience", {"hours": 20}),
        comment("then", below=True),
        control("watch", {"hours": 1}, params=told),
    ]
    deal = await product.deal({"new": rules(listed)})
    (entry,) = await deal.lines("created")
    await deal.pass_time(hours=2)
    await terminated(deal)
    bell = Bell(uuid4(), deal.id, "entered", {"visit_no": 1}, 1, FACE)
    await deliver(product.environment.client, bell, product.queue)
    await deal.rest()
    assert await deal.comments() == ["hello", "below"]
    await deal.reach(entry["at"] + timedelta(days=2))
    assert await deal.comments() == ["hello", "below", "then", "later"]
    assert await deal.acted_at("later") == entry["at"] + timedelta(days=1)
    assert await deal.acted_at("patience") == entry["at"] + timedelta(hours=20)
    rows = await product.rows(
        "select employee_id, at from notification where record_id = :id order by id", id=deal.id
    )
    assert [(row["employee_id"], row["at"] - entry["at"]) for row in rows] == [
        ("hugo", timedelta(hours=1)), ("eve", timedelta(hours=4)),
    ]  # fmt: skip


async def test_a_terminated_journey_that_is_behind_is_taken_up_by_the_reconciler(product: Product) -> None:
    kept = comment("kept", after={"days": 1}, on_exit="keep")
    deal = await product.deal({"new": rules([comment("hello"), kept]), "offer": rules([comment("thanks")])})
    await terminated(deal)
    await deal.move("offer", ring=False)
    await product.rows_changed("delete from outbox where record_id = :id", id=deal.id)
    client = product.environment.client
    round_ = await ring_behind(product.database, client, product.queue, utc_now() + timedelta(days=1))
    assert round_.rung
    await deal.rest()
    assert await deal.comments() == ["hello", "thanks"]
    await deal.pass_time(days=2)
    assert await deal.comments() == ["hello", "thanks", "kept"]
    assert await deal.outcomes() == {"hello": "done", "thanks": "done", "kept": "done"}
