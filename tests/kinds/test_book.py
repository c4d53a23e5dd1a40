"""What the machine decides by itself stands in ledger and journal, once; failures are told to the owner."""

from sqlalchemy import text

from db.engine import Database
from db.journal import book
from domain.events import Decision
from tests import builders
from tests.builders import NOON

FAILED = Decision(visit_no=1, rule="call", result="failed", reason="if_past", at=NOON)
SKIPPED = Decision(visit_no=1, rule="mail", result="skipped", reason="run_if_previous", at=NOON)


async def test_a_decision_is_written_once_and_a_failure_is_told_to_the_owner(database: Database) -> None:
    async with database.transaction() as tx:
        await builders.company(tx)
        rule = {"kind": "add_comment", "params": {"text": "x"}}
        await builders.rule_set(tx, {"new": [{"id": "call"} | rule, {"id": "mail"} | rule]}, owner="eve")
        record_id = await builders.deal(tx, title="Stairs")
    for _ in range(2):
        async with database.transaction() as tx:
            await book(tx, record_id, [FAILED, SKIPPED])
    async with database.transaction() as tx:
        asked = "select rule, event, reason from journal where rule <> '' order by rule"
        assert [tuple(row) for row in await tx.execute(text(asked))] == [
            ("call", "failed", "if_past"),
            ("mail", "skipped", "run_if_previous"),
        ]
        ledger = await tx.execute(text("select rule, outcome from ledger order by rule"))
        assert [tuple(row) for row in ledger] == [("call", "failed"), ("mail", "skipped")]
        told = await tx.execute(text("select employee_id, rule, body from notification"))
        assert [tuple(row) for row in told] == [
            ("eve", "call", "Rule 'call' of 'Stairs' failed: its time had passed")
        ]


async def test_what_has_an_outcome_keeps_it(database: Database) -> None:
    async with database.transaction() as tx:
        await builders.company(tx)
        record_id = await builders.deal(tx)
        await book(tx, record_id, [SKIPPED])
        await book(tx, record_id, [SKIPPED.model_copy(update={"result": "cancelled"})])
        found = await tx.execute(text("select outcome from ledger"))
        assert [row.outcome for row in found] == ["skipped"]
