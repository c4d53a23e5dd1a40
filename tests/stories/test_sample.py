"""The sample company: a first start has something to show, and everything it shows is done by rules."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from temporalio.testing import WorkflowEnvironment

from activities.check import check
from activities.documents import blobs_of
from activities.providers.blobs_disk import DiskBlobs
from activities.publish import surroundings
from cli.errors import Trouble
from cli.migration import migrate
from cli.sample.equipment import template
from cli.sample.loading import PIPELINES, load, rules_of
from cli.sample.records import RECORDS
from db.engine import Database
from db.settings import Settings
from domain.amounts import totals
from tests.kinds.test_every_kind import CATALOGUE
from tests.stories.conftest import Stored

TABLES = (
    "calendar", "setting", "department", "employee", "absence", "company", "contact", "pipeline", "stage",
    "rule_set", "record", "visit", "journal", "outbox", "resource", "number_series", "document_template",
    "product_line",
)  # fmt: skip


async def everything(stored: Stored) -> dict[str, list[dict[str, Any]]]:
    ordered = "select * from {0} order by to_jsonb({0})::text"
    return {table: await stored(ordered.format(table)) for table in TABLES}


@pytest.fixture
def at() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def settings(database_url: str, temporal: WorkflowEnvironment, tmp_path: Path) -> Settings:
    """Of an installation that has no folder for its documents yet."""
    address = temporal.client.service_client.config.target_host
    return Settings(database_url=database_url, temporal_address=address, home=tmp_path / "new" / "home")


@pytest.fixture
def blobs(tmp_path: Path) -> DiskBlobs:
    return DiskBlobs(tmp_path / "blobs")


async def test_it_is_loaded_into_an_empty_database(
    database_url: str, blobs: DiskBlobs, stored: Stored, at: datetime
) -> None:
    assert await load(database_url, at, blobs)
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


async def test_its_bells_are_left_to_a_relay_which_is_woken(
    database: Database, database_url: str, blobs: DiskBlobs
) -> None:
    heard = database.listen("jalon_outbox")
    async with asyncio.timeout(60):
        await anext(heard)
        await load(database_url, datetime.now(UTC), blobs)
        await anext(heard)
    await heard.aclose()
    async with database.transaction() as tx:
        unrung = text("select count(*) from outbox")
        assert (await tx.execute(unrung)).scalar_one() == len(RECORDS)


async def test_loading_again_changes_nothing(
    database_url: str, blobs: DiskBlobs, stored: Stored, at: datetime
) -> None:
    assert await load(database_url, at, blobs)
    before = await everything(stored)
    assert not await load(database_url, at + timedelta(days=1), blobs)
    assert await everything(stored) == before


async def test_of_two_loads_at_once_one_loads(database_url: str, blobs: DiskBlobs, at: datetime) -> None:
    both = await asyncio.gather(load(database_url, at, blobs), load(database_url, at, blobs))
    assert sorted(both) == [False, True]


async def test_a_company_of_its_own_is_left_alone(
    database_url: str, blobs: DiskBlobs, stored: Stored, at: datetime
) -> None:
    await stored("insert into pipeline (id, record_type, title) values ('own', 'deal', 'Ours') returning id")
    before = await everything(stored)
    assert not await load(database_url, at, blobs)
    assert await everything(stored) == before


async def test_migrating_loads_it_only_where_it_is_asked_for(settings: Settings, stored: Stored) -> None:
    assert not await migrate(settings)
    assert await stored("select id from pipeline") == []
    assert await migrate(settings, sample=True)
    assert not await migrate(settings, sample=True)
    (kept,) = await stored("select source from document_template")
    assert await blobs_of(settings).get(kept["source"]) == template()


async def test_where_nothing_can_be_kept_migrating_says_so_and_loads_nothing(
    settings: Settings, stored: Stored
) -> None:
    settings.home.parent.mkdir()
    settings.home.write_text("a file where the folder was to be")
    with pytest.raises(Trouble, match="could not be kept"):
        await migrate(settings, sample=True)
    assert await stored("select id from pipeline") == []
    settings.home.unlink()
    assert await migrate(settings, sample=True)


async def test_its_rules_pass_the_check(
    database: Database, database_url: str, blobs: DiskBlobs, at: datetime
) -> None:
    await load(database_url, at, blobs)
    for pipeline in PIPELINES:
        async with database.transaction() as tx:
            around = await surroundings(tx, pipeline)
        assert around.number == 1
        assert check(rules_of(pipeline).rules, around.setting, around.others) == []


async def test_its_published_rules_use_all_28_kinds(
    database_url: str, blobs: DiskBlobs, stored: Stored, at: datetime
) -> None:
    await load(database_url, at, blobs)
    used = await stored("""
        select distinct rule ->> 'kind' as kind
        from rule_set, jsonb_each(stages) stage, jsonb_array_elements(stage.value) rule
    """)
    assert {row["kind"] for row in used} >= CATALOGUE
    triggers = await stored("select jsonb_path_query(triggers, '$[*].id') #>> '{}' as id from rule_set")
    assert sorted(row["id"] for row in triggers) == ["asleep", "deposit", "paid"]


def test_every_rule_and_trigger_has_a_title() -> None:
    for pipeline in PIPELINES:
        rules = rules_of(pipeline).rules
        written = [rule for listed in rules.stages.values() for rule in listed] + rules.triggers
        assert [one.id for one in written if not one.title] == []


def test_products_come_to_the_amount() -> None:
    sold = [record for record in RECORDS if record.products]
    assert sold
    assert [totals(record.products, 2).total for record in sold] == [record.amount for record in sold]
