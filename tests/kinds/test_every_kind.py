"""Every kind's example runs as a worker runs it: once, not twice, and not at all when the stage was left."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlmodel import SQLModel
from temporalio.testing import ActivityEnvironment

from activities.catalogue import describe_kinds
from activities.documents import documents_of
from activities.house import House
from activities.providers.console import ConsoleMail
from activities.runner import Run, Runner
from activities.steps import act
from activities.work import Activities
from db.doorbell import Doorbell
from db.locked import Locked
from db.records import By, move
from db.settings import Settings
from domain.events import Outcome
from domain.journey import RuleRun
from tests import builders
from tests.builders import NOON
from tests.kinds.conftest import Desk
from tests.stories.conftest import away

KINDS = {kind.kind: kind for kind in describe_kinds()}
CATALOGUE = frozenset({
    "add_comment", "add_to_exceptions", "book_resource", "cancel_booking", "change_pipeline",
    "change_responsible", "change_stage", "change_status", "control", "copy_deal", "create_contact",
    "create_document", "create_from_source", "create_repeat_lead", "create_task", "create_todo",
    "delete_record", "edit_company", "edit_contact", "edit_record", "generate_code", "notify",
    "post_to_feed", "schedule_meeting", "send_email", "send_sms", "wait", "write_to_history",
})  # fmt: skip
"""The kinds that must be there; an installation may have more."""
TEMPLATE = b'#let data = json(bytes(sys.inputs.at("data", default: "{}")))\nAn offer.\n'
SAYS_SO = {"journal", "ledger", "notification"}
"""What may tell of a step that did not act."""


class Work:
    """The activities of a worker, run one by one on a record that has all that the examples ask for."""

    def __init__(self, desk: Desk, home: Path) -> None:
        settings = Settings(home=home, api_key=SecretStr("key"))
        doorbell = Doorbell(desk.database, away, "jalon")
        self.desk, self.documents = desk, documents_of(settings)
        acts = Activities(desk.database, doorbell, ConsoleMail(), settings, documents=self.documents)
        self.activities = {name(run): run for run in (*acts.database_queue(), *acts.io_queue())}
        self.environment = ActivityEnvironment()
        self.environment.info = dataclasses.replace(
            self.environment.info, scheduled_time=NOON, current_attempt_scheduled_time=NOON
        )

    async def record(self, kind: str, *below: dict[str, Any]) -> int:
        """A record in a stage whose first rule is the kind's example, by default its only one."""
        shown, desk = KINDS[kind], self.desk
        of, (pipeline, stage) = ("deal", ("sales", "new")) if "deal" in shown.record_types else (
            "lead", ("leads", "fresh")
        )  # fmt: skip
        await desk.run(
            "update employee set phone = '+4915112345678'", lambda tx: builders.resource(tx, "van"),
            lambda tx: builders.number_series(tx, "offers", "O-{number:04}"),
        )  # fmt: skip
        digest = await self.documents.blobs.put(TEMPLATE)
        await desk.run(lambda tx: builders.document_template(tx, "offer", digest))
        rule = {"id": "example", "kind": kind, "params": shown.example}
        await desk.run(lambda tx: builders.rule_set(tx, {stage: [rule, *below]}, pipeline=pipeline))
        async with desk.database.transaction() as tx:
            company = await builders.client_company(tx, address="Rue 1", emails=["firm@client.example"])
            contact = await builders.contact(tx, phones=["+4915187654321"], company_id=company)
            if of == "lead":
                addresses = {"email": ["new@client.example"], "phone": ["+4915199999999"]}
                return await builders.lead(tx, pipeline=pipeline, fields=addresses | {"reference": "1"})
            deal = await builders.deal(
                tx, pipeline=pipeline, contact=contact, company=company, amount="1000",
                fields={"email": ["own@client.example"], "reference": "1"},
            )  # fmt: skip
        line = "insert into product_line (record_id, position, name, quantity, unit_price)"
        await desk.run(f"{line} values ({deal}, 1, 'Tiles', 10, 100)")
        return deal

    async def run(self, record: int, kind: str) -> Outcome:
        asked = RuleRun(record_id=record, visit_no=1, rule="example", turn=NOON, due=NOON)
        outcome = await self.environment.run(self.activities[kind], asked)
        assert isinstance(outcome, Outcome)
        return outcome

    async def rows(self) -> dict[str, tuple[int, str]]:
        """Of each table how many rows it has, and what they come to."""
        found = {}
        for table in SQLModel.metadata.tables:
            rows = sorted(repr(row) for row in await self.desk.rows(table))
            found[table] = (len(rows), sha256("\n".join(rows).encode()).hexdigest())
        return found


def name(run: Callable[..., Any]) -> str:
    return str(run.__temporal_activity_definition.name)  # type: ignore[attr-defined]  # the SDK's own mark


async def untrue(work: Work, record: int) -> dict[str, tuple[Any, Any]]:
    """What of the record is not in memory as it is in the database, after its rule has acted."""
    desk, house = work.desk, House(documents=work.documents)
    async with desk.database.transaction() as tx:
        locked = await Locked.take(tx, desk.book, record, 1)
        assert locked is not None
        runner = Runner(locked, house, desk.ids, NOON)
        outcome = await act(runner, Run(1, "example", 0, NOON, NOON))
        assert outcome.result in ("done", "open")
        await runner.flush()
        read = await Locked.take(tx, desk.book, record, 1)
        assert read is not None
        ours, theirs = known(locked), known(read)
    return {what: (ours[what], theirs[what]) for what in theirs if ours[what] != theirs[what]}


def known(locked: Locked) -> dict[str, Any]:
    """Everything that is known of a record under its lock, in a form that can be compared."""
    near = locked.around.model_dump(exclude={"record", "visits", "ledger", "holds"})
    rows = {"record": locked.record, **{f"visit {visit.visit_no}": visit for visit in locked.visits}}
    rows |= {f"ledger {key}": row for key, row in locked.ledger.items() if row.outcome}
    rows |= {f"hold {key}": row for key, row in locked.holds.items()}
    return near | {name: row.model_dump() for name, row in rows.items()}


@pytest.fixture
def work(desk: Desk, tmp_path: Path) -> Work:
    return Work(desk, tmp_path)


def test_there_are_the_28_kinds_of_the_catalogue() -> None:
    assert len(CATALOGUE) == 28
    assert set(KINDS) >= CATALOGUE


@pytest.mark.parametrize("kind", sorted(KINDS))
async def test_its_example_runs_and_a_second_time_changes_nothing(work: Work, kind: str) -> None:
    record = await work.record(kind)
    outcome = await work.run(record, kind)
    failures = await work.desk.rows("ledger", "outcome = 'failed'")
    assert outcome.result in ("done", "open"), failures
    before = await work.rows()
    assert await work.run(record, kind) == outcome
    assert await work.rows() == before


@pytest.mark.parametrize("kind", sorted(kind for kind in KINDS if kind not in ("send_email", "send_sms")))
async def test_after_it_the_record_in_memory_is_the_one_in_the_database(work: Work, kind: str) -> None:
    """Whatever acts next in the transaction decides by what is in memory."""
    record = await work.record(kind)
    assert await untrue(work, record) == {}


@pytest.mark.parametrize("kind", sorted(KINDS))
async def test_when_the_stage_was_left_it_leaves_no_trace_but_that_it_is_stale(work: Work, kind: str) -> None:
    record = await work.record(kind)
    async with work.desk.locked(record) as locked:
        await move(locked, "offer" if locked.has_stage("offer") else "working", By("eve", NOON))
    before = await work.rows()
    outcome = await work.run(record, kind)
    assert (outcome.result, outcome.reason) == ("stale", "outrun")
    after = await work.rows()
    assert {table for table in after if after[table] != before[table]} <= SAYS_SO
