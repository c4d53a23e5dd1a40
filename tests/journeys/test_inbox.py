"""What was heard and not yet seen to goes on into the next run, with who waits for an answer."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from db.temporal import PayloadConverter
from domain.events import Outcome
from domain.heard import (
    ActEnded,
    ClientActivity,
    EndedHold,
    FactsChanged,
    Heard,
    HoldsEnded,
    Move,
    Operation,
    PlannedStep,
)
from domain.journey import JourneyState
from domain.schedule import Due
from tests.journeys.product import Deal, Product
from tests.journeys.rules import comment, rules, wait

AT = datetime(2026, 3, 2, 12, tzinfo=UTC)
SOON = 25  # events of a run
DONE = Outcome(result="done", at=AT, changed=["record.x"])
EVERY = [
    Heard(fired=AT),
    Heard(ended=ActEnded(visit_no=1, rule="r", n=2, outcome=DONE)),
    Heard(planned=PlannedStep(visit_no=1, rule="r", due=Due(at=AT), at=AT)),
    Heard(activity=ClientActivity(id="a", type="call")),
    Heard(facts=FactsChanged(id="f", at=AT, fields=["record.score"])),
    Heard(holds=HoldsEnded(id="h", ends=[EndedHold(visit_no=1, rule="r", result="done", reason="", at=AT)])),
    Heard(move=Move(id="m", stage="offer")),
    Heard(asked=Operation(id="o", verb="skip", who="eve")),
]


@pytest.mark.parametrize("heard", EVERY, ids=lambda heard: heard.kind)
def test_everything_that_is_heard_goes_into_the_next_run_as_it_is(heard: Heard) -> None:
    state = JourneyState(record_id=1, inbox=[heard])
    (carried,) = PayloadConverter().from_payloads(PayloadConverter().to_payloads([state]), [JourneyState])
    assert carried == state


def test_there_is_an_example_of_everything_that_is_heard() -> None:
    assert [heard.kind for heard in EVERY] == list(Heard.model_fields)


async def crowded(product: Product, stages: dict[str, Any], *, most_events: int = SOON) -> tuple[Deal, Any]:
    """A deal whose journey is held up by a change of facts, and what holds it up."""
    deal = await product.deal(stages, most_events=most_events)
    held = product.gates.close(deal.handle.id, "replan")
    await deal.signal(FactsChanged(id=uuid4().hex, at=await deal.now(), fields=["record.score"]))
    await held.reached.wait()
    return deal, held


async def test_a_run_ends_while_much_is_yet_to_be_seen_to(product: Product) -> None:
    waits = wait("patience", {"days": 9}, ends={"ends_on": ["form"]})
    deal, held = await crowded(product, {"new": rules([waits, comment("then", below=True)])})
    acts = [ClientActivity(id=uuid4().hex, type="call") for _ in range(60)]
    await asyncio.gather(*(deal.signal(act) for act in acts))
    await deal.signal(ClientActivity(id=uuid4().hex, type="form"))
    held.open.set()
    await deal.rest()
    recorded = await product.rows("select external_id from client_activity where record_id = :id", id=deal.id)
    assert {act.id for act in acts} < {row["external_id"] for row in recorded}
    assert len(recorded) == len(acts) + 1
    assert await deal.outcomes() == {"patience": "done client", "then": "done"}
    histories = await deal.histories()
    assert len(histories) > 3
    # the first run heard it all; those after it were short
    assert max(len(history.events) for history in histories[1:]) < len(histories[0].events)


async def test_in_a_crowd_what_is_of_a_kind_is_seen_to_together(product: Product) -> None:
    later = comment("later", after={"days": 1})
    deal, held = await crowded(product, {"new": rules([later])}, most_events=2000)
    acts = [ClientActivity(id=uuid4().hex, type="call") for _ in range(150)]
    facts = [FactsChanged(id=uuid4().hex, at=await deal.now(), fields=["record.score"]) for _ in range(150)]
    for pair in zip(acts, facts, strict=True):
        await asyncio.gather(*map(deal.signal, pair))
    held.open.set()
    await deal.rest()
    recorded = await product.rows("select external_id from client_activity where record_id = :id", id=deal.id)
    assert {row["external_id"] for row in recorded} == {act.id for act in acts}
    scheduled = await deal.scheduled()
    assert scheduled["record_client_activity"] + scheduled["replan"] < 150


async def test_an_operator_is_answered_by_the_run_after_the_one_that_was_asked(product: Product) -> None:
    deal, held = await crowded(product, {"new": rules([comment("later", after={"days": 1})])})
    await asyncio.gather(
        *(deal.signal(ClientActivity(id=uuid4().hex, type="call")) for _ in range(4 * SOON + 20))
    )
    asked = asyncio.create_task(deal.operate("run_now", "later"))
    await asyncio.sleep(0)
    before = await deal.runs()
    held.open.set()
    await asked
    await deal.rest()
    assert await deal.comments() == ["later"]
    assert len(await deal.lines("run_now")) == 1
    assert await deal.runs() > before


async def test_what_hangs_does_not_keep_a_run_from_ending(product: Product) -> None:
    """The act is begun anew by the next run, and is done once."""
    listed = [comment("slow", after={"hours": 1}), comment("later", after={"days": 1})]
    deal = await product.deal({"new": rules(listed)}, most_events=SOON)
    held = product.gates.close(deal.handle.id, "add_comment")
    due = (await deal.state()).progress.next_due
    assert due
    await deal.forward(due + timedelta(seconds=1))
    await held.reached.wait()
    runs = await deal.runs()
    for _ in range(20):
        await asyncio.gather(*(deal.signal(ClientActivity(id=uuid4().hex, type="call")) for _ in range(10)))
    while await deal.runs() == runs:
        await deal.forward(await deal.now() + timedelta(seconds=11))
        await deal.signal(ClientActivity(id=uuid4().hex, type="call"))
    held.open.set()
    await deal.rest()
    assert await deal.comments() == ["slow"]
    assert (await deal.outcomes())["slow"] == "done"
