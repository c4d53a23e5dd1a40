"""The pipeline of the bench: for every case two stages of one shape, so that a record goes to and fro."""

from __future__ import annotations

from typing import Any

from db.engine import Transaction
from tests import builders

TEXT = "Offer for {{ record.title }} sent to {{ contact.first_name }}"
HOW_MANY = {"none": 0, "one": 1, "ten": 10, "late": 1}
WAITS = {"kind": "wait", "params": {"until": {"after": {"days": 30}}}}


def rules(case: str, side: str) -> list[dict[str, Any]]:
    """The rules of one stage."""
    later = {"schedule": {"after": {"minutes": 1}}} if case == "late" else {}
    return [
        {"id": f"{case}-{side}-{i}", "kind": "add_comment", "params": {"text": TEXT}} | later
        for i in range(HOW_MANY[case])
    ]


async def found(tx: Transaction) -> int:
    """Make the company with its rules; the id of a contact."""
    await builders.company(tx)
    stages = {f"{case}-{side}": "process" for case in HOW_MANY for side in "ab"}
    await builders.pipeline(tx, "bench", stages | {"idle": "process", "won": "success", "lost": "failure"})
    listed = {f"{case}-{side}": rules(case, side) for case in HOW_MANY for side in "ab"}
    listed |= {"idle": [{"id": "patience"} | WAITS]}
    await builders.rule_set(tx, listed, pipeline="bench")
    return await builders.contact(tx)
