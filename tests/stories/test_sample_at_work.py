"""The sample company at work: on the whole stack, under virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from temporalio.testing import WorkflowEnvironment

from activities.catalogue import describe_kinds
from activities.documents import blobs_of
from cli.sample.loading import PIPELINES, load, rules_of
from db.engine import Database
from db.settings import Settings
from tests.stack import Case
from tests.stories.conftest import Stored
from worker.relay import ring_left_over
from worker.running import running


class Relay:
    """The door through which the journeys hear of the load; the rest they tell each other."""

    def __init__(self, database: Database) -> None:
        self._stored = Stored(database)

    async def create(self, record: dict[str, Any]) -> int:
        raise NotImplementedError

    async def tell(self, record_id: int, event: dict[str, Any]) -> int:
        raise NotImplementedError

    async def rung(self) -> None:
        while await self._stored("select id from outbox"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


class Company:
    """The journeys of all records of the sample."""

    def __init__(self, at: datetime, cases: list[Case], stored: Stored) -> None:
        self.at, self.cases, self.stored = at, cases, stored

    async def after(self, period: timedelta) -> None:
        """Let everybody's time run on until so long after the load."""
        async with asyncio.timeout(240):
            await asyncio.gather(*(case.reach(self.at + period) for case in self.cases))


@pytest.fixture
async def company(
    database: Database, database_url: str, stored: Stored, temporal: WorkflowEnvironment, tmp_path: Path
) -> AsyncIterator[Company]:
    """The sample, just loaded, with a worker of the product."""
    # ids that no other test has given a journey
    await stored(f"select setval(pg_get_serial_sequence('record', 'id'), {uuid4().int % 2**40})")
    settings = Settings(task_queue=f"sample-{uuid4().hex}", home=tmp_path)
    at = datetime.now(UTC)
    assert await load(database_url, at, blobs_of(settings))
    async with running(temporal.client, database, settings):
        await ring_left_over(database, temporal.client, settings.task_queue)
        cases = []
        for row in await stored("select id, record_type from record order by id"):
            case = Case(temporal, Relay(database), {"record": {"type": row["record_type"]}})
            case.record_id = row["id"]
            cases.append(case)
        yield Company(at, cases, stored)


async def test_within_a_minute_rules_waits_and_deadlines_move_it(company: Company) -> None:
    await company.after(timedelta(seconds=60))
    moved = await company.stored("""
        select record_id, min(cause) as cause from visit join record on record.id = record_id
        where automatic and record_type = 'deal' group by record_id
    """)
    assert len(moved) >= 3
    assert await company.stored("""
        select record_id from visit join record on record.id = record_id
        where cause = 'pipeline_changed' and record.pipeline_id = 'delivery'
    """)
    assert await company.stored("select rule from hold where kind = 'wait' and reason = 'time'")
    assert await company.stored("""
        select hold.rule from hold join record on record.id = record_id
        where kind = 'control' and hold.state = 'late' and record.late
    """)
    assert await company.stored("select rule from ledger where outcome in ('failed', 'unknown')") == []


async def test_after_a_few_minutes_it_rests_and_waits_for_days(company: Company) -> None:
    await company.after(timedelta(minutes=5))
    (deleted,) = await company.stored("select title from record where deleted_at is not null")
    assert "CASINO" in deleted["title"]
    assert await company.stored("select id from record where suspended is not null") == []
    assert await company.stored("select rule from ledger where outcome in ('failed', 'unknown')") == []
    # whoever is to be told of lateness is told in working time, which may begin in this very hour
    last = "select max(id) as last from journal where event not in ('told_late', 'not_told')"
    before = await company.stored(last)
    await company.after(timedelta(minutes=59))
    assert await company.stored(last) == before
    tomorrow = (company.at + timedelta(days=1)).isoformat()
    waiting = f"select rule from hold where kind = 'wait' and outcome = '' and due_at > '{tomorrow}'"
    assert len(await company.stored(waiting)) >= 3


async def test_an_offer_goes_out_as_a_numbered_pdf(company: Company) -> None:
    await company.after(timedelta(seconds=30))
    sent = await company.stored("""
        select d.number, d.file, d.size, m.content, record.fields ->> 'offer_number' as noted
        from document d join message m using (record_id, visit_no) join record on record.id = d.record_id
        where m.rule = 'send_offer' and m.state = 'sent' order by d.id
    """)
    assert [row["number"][-4:] for row in sent] == ["0001", "0002", "0003"]
    for row in sent:
        letter = message_from_bytes(row["content"], policy=policy.default)
        (attached,) = letter.iter_attachments()
        assert (attached.get_content_type(), attached.get_filename()) == ("application/pdf", row["file"])
        assert len(attached.get_content()) == row["size"]
        assert row["noted"] == row["number"]
        assert row["number"] in letter["subject"]


async def test_leads_are_given_out_recognised_blocked_and_converted(company: Company) -> None:
    await company.after(timedelta(minutes=2))
    assert await company.stored("select id from record where responsible_id is null") == []
    (caller,) = await company.stored("select first_name, phones from contact where last_name = 'Berger'")
    assert caller == {"first_name": "Ute", "phones": ["+491713920031"]}
    (entry,) = await company.stored("select value from exception_entry")
    assert entry["value"] == "winner@casino.example.com"
    (deal,) = await company.stored("""
        select deal.pipeline_id, contact.last_name, lead.stage_id
        from record deal join record lead on lead.id = deal.parent_id
          join contact on contact.id = deal.contact_id
        where lead.record_type = 'lead'
    """)
    assert deal == {"pipeline_id": "sales", "last_name": "Sandner", "stage_id": "converted"}


async def test_who_has_to_know_is_told_of_lateness_in_working_time(company: Company) -> None:
    await company.after(timedelta(days=4))
    assert await company.stored("""
        select hold.rule from hold join notification n using (record_id, visit_no, rule)
        where kind = 'control' and hold.late_since is not null
    """)


async def test_within_a_year_every_kind_acts_and_nothing_fails(company: Company) -> None:
    await company.after(timedelta(days=370))
    kinds = {
        (pipeline, rule.id): rule.kind
        for pipeline in PIPELINES for listed in rules_of(pipeline).stages.values() for rule in listed
    }  # fmt: skip
    done = await company.stored("""
        select distinct pipeline_id, rule from ledger join visit using (record_id, visit_no)
        where outcome = 'done'
    """)
    acted = {kinds.get((row["pipeline_id"], row["rule"])) for row in done}
    assert {kind.kind for kind in describe_kinds()} - acted == set()
    ill = "select record_id, rule, outcome, reason from ledger where outcome in ('failed', 'unknown')"
    assert await company.stored(ill) == []
