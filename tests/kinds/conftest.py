"""A company with its records, and a way to have one rule act on one of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import pytest
from pydantic import ValidationError
from pydantic_core import to_json
from sqlalchemy import text
from sqlmodel import SQLModel

from activities.act import Act
from activities.catalogue import effects, nature
from activities.effect import DocumentTemplate, Done, RecordType, Setting
from activities.impossible import in_params
from activities.providers.documents import Documents
from db.engine import Database
from db.locked import Locked, registry
from db.rows import Ids, write
from db.rulebook import Rulebook
from domain.rule import Rule
from tests import builders
from tests.builders import NOON

_PIPELINES: dict[str, tuple[RecordType, dict[str, str]]] = {
    "sales": ("deal", builders.SALES),
    "service": ("deal", builders.SERVICE),
    "leads": ("lead", builders.STATUSES),
}


class Desk:
    """The company of `builders.company` at noon on a Monday."""

    def __init__(self, database: Database) -> None:
        self.database, self.ids, self.book = database, Ids(), Rulebook(nature)
        self.documents: Documents | None = None

    @asynccontextmanager
    async def locked(self, record: int) -> AsyncIterator[Locked]:
        """The record under its lock, in a transaction of its own."""
        async with self.database.transaction() as tx:
            locked = await Locked.take(tx, self.book, record)
            assert locked is not None
            yield locked

    async def deal(self, **given: Any) -> int:
        async with self.database.transaction() as tx:
            return await builders.deal(tx, **given)

    async def lead(self, **given: Any) -> int:
        async with self.database.transaction() as tx:
            return await builders.lead(tx, **given)

    async def does(self, record: int, kind: str, **how: Any) -> Done:
        """Have a rule of that kind act, as it would once it is its turn and its condition holds."""
        async with self.locked(record) as locked:
            return await self.acts(locked, kind, **how)

    async def acts(
        self, locked: Locked, kind: str, *, rule: str = "the-rule", acting: str = "system", n: int = 0,
        now: datetime = NOON, **params: Any,
    ) -> Done:  # fmt: skip
        """The same in a transaction under way."""
        made = Rule(id=rule, kind=kind, params=params, acting=acting)
        act = Act(locked, locked.record.visit_no, made, n, now, self.ids, documents=self.documents)
        done = await effects()[kind].model_validate(params).apply(act)
        await write(locked.tx, done.rows)
        return done

    async def rows(self, table: str, where: str = "true", order: str = "1") -> list[dict[str, Any]]:
        """The rows of a table as they are committed."""
        assert table in SQLModel.metadata.tables
        async with self.database.transaction() as tx:
            asked = text(f"select * from {table} where {where} order by {order}")
            return [dict(row) for row in (await tx.execute(asked)).mappings()]

    async def row(self, table: str, where: str = "true") -> dict[str, Any]:
        """The only row."""
        (row,) = await self.rows(table, where)
        return row

    async def record(self, record: int) -> dict[str, Any]:
        return await self.row("record", f"id = {record}")

    async def journal(self, record: int) -> list[tuple[str, str, str, Mapping[str, Any]]]:
        """What is written down of a record: event, rule, actor, detail."""
        rows = await self.rows("journal", f"record_id = {record}", order="id")
        return [(row["event"], row["rule"], row["actor"], row["detail"]) for row in rows]

    async def run(self, *statements: Any) -> None:
        """Add to the company: `await desk.run(lambda tx: builders.employee(tx, "zoe"))`."""
        async with self.database.transaction() as tx:
            for statement in statements:
                await (statement(tx) if callable(statement) else tx.execute(text(statement)))


@pytest.fixture
async def desk(database: Database) -> Desk:
    async with database.transaction() as tx:
        await builders.company(tx)
    return Desk(database)


def setting(pipeline: str = "sales") -> Setting:
    """What the rules of a pipeline of the company are checked against."""
    record_type, _ = _PIPELINES[pipeline]
    return Setting(
        record_type=record_type,
        pipeline=pipeline,
        registry=registry(record_type, to_json(builders.FIELDS)),
        stages={name: found for name, (of, found) in _PIPELINES.items() if of == record_type},
        employees=frozenset({"ada", "ben", "eve", "hugo"}),
        departments=frozenset({"board", "sales"}),
        resources=frozenset({"van", "crane"}),
        templates={"offer": DocumentTemplate("typst", ("client",)), "letter": DocumentTemplate("docx")},
        series=frozenset({"offers"}),
        stamps=frozenset({"seal"}),
        pipelines={"deal": {"sales": builders.SALES, "service": builders.SERVICE},
                   "lead": {"leads": builders.STATUSES}},
    )


def refused_on_save(kind: str, of: str = "sales", /, **params: Any) -> dict[str, str]:
    """What is wrong with the parameters of a rule of a pipeline, by place; types and values alike."""
    try:
        effect = effects()[kind].model_validate(params)
    except ValidationError as error:
        return {"/" + "/".join(str(part) for part in e["loc"]): e["msg"] for e in error.errors()}
    found = [*in_params(effect), *effect.problems(setting(of))]
    return {problem.place: problem.message for problem in found}
