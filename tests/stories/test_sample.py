"""The sample company: a first start has something to show, and everything it shows is done by rules."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from temporalio.testing import WorkflowEnvironment

from activities.catalogue import describe_kinds
from activities.check import check
from activities.publish import surroundings
from cli.migration import migrate
from cli.sample.loading import PIPELINES, load, rules_of
from cli.sample.records import RECORDS
from db.engine import Database
from db.settings import Settings
from domain.rule import RuleSet
from tests.stack import Case
from tests.stories.conftest import Stored
from worker.relay import ring_left_over
from worker.running import running

TABLES = (
    "calendar", "setting", "department", "employee", "absence", "company", "contact", "pipeline", "stage",
    "rule_set", "record", "visit", "journal", "outbox",
)  # fmt: skip


async def everything(stored: Stored) -> dict[str, list[dict[str, Any]]]:
    ordered = "select * from {0} order by to_jsonb({0})::text"
    return {table: await stored(ordered.format(table)) for table in TABLES}


@pytest.fixture
def at() -> datetime:
    return datetime.now(UTC)


async def test_it_is_loaded_into_an_empty_database(database_url: str, stored: Stored, at: datetime) -> None:
    assert await load(database_url, at)
    found = await everything(stored)
    assert [table for table, rows in found.items() if not rows] == []
    assert len(found["record"]) >= 12
    types = sorted((row["record_type"], row["id"]) for row in found["pipeline"])
    assert types == [("deal", "delivery"), ("deal", "sales"), ("lead", "leads")]
    assert {row["calendar_id"] for row in found["employee"]} == {None, "mornings"}
    assert all(row["head_id"] for row in found["department"])
    own = [row["email"] for row in found["employee"]]
    clients = [address for row in found["contact"] for address in row["emails"]]
    assert [address for address in (*own, *clients) if not address.endswith("example.com")] == []


async def test_its_bells_are_left_to_a_relay_which_is_woken(database: Database, database_url: str) -> None:
    heard = database.listen("jalon_outbox")
    async with asyncio.timeout(60):
        await anext(heard)
        await load(database_url, datetime.now(UTC))
        await anext(heard)
    await heard.aclose()
    async with database.transaction() as tx:
        unrung = text("select count(*) from outbox where delivered_at is null")
        assert (await tx.execute(unrung)).scalar_one() == len(RECORDS)


async def test_loading_again_changes_nothing(database_url: str, stored: Stored, at: datetime) -> None:
    assert await load(database_url, at)
    before = await everything(stored)
    assert not await load(database_url, at + timedelta(days=1))
    assert await everything(stored) == before


async def test_of_two_loads_at_once_one_loads(database_url: str, at: datetime) -> None:
    both = await asyncio.gather(load(database_url, at), load(database_url, at))
    assert sorted(both) == [False, True]


async def test_a_company_of_its_own_is_left_alone(database_url: str, stored: Stored, at: datetime) -> None:
    await stored("insert into pipeline (id, record_type, title) values ('own', 'deal', 'Ours') returning id")
    before = await everything(stored)
    assert not await load(database_url, at)
    assert await everything(stored) == before


async def test_migrating_loads_it_only_where_it_is_asked_for(
    database_url: str, stored: Stored, temporal: WorkflowEnvironment
) -> None:
    address = temporal.client.service_client.config.target_host
    settings = Settings(database_url=database_url, temporal_address=address)
    assert not await migrate(settings)
    assert await stored("select id from pipeline") == []
    assert await migrate(settings, sample=True)
    assert not await migrate(settings, sample=True)


async def test_its_rules_pass_the_check(database: Database, database_url: str, at: datetime) -> None:
    await load(database_url, at)
    for pipeline in PIPELINES:
        async with database.transaction() as tx:
            around = await surroundings(tx, pipeline)
        assert around.number == 1
        assert check(RuleSet(stages=rules_of(pipeline).stages), around.setting, around.others) == []


def test_every_kind_is_used_and_every_rule_has_a_title() -> None:
    stages = [listed for pipeline in PIPELINES for listed in rules_of(pipeline).stages.values()]
    rules = [rule for listed in stages for rule in listed]
    assert {rule.kind for rule in rules} == {kind.kind for kind in describe_kinds()}
    assert [rule.id for rule in rules if not rule.title] == []



# -- on the whole stack, under virtual time ------------------------------------------------------------
class Relay:
    """The door through which the journeys hear of the load; the rest they tell each other."""

    def __init__(self, database: Database) -> None:
        self._stored = Stored(database)

    async def create(self, record: dict[str, Any]) -> int:
        raise NotImplementedError

    async def tell(self, record_id: int, event: dict[str, Any]) -> int:
        raise NotImplementedError

    async def rung(self) -> None:
        while await self._stored("select id from outbox where delivered_at is null"):  # noqa: ASYNC110
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
    database: Database, database_url: str, stored: Stored, temporal: WorkflowEnvironment
) -> AsyncIterator[Company]:
    """The sample, just loaded, with a worker of the product."""
    # ids that no other test has given a journey
    await stored(f"select setval(pg_get_serial_sequence('record', 'id'), {uuid4().int % 2**40})")
    settings = Settings(task_queue=f"sample-{uuid4().hex}")
    at = datetime.now(UTC)
    assert await load(database_url, at)
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
          join notification n on n.record_id = hold.record_id and n.rule = hold.rule
        where kind = 'control' and hold.state = 'late' and record.late
    """)
    assert await company.stored("select rule from ledger where outcome in ('failed', 'unknown')") == []


async def test_after_a_few_minutes_it_rests_and_waits_for_days(company: Company) -> None:
    await company.after(timedelta(minutes=5))
    (deleted,) = await company.stored("select title from record where deleted_at is not null")
    assert "CASINO" in deleted["title"]
    assert await company.stored("select id from record where suspended is not null") == []
    assert await company.stored("select rule from ledger where outcome in ('failed', 'unknown')") == []
    before = await company.stored("select max(id) as last from journal")
    await company.after(timedelta(minutes=59))
    assert await company.stored("select max(id) as last from journal") == before
    tomorrow = (company.at + timedelta(days=1)).isoformat()
    waiting = f"select rule from hold where kind = 'wait' and outcome = '' and due_at > '{tomorrow}'"
    assert len(await company.stored(waiting)) >= 3
