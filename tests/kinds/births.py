"""Products for the records of tests, and rules that are published and run as a worker runs them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from activities.house import House
from activities.runner import Run, Runner
from activities.sales import line_rows
from activities.steps import act
from db.locked import Locked
from db.outbox import Bell
from db.rows import write
from domain.amounts import Line
from domain.events import Outcome
from tests import builders
from tests.builders import NOON
from tests.kinds.conftest import Desk

ROOF = [
    Line(sku="T-1", name="Tiles", quantity=Decimal(120), unit_price=Decimal("2.5"), tax_rate=Decimal(19)),
    Line(
        name="Work",
        quantity=Decimal("7.5"),
        unit_price=Decimal(80),
        discount=Decimal(10),
        tax_rate=Decimal(19),
    ),
]
"""840.00 before tax, 999.60 with it."""


async def give(desk: Desk, record: int, *lines: Line) -> None:
    """Put lines on a record that has none."""
    async with desk.database.transaction() as tx:
        await write(tx, [line_rows(record, lines)])


async def publish(desk: Desk, kind: str, pipeline: str = "sales", /, **params: Any) -> None:
    """Publish one rule, `the-rule`, in the first stage of a pipeline."""
    rule = {"id": "the-rule", "kind": kind, "params": params}
    first = next(iter(builders.SALES if pipeline == "sales" else builders.STATUSES))
    await desk.run(lambda tx: builders.rule_set(tx, {first: [rule]}, pipeline=pipeline))


async def runs(desk: Desk, record: int) -> tuple[Outcome, list[Bell]]:
    """Run the rule on the record's first visit, as an activity does; answers the bells that are to ring."""
    async with desk.database.transaction() as tx:
        locked = await Locked.take(tx, desk.book, record, since=1)
        assert locked is not None
        runner = Runner(locked, House(), desk.ids, NOON)
        outcome = await act(runner, Run(1, "the-rule", turn=NOON, due=NOON))
        await runner.flush()
    return outcome, runner.bells
