"""What workers do again and again costs what there is to do, not what there is.

Every statement that they make by the clock is caught as it is made, in a database of many rows, and its plan
is read: none goes through a table that grows.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final

import asyncpg
import pytest
from pydantic_core import from_json
from sqlalchemy import event, text

from activities.providers.console import ConsoleMail
from db import healing
from db.outbox import behind, take_waiting
from db.reminders import remind
from tests.builders import NOON
from tests.kinds.conftest import Desk
from tests.kinds.test_clock_triggers import clock, dated
from tests.kinds.test_triggers import published, trigger
from worker import main
from worker.cleaning import BIN, clean_once
from worker.postman import one_round

MANY: Final = 10_000
SMALL: Final = 1_000
"""Rows up to which a table may be gone through."""
LOOPS: Final = {
    "clock.keep", "relay", "heal", "reconcile", "clean", "watch_the_clock", "deliver_invitations",
}  # fmt: skip
"""What a worker does by the clock; what each asks of the database is asked below."""
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
Plan = Mapping[str, Any]


class Caught:
    """Statements with their values, as they were sent."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.statements: dict[str, tuple[object, ...]] = {}

    @contextmanager
    def of(self, desk: Desk) -> Iterator[None]:
        engine = desk.database._engine.sync_engine

        def sent(_c: object, _k: object, statement: str, values: tuple[object, ...], *_: object) -> None:
            self.statements.setdefault(statement, values)

        event.listen(engine, "before_cursor_execute", sent)
        try:
            yield
        finally:
            event.remove(engine, "before_cursor_execute", sent)

    async def plans(self) -> AsyncIterator[tuple[str, Plan]]:
        """How PostgreSQL would go about each, knowing its values and not: one made often has one plan."""
        connection = await asyncpg.connect(self.url)
        try:
            for statement, values in self.statements.items():
                (plan,) = from_json(await connection.fetchval(f"explain (format json) {statement}", *values))
                yield statement, plan["Plan"]
                await connection.execute("set plan_cache_mode = force_generic_plan")
                await connection.execute(f"prepare it as {statement}")
                given = f"({', '.join(['null'] * len(values))})" if values else ""
                (plan,) = from_json(await connection.fetchval(f"explain (format json) execute it{given}"))
                yield f"{statement} -- whatever the values", plan["Plan"]
                await connection.execute("deallocate it; reset plan_cache_mode")
        finally:
            await connection.close()


def gone_through(plan: Plan, big: set[str], limited: bool = False) -> Iterator[str]:
    """The big tables that a plan reads from end to end."""
    limited = limited or plan["Node Type"] == "Limit"
    found = plan.get("Relation Name") or big_index(plan, big)
    whole = plan["Node Type"] == "Seq Scan" or (
        plan["Node Type"] in ("Index Scan", "Index Only Scan", "Bitmap Index Scan")
        and "Index Cond" not in plan
        and not limited
    )
    if found in big and whole:
        yield f"{found}: {plan['Node Type']}"
    limited = limited and plan["Node Type"] not in ("Sort", "Hash", "Aggregate")  # they take in all there is
    for below in plan.get("Plans", ()):
        yield from gone_through(below, big, limited)


def big_index(plan: Plan, big: set[str]) -> str:
    """The table of an index that is read by itself."""
    name = str(plan.get("Index Name", ""))
    return next((table for table in big if name.startswith((f"ix_{table}_", f"pk_{table}"))), "")


@pytest.fixture
async def grown(desk: Desk, database_url: str) -> Caught:
    """A pipeline of many records, with two triggers by date and one by idleness; little of it all is due."""
    async with desk.database.transaction() as tx:
        for statement in _FILL.format(many=MANY, noon=f"timestamptz '{NOON.isoformat()}'").split(";"):
            await tx.execute(text(statement.replace(":", "\\:")))
    await published(
        desk,
        dated("visit", "offer"),
        dated("due", "offer", "record.due_on", before={"days": 2}, working_time=True),
        trigger("forgotten", "offer", event="idle", idle_for={"days": 3}),
    )
    worker = clock(desk)
    await worker.look(NOON)
    while worker.more:
        await worker.look(NOON)
    await desk.run("analyze")
    return Caught(database_url)


async def test_nothing_a_worker_does_by_the_clock_goes_through_a_table_that_grows(
    desk: Desk, grown: Caught
) -> None:
    with grown.of(desk):
        worker = clock(desk)
        await desk.run("update record set responsible_id = 'ben' where id in (1, 2)")
        assert len(await worker.look(NOON + MINUTE)) > 0
        async with desk.database.transaction() as tx:
            assert len(await take_waiting(tx, 20)) == 20
            assert await take_waiting(tx, 20, timedelta(seconds=1))
            await behind(tx, NOON + DAY)
            assert await remind(tx, NOON + 200 * MINUTE) > 2
            await healing.whose_turn(tx, MINUTE)
            await healing.next_to_probe(tx, 100)
            await healing.still_behind(tx, MINUTE, 100)
            await healing.followed(tx, [1, 2])
            await healing.under_way(tx)
            await healing.count(tx, MINUTE)
        assert await clean_once(desk.database, NOON + BIN + MINUTE)
        await one_round(desk.database, ConsoleMail(), "jalon@company.example", lambda: NOON + MINUTE)
    async with desk.database.transaction() as tx:
        asked = text("select relname from pg_class where relkind = 'r' and reltuples > :small")
        big = set((await tx.execute(asked, {"small": SMALL})).scalars())
    assert {"record", "clock_due", "outbox", "todo", "hold", "meeting", "meeting_reminder"} <= big
    assert len(grown.statements) > 10
    plans = [found async for found in grown.plans()]
    wrong = [f"{scan} by {statement}" for statement, plan in plans for scan in gone_through(plan, big)]
    assert not wrong, "\n\n".join(wrong)


def test_every_loop_of_a_worker_is_looked_at_here() -> None:
    run = ast.parse(inspect.getsource(main.run))
    started = {
        ast.unparse(call.args[0].func)
        for call in ast.walk(run)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)
        if call.func.attr == "create_task" and isinstance(call.args[0], ast.Call)
    }
    assert started == LOOPS


async def test_what_goes_with_a_record_is_found_by_an_index(desk: Desk) -> None:
    """A purge looks for it in every table that refers to what it deletes."""
    async with desk.database.transaction() as tx:
        assert (await tx.execute(text(_WITHOUT_INDEX))).scalars().all() == []


_FILL = """
insert into record (record_type, pipeline_id, stage_id, title, responsible_id, fields, created_at, entered_at,
  journey_visit, deleted_at)
select 'deal', 'sales', 'new', 'Deal ' || n, 'ada',
  jsonb_build_object('visit_at', {noon} + n * interval '20 seconds', 'due_on', date '2027-01-01' + n % 300),
  {noon}, {noon} + n * interval '1 minute', 1, case when n % 50 = 0 then {noon} + n * interval '1 minute' end
from generate_series(1, {many}) n;
insert into visit (record_id, visit_no, pipeline_id, stage_id, rules_number, cause, actor, entered_at)
select id, 1, pipeline_id, stage_id, 0, 'created', 'eve', entered_at from record;
insert into outbox (id, record_id, kind, created_at, next_at)
select gen_random_uuid(), id, 'facts_changed', entered_at,
  case when id % 7 = 0 then now() + interval '1 hour' end from record;
insert into todo (record_id, visit_no, employee_id, subject, created_at, reminder_at, completed_at)
select id, 1, 'ada', 'Call', {noon}, {noon} + id * interval '1 hour', case when id % 2 = 0 then {noon} end
from record;
insert into hold (record_id, visit_no, rule, kind, turn, opened_at, state, outcome, ended_at)
select id, 1, 'w', 'wait', {noon}, {noon}, 'ended', 'done', {noon} from record;
insert into task (record_id, visit_no, name, assignee_id, creator, created_at, ended_at, ended_how)
select id, 1, 'Measure', 'ada', 'ada', {noon}, {noon}, 'completed' from record;
insert into meeting (record_id, visit_no, type, subject, starts_at, ends_at, responsible_id, uid, state,
  reminders, created_at, created_by, changed_at, ended_at)
select id, 1, 'call', 'Call', {noon} + id * interval '1 hour', {noon} + id * interval '2 hours', 'ada',
  'u' || id, case when id % 3 = 0 then 'planned' else 'held' end, '[15, 60]', {noon}, 'ada', {noon},
  case when id % 3 > 0 then {noon} end from record;
insert into invitation (meeting_id, sequence, method, recipient, message_id, content, state, next_attempt_at,
  created_at)
select id, 0, 'REQUEST', 'ada@company.example', 'm' || id, 'x',
  case when id % 5000 = 0 then 'queued' else 'sent' end, {noon}, {noon} from meeting;
insert into request (key, body_hash, at) select 'k' || n, '', {noon} + n * interval '1 hour'
from generate_series(1, {many}) n
"""
_WITHOUT_INDEX = """
select conrelid::regclass || ' ' || a.attname
from pg_constraint c join pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[1]
where c.contype = 'f'
  and c.confrelid in ('record'::regclass, 'meeting'::regclass, 'task'::regclass, 'feed_post'::regclass)
  and not exists (select 1 from pg_index i where i.indrelid = c.conrelid and i.indkey[0] = c.conkey[1])
"""
