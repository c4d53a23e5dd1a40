"""The schema: what the tables say is what the migrations make, and history stays history."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, func, insert, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError, IntegrityError, StatementError
from sqlmodel import SQLModel, col

from cli.embedded_postgres import Cluster
from db.engine import Database
from db.migrate import ensure_database, upgrade
from db.tables import Absence, Employee, Journal, Pipeline, RuleSet, Setting, Stage

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
COUNT_UP = text(
    "insert into setting values (:key, '1') "
    "on conflict (key) do update set value = to_jsonb(setting.value::int + 1) returning value"
).columns(value=JSONB)
OTHERS = (
    "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
)
LOSE_LISTENERS = text(
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'jalon listen'"
)


def differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return list(compare_metadata(context, SQLModel.metadata))


def checks_and_defaults(connection: Connection) -> dict[str, str]:
    """What autogenerate does not compare."""
    rows = connection.execute(
        text(
            "select conrelid::regclass || ' ' || conname, pg_get_constraintdef(oid) from pg_constraint "
            "where connamespace = current_schema()::regnamespace "
            "union all select indexname, indexdef from pg_indexes where schemaname = current_schema() "
            "union all select table_name || ' ' || column_name, column_default "
            "from information_schema.columns "
            "where table_schema = current_schema() and column_default is not null"
        )
    )
    return {name: definition for name, definition in rows if "alembic_version" not in name}


async def test_the_migrations_make_the_schema_the_tables_describe(database: Database) -> None:
    async with database.transaction() as tx:
        assert await tx.run_sync(differences) == []


async def test_checks_defaults_and_partial_indexes_agree_too(database: Database, postgres: Cluster) -> None:
    async with database.transaction() as tx:
        migrated = await tx.run_sync(checks_and_defaults)
    described = Database(await ensure_database(postgres.dsn(), "described"))
    async with described.transaction() as tx:
        await tx.run_sync(SQLModel.metadata.drop_all)
        await tx.run_sync(SQLModel.metadata.create_all)
        assert await tx.run_sync(checks_and_defaults) == migrated
    await described.close()


async def test_several_processes_may_migrate_at_once(postgres: Cluster) -> None:
    urls = await asyncio.gather(*(ensure_database(postgres.dsn(), 'a "fresh" one') for _ in range(4)))
    program = "import sys; from db.migrate import upgrade; upgrade(sys.argv[1])"
    started = [await asyncio.create_subprocess_exec(sys.executable, "-c", program, url) for url in urls]
    await asyncio.gather(*(asyncio.to_thread(upgrade, url) for url in urls))
    assert [await process.wait() for process in started] == [0, 0, 0, 0]
    fresh = Database(urls[0])
    async with fresh.transaction() as tx:
        assert (await tx.execute(text("select version_num from alembic_version"))).scalars().all() == ["0001"]
    await fresh.close()


@pytest.mark.parametrize(
    "attempt",
    [
        "update journal set reason = 'another'",
        "delete from journal",
        "truncate journal",
        "update rule_set set stages = '{}'",
        "delete from rule_set",
        "truncate rule_set",
    ],
)
async def test_journal_and_published_rules_are_never_changed(database: Database, attempt: str) -> None:
    async with database.transaction() as tx:
        await tx.execute(insert(Employee).values(id="ada", name="Ada"))
        await tx.execute(insert(Pipeline).values(id="sales", record_type="deal", title="Sales"))
        await tx.execute(
            insert(RuleSet).values(pipeline_id="sales", number=1, owner_id="ada", published_at=NOON)
        )
        await tx.execute(insert(Journal).values(record_id=1, visit_no=1, event="e", actor="ada", at=NOON))
    with pytest.raises(DBAPIError, match="append-only"):
        async with database.transaction() as tx:
            await tx.execute(text(attempt))


async def test_a_pipeline_has_one_success_stage(database: Database) -> None:
    won = {"pipeline_id": "sales", "title": "Won", "meaning": "success"}
    async with database.transaction() as tx:
        await tx.execute(insert(Pipeline).values(id="sales", record_type="deal", title="Sales"))
        await tx.execute(insert(Stage).values(id="won", **won))
        await tx.execute(insert(Stage).values(id="won-once", retired_at=NOON, **won))
    with pytest.raises(IntegrityError):
        async with database.transaction() as tx:
            await tx.execute(insert(Stage).values(id="won-too", **won))


async def test_instants_come_back_in_utc_and_naive_ones_are_refused(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.execute(insert(Employee).values(id="ada", name="Ada"))
        await tx.execute(
            insert(Absence).values(
                employee_id="ada", starts_at=NOON, ends_at=datetime.max.replace(tzinfo=UTC)
            )
        )
        assert await tx.scalar(select(col(Absence.starts_at))) == NOON
        assert await tx.scalar(text("show timezone")) == "UTC"
    with pytest.raises(StatementError, match="timezone"):
        async with database.transaction() as tx:
            naive = NOON.replace(tzinfo=None)
            await tx.execute(insert(Absence).values(employee_id="ada", starts_at=naive, ends_at=naive))


async def test_no_session_waits_longer_than_its_activity(database: Database) -> None:
    async with database.transaction() as tx:
        limits = [
            await tx.scalar(text(f"show {name}"))
            for name in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
        ]
    assert limits == ["8s", "9s", "10s"]


async def test_what_a_failed_block_wrote_is_rolled_back(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as tx:
            await tx.execute(insert(Setting).values(key="zone", value="Europe/Paris"))
            raise ZeroDivisionError
    async with database.transaction() as tx:
        assert await tx.scalar(select(func.count()).select_from(Setting)) == 0


async def test_the_connection_of_a_failed_or_cancelled_block_is_not_used_again(database_url: str) -> None:
    database = Database(database_url, pool_size=1)

    backends: list[int] = []

    async def backend(then: BaseException | None = None) -> None:
        async with database.transaction() as tx:
            backends.append(await tx.scalar(text("select pg_backend_pid()")))
            if then is not None:
                raise then

    await backend()
    await backend()
    assert backends[0] == backends[1]
    for then in (ZeroDivisionError(), asyncio.CancelledError()):
        with pytest.raises(type(then)):
            await backend(then)
        await backend()
        assert backends[-1] != backends[-2]
    await database.close()


async def test_cancelled_transactions_leave_the_pool_clean(database_url: str) -> None:
    """200 are cancelled wherever they are: connecting, waiting for a lock, reading, committing."""
    database = Database(database_url, pool_size=4)
    committed = 0

    async def work(key: str) -> None:
        nonlocal committed
        while True:
            async with database.transaction() as tx:
                count = await tx.scalar(COUNT_UP, {"key": key})
                await tx.execute(text("select pg_advisory_xact_lock(1)"))
                assert (
                    await tx.scalar(text("select value from setting where key = :key"), {"key": key}) == count
                )
            committed += 1

    for batch in range(50):
        tasks = [asyncio.create_task(work(f"n{place}")) for place in range(4)]
        await asyncio.sleep(0.0007 * batch)  # a little further on each time
        for _ in range(2):  # the second time into the clearing up
            for task in tasks:
                task.cancel()
            await asyncio.sleep(0)
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(end) for end in ended] == [asyncio.CancelledError] * 4
        # every place in the pool answers its own question
        await asyncio.gather(*(ask(database, 1000 * batch + place) for place in range(4)))
    async with database.transaction() as tx:
        counted = await tx.scalar(text("select sum(value::int) from setting"))
    # a cancelled commit may have been made, an acknowledged one always was
    assert 0 < committed <= counted <= committed + 200
    await database.close()

    watch = await asyncpg.connect(database_url)
    async with asyncio.timeout(10):
        while await watch.fetchval(OTHERS):  # noqa: ASYNC110 - the server rings no bell for that
            await asyncio.sleep(0.01)
    await watch.close()


async def ask(database: Database, question: int) -> None:
    async with database.transaction() as tx:
        assert await tx.scalar(text("select cast(:question as int)"), {"question": question}) == question
        assert await tx.scalar(text("select pg_current_xact_id_if_assigned()::text")) is None


async def test_a_terminated_backend_is_replaced(database: Database) -> None:
    with pytest.raises(DBAPIError):
        async with database.transaction() as tx:
            await tx.execute(text("select pg_terminate_backend(pg_backend_pid())"))
    await ask(database, 7)


async def test_a_listener_hears_what_is_committed(database: Database) -> None:
    heard = database.listen("outbox")
    assert await anext(heard) == ""
    async with database.transaction() as tx:
        await tx.execute(text("select pg_notify('outbox', 'a bell')"))
    async with asyncio.timeout(10):
        assert await anext(heard) == "a bell"
    async with database.transaction() as tx:
        await tx.execute(LOSE_LISTENERS)
    with pytest.raises(ConnectionError, match="outbox"):
        async with asyncio.timeout(10):
            await anext(heard)


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+asyncpg"])
async def test_both_ways_to_write_the_address_are_understood(database_url: str, scheme: str) -> None:
    opened = Database(database_url.replace("postgresql:", scheme + ":") + "?sslmode=disable")
    await ask(opened, 1)
    await opened.close()
