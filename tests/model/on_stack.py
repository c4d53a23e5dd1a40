"""Random scenarios on the whole stack under virtual time, many at once, beside the reference model."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg
from temporalio.testing import WorkflowEnvironment

from db.engine import Database
from db.migrate import ensure_database, upgrade
from domain.journey import workflow_id
from tests import builders
from tests.door import Door
from tests.model import reference, scenarios
from tests.model.comparing import apart, drawn
from tests.servers import postgres_server, temporal_server
from tests.stack import Case, company, entries, pipelines, product, rule_sets

Json = dict[str, Any]

AT_ONCE = 6
APART = timedelta(seconds=60)
EARLIEST = datetime(2025, 3, 1, tzinfo=UTC)  # no scenario begins before


async def replay(seeds: Iterable[int], features: frozenset[str]) -> dict[int, Json]:
    """The differences by seed, on servers of their own."""
    with postgres_server() as cluster:
        url = await ensure_database(cluster.dsn(), "scenarios")
        await asyncio.to_thread(upgrade, url)
        database = Database(url, pool_size=30)
        try:
            async with await temporal_server() as environment:
                return await tell(seeds, features, environment, database, url)
        finally:
            await database.close()


async def tell(
    seeds: Iterable[int], features: frozenset[str], environment: WorkflowEnvironment, database: Database,
    url: str,
) -> dict[int, Json]:  # fmt: skip
    """The differences by seed, on these servers."""
    weeks = (datetime.now(UTC) - EARLIEST) // timedelta(weeks=1) + 1
    connection, lock = await asyncpg.connect(url), asyncio.Lock()
    await company(database, "UTC")
    left, different = iter(seeds), dict[int, Json]()
    async with product(environment, database, "scenarios") as (api, doorbell):

        async def teller() -> None:
            for seed in left:  # shared: each takes the next
                scenario, prefix = tellable(later(drawn(seed, features), weeks)), f"s{seed}-"
                await pipelines(database, scenario, scenarios.FIELD_TYPES, prefix)
                async with database.transaction() as tx:  # some would be refused on publication
                    for name, stages in rule_sets(scenario, prefix).items():
                        await builders.rule_set(tx, stages, pipeline=name, owner="ann")
                record_id = await Case(environment, Door(api, doorbell, database, prefix), scenario).run()
                async with lock:
                    found = await entries(connection, record_id)
                named = scenario | {"workflow_id": workflow_id("deal", record_id)}
                expected = reference.run(named)
                if difference := apart(expected, found):
                    different[seed] = difference

        await asyncio.gather(*(teller() for _ in range(AT_ONCE)))
    await connection.close()
    return different


def tellable(scenario: Json) -> Json:
    """The same without what the product leaves open (decision 0016)."""
    return apart_in_time(scenario) | {"pipelines": without_sends_beside_readers(scenario["pipelines"])}


def without_sends_beside_readers(pipelines: Json) -> Json:
    """No e-mail above a rule whose results are read: who reads beside a send may read before it or after."""

    def quiet(rules: list[Json]) -> list[Json]:
        read, made, chain = set(re.findall(r'"steps\.([^."]+)\.', json.dumps(rules))), [*rules], list[int]()
        for i, rule in enumerate(rules):
            chain = [*chain, i] if rule.get("after_previous") else [i]
            if rule["id"] in read:
                for above in chain[:-1]:
                    if rules[above]["kind"] == "send_email":
                        made[above] = rules[above] | {"kind": "add_comment", "params": {"text": "a word"}}
        return made

    return {
        name: pipeline | {"rules": {stage: quiet(rules) for stage, rules in pipeline["rules"].items()}}
        for name, pipeline in pipelines.items()
    }


def apart_in_time(scenario: Json) -> Json:
    """What a client does gets an instant of its own: of what bears one, the product cannot tell the order."""
    before, events = "", list[Json]()
    for event in scenario["events"]:
        at = max(datetime.fromisoformat(event["at"]), datetime.fromisoformat(before or event["at"]))
        if event["type"] == "client" and before:
            at = max(at, datetime.fromisoformat(before) + APART)
        before = at.isoformat()
        events.append(event | {"at": before})
    return scenario | {"events": events, "until": max(scenario["until"], before, key=datetime.fromisoformat)}


def later(written: Any, weeks: int) -> Any:
    """The same, every date and instant of it a whole number of weeks later, also in calendars."""
    by = timedelta(weeks=weeks)
    match written:
        case dict():
            return {later(key, weeks): later(value, weeks) for key, value in written.items()}
        case list():
            return [later(value, weeks) for value in written]
        case str() if re.fullmatch(r"\d{4}-\d\d-\d\d", written):
            return (date.fromisoformat(written) + by).isoformat()
        case str() if re.fullmatch(r"\d{4}-\d\d-\d\dT.*", written):
            return (datetime.fromisoformat(written) + by).isoformat()
    return written
