"""Every step of a record that is deleted has its line in the journal, whatever it was doing."""

from __future__ import annotations

from temporalio.client import WorkflowExecutionStatus

from tests.journeys.post import BUSY
from tests.journeys.product import Deal, Product
from tests.journeys.rules import comment, control, move, rule, rules, wait

HOUR = {"after": {"hours": 1}}
GONE = "cancelled record_deleted"
LETTER = {"to": [BUSY], "subject": "news", "text": "there is news"}


async def completed(deal: Deal) -> None:
    await deal.over()
    assert (await deal.handle.describe()).status == WorkflowExecutionStatus.COMPLETED


async def test_a_rule_that_deletes_the_record_as_its_stage_is_entered_leaves_nothing_without_a_line(
    product: Product,
) -> None:
    listed = [
        comment("first"),
        rule("delete_record", "delete", {}),
        comment("below", below=True),
        comment("later", **HOUR),
        wait("patience"),
        control("watch", {"hours": 1}),
        move("on", "deal"),
    ]
    deal = await product.deal(
        {"new": rules([comment("kept", on_exit="keep", **HOUR)]), "offer": rules(listed)}
    )
    await deal.move("offer")
    await completed(deal)
    assert await deal.outcomes() == {"first": "done", "delete": "done", "on": "superseded"} | dict.fromkeys(
        ("kept", "below", "later", "patience", "watch"), GONE
    )


async def test_a_rule_that_deletes_the_record_at_its_creation_does_so_too(product: Product) -> None:
    listed = [rule("delete_record", "delete", {}), comment("below", below=True), comment("later", **HOUR)]
    record_id, bell = await product.made(await product.pipeline({"new": rules(listed)}))
    deal = Deal(product, record_id)
    product.doorbell.ring(bell)
    await product.rung()
    await completed(deal)
    assert await deal.outcomes() == {"delete": "done", "below": GONE, "later": GONE}


async def test_a_rule_that_deletes_the_record_later_does_so_too(product: Product) -> None:
    listed = [rule("delete_record", "delete", {}, **HOUR), comment("below", below=True), wait("patience")]
    deal = await product.deal({"new": rules(listed)})
    await deal.pass_time(hours=2)
    await completed(deal)
    assert await deal.outcomes() == {"delete": "done", "below": GONE, "patience": GONE}


async def test_a_send_in_back_off_ends_with_the_record(product: Product) -> None:
    listed = [rule("send_email", "mail", LETTER), comment("below", below=True)]
    deal = await product.deal({"new": rules(listed)})
    await deal.delete()
    await completed(deal)
    assert await deal.outcomes() == {"mail": GONE, "below": GONE}


async def test_a_send_whose_refusal_is_on_its_way_ends_with_the_record(product: Product) -> None:
    listed = [rule("send_email", "mail", LETTER, **HOUR), comment("below", below=True)]
    deal = await product.deal({"new": rules(listed)})
    await deal.while_in_flight("send_email", deal.delete)
    await completed(deal)
    assert await deal.outcomes() == {"mail": GONE, "below": GONE}


async def test_a_kept_send_whose_refusal_is_on_its_way_ends_with_the_pipeline(product: Product) -> None:
    listed = [rule("send_email", "mail", LETTER, on_exit="keep", **HOUR)]
    deal = await product.deal({"new": rules(listed)})
    await deal.move("offer")
    other = await product.pipeline({})
    await deal.while_in_flight("send_email", lambda: deal.change_pipeline(other))
    await deal.rest()
    assert await deal.outcomes() == {"mail": "cancelled pipeline_changed"}
