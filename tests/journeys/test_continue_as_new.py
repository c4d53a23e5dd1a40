"""A journey is one workflow from creation to deletion, over as many runs as it takes."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import uuid4

from domain.journey import ClientActivity, Entered, FactsChanged, Move, Operation
from tests.journeys.product import Deal, Product
from tests.journeys.rules import comment, control, move, rules, wait

SOON = 25  # events of a run: few enough that every test below sees several runs


async def another_run(deal: Deal) -> None:
    """Make the journey continue as new."""
    before = await deal.runs()
    while await deal.runs() == before:
        await deal.signal(FactsChanged(id=uuid4().hex, at=await deal.now(), fields=["record.score"]))
        await deal.rest()


async def test_what_is_pending_acts_at_its_due_time_in_a_later_run(product: Product) -> None:
    hours = range(1, 9)
    deal = await product.deal(
        {
            "new": rules(
                [
                    *(comment(f"h{h}", after={"hours": h}) for h in hours),
                    wait("patience", {"hours": 5}),
                    comment("then", after={"hours": 1}, below=True),
                    control("watch", {"hours": 2}),
                ]
            )
        },
        most_events=SOON,
    )
    (entry,) = await deal.lines("created")
    await another_run(deal)
    await deal.pass_time(hours=12)
    assert await deal.comments() == ["h1", "h2", "h3", "h4", "h5", "h6", "then", "h7", "h8"]
    for hour in hours:
        assert await deal.acted_at(f"h{hour}") == entry["at"] + timedelta(hours=hour)
    assert await deal.acted_at("patience") == entry["at"] + timedelta(hours=5)
    assert await deal.acted_at("then") == entry["at"] + timedelta(hours=6)
    assert [line["at"] for line in await deal.lines("late")] == [entry["at"] + timedelta(hours=2)]
    assert await deal.runs() > 2


async def test_of_a_burst_of_signals_each_arrives_once(product: Product) -> None:
    kinds = [f"form{n}" for n in range(40)]  # what the API records, each ends a wait of its own
    waits = [wait(f"until-{kind}", {"days": 9}, ends={"ends_on": [kind]}) for kind in kinds]
    deal = await product.deal(
        {"new": rules([*waits, comment("later", after={"hours": 6})])}, most_events=SOON
    )
    at = await deal.now()
    acts = [ClientActivity(id=uuid4().hex, type="call") for _ in range(20)]
    facts = [FactsChanged(id=uuid4().hex, at=at, fields=["record.score"]) for _ in range(20)]
    again = [Entered(id=uuid4().hex, visit_no=1) for _ in range(120)]
    burst = [*(deal.client(kind) for kind in kinds), *map(deal.signal, [*acts, *facts, *again])]
    assert len(burst) == 200
    for first in range(10):  # some of each at a time, while the journey continues as new
        await asyncio.gather(*burst[first::10])
    await deal.rest()
    scheduled = await deal.scheduled()
    assert (scheduled["record_client_activity"], scheduled["replan"]) == (len(acts), len(facts))
    recorded = await product.rows(
        "select external_id, type from client_activity where record_id = :id", id=deal.id
    )
    assert {row["external_id"] for row in recorded if row["type"] == "call"} == {act.id for act in acts}
    assert await deal.outcomes() == {f"until-{kind}": "done client" for kind in kinds}
    assert [step.rule for step in (await deal.state()).progress.visits[0].steps if not step.over] == ["later"]
    await deal.pass_time(hours=7)
    assert await deal.comments() == ["later"]
    assert await deal.runs() > 1


async def test_the_same_request_before_and_after_is_one_act(product: Product) -> None:
    deal = await product.deal(
        {
            "new": rules([comment("hello")]),
            "offer": rules([comment("thanks"), comment("later", after={"days": 1})]),
        },
        most_events=SOON,
    )
    ask = Move(id=uuid4().hex, stage="offer", by="eve")
    await deal.signal(ask)
    await deal.rest()
    skip = Operation(id=uuid4().hex, verb="skip", who="eve", rule="later")
    await deal.signal(skip)
    await deal.rest()
    await another_run(deal)
    await deal.move("new")
    await deal.rest()
    await deal.signal(ask)
    await deal.signal(skip)
    await deal.rest()
    assert (await deal.state()).progress.visit_no == 3
    assert await deal.comments() == ["hello", "thanks", "hello"]
    assert len(await deal.lines("skip")) == 1


async def test_what_an_operator_asks_meanwhile_is_done_once(product: Product) -> None:
    names = [f"r{n}" for n in range(10)]
    listed = [comment(name, after={"days": 1}) for name in names]
    deal = await product.deal({"new": rules(listed)}, most_events=SOON)
    await asyncio.gather(*(deal.operate("run_now", name) for name in names))
    await deal.rest()
    assert sorted(await deal.comments()) == sorted(names)
    assert len(await deal.lines("run_now")) == len(names)
    assert await deal.runs() > 1


async def test_a_new_stage_begins_a_new_run_with_all_that_is_kept(product: Product) -> None:
    kept = comment("kept", after={"days": 2}, on_exit="keep")
    deal = await product.deal(
        {"new": rules([kept, move("on", "offer", after={"hours": 1})])}, most_events=SOON
    )
    (entry,) = await deal.lines("created")
    await deal.pass_time(hours=2)
    await another_run(deal)
    await deal.pass_time(days=3)
    assert await deal.outcomes() == {"on": "done", "kept": "done"}
    assert await deal.acted_at("kept") == entry["at"] + timedelta(days=2)
