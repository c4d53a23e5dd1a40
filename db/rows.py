"""Rows of several tables written in one statement: what costs is the round trip, not the row."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from pydantic_core import to_json
from sqlalchemy import BigInteger, TextClause, bindparam, text
from sqlmodel import SQLModel

from db.engine import Transaction

Shape = tuple[str, tuple[str, ...]]
_BLOCK: Final = 50
_NAME: Final = re.compile(r"(?<!:):([a-z_]+)")


class Rows(NamedTuple):
    """Rows of one table, all with the same columns; what is left out has the database's default."""

    table: str
    rows: list[dict[str, object]]


class Change(NamedTuple):
    """An `update` with its values by name, of which `id` is that of a record.

    It sees the tables as they were before the statement it is written with, and no other change of that
    statement may meet its rows.
    """

    sql: str
    values: Mapping[str, object]


async def write(tx: Transaction, parts: Iterable[Rows | Change]) -> None:
    """Make all changes and insert all rows with one statement.

    Raises `sqlalchemy.exc.IntegrityError` when a constraint refuses one; then nothing is written.
    """
    changes: list[Change] = []
    shapes: dict[Shape, list[Mapping[str, object]]] = {}
    for part in parts:
        if isinstance(part, Change):
            changes.append(part)
            continue
        for row in part.rows:
            shapes.setdefault((part.table, tuple(row)), []).append(row)
    if not shapes and not changes:
        return
    values: dict[str, object] = {f"r{i}": to_json(rows).decode() for i, rows in enumerate(shapes.values())}
    for i, change in enumerate(changes):
        values |= {f"c{i}_{name}": value for name, value in change.values.items()}
    await tx.execute(_statement(tuple(change.sql for change in changes), tuple(shapes)), values)


@lru_cache(maxsize=512)
def _statement(changes: tuple[str, ...], shapes: tuple[Shape, ...]) -> TextClause:
    written = [_NAME.sub(rf":c{i}_\1", sql) for i, sql in enumerate(changes)]
    written += _inserts(shapes)
    *first, last = written
    clauses = ", ".join(f"w{i} as ({one})" for i, one in enumerate(first))
    statement = text(f"with {clauses} {last}" if first else last)
    ids = [i for i, sql in enumerate(changes) if "id" in _NAME.findall(sql)]
    return statement.bindparams(*(bindparam(f"c{i}_id", type_=BigInteger) for i in ids))


def _inserts(shapes: tuple[Shape, ...]) -> list[str]:
    inserts = []
    for i, (table, columns) in enumerate(shapes):
        known = SQLModel.metadata.tables[table].c
        named = ", ".join(known[column].name for column in columns)  # KeyError: no such column
        source = f"jsonb_populate_recordset(null::public.{table}, cast(:r{i} as jsonb))"
        inserts.append(f"insert into {table} ({named}) select {named} from {source}")  # noqa: S608  # known names
    return inserts


class Ids:
    """Numbers for rows whose id must be known before they are written; a block of them a round trip.

    One object a process. Numbers that are not used are lost, as those of a sequence are.
    """

    def __init__(self) -> None:
        self._free: dict[str, list[int]] = {}

    async def take(self, tx: Transaction, table: str) -> int:
        """An id for a new row of `table`."""
        free = self._free.setdefault(table, [])
        if not free:
            sequence = (
                f"select nextval(pg_get_serial_sequence('{SQLModel.metadata.tables[table].name}', 'id'))"
            )
            found = await tx.execute(text(f"{sequence} from generate_series(1, {_BLOCK})"))
            free.extend(sorted((int(row[0]) for row in found), reverse=True))
        return free.pop()
