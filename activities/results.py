"""Results of rules as fields: a condition that reads one is judged again when it comes or changes."""

from __future__ import annotations

from collections.abc import Iterable

from db.locked import Locked


async def waited_for(locked: Locked, visit_no: int, *rules: str) -> list[str]:
    """The results of these rules, by full reference, that something of their visit may wait for."""
    rows = ((rule, locked.stored(visit_no, rule, 0)) for rule in rules)
    results = [f"steps.{rule}.{name}" for rule, row in rows if row for name in row.results]
    return await read_of(locked, visit_no, results)


async def read_of(locked: Locked, visit_no: int, references: Iterable[str]) -> list[str]:
    """Those of the references that pending steps and open holds of the visit may follow."""
    visit = locked.visit(visit_no)
    if visit is None:
        return []
    read = (await locked.rules(visit_no)).reads(visit.stage_id)
    return [reference for reference in references if reference in read]
