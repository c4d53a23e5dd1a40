"""Rows of several tables written in one statement: what costs is the round trip, not the row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from pydantic_core import to_json
from sqlalchemy import TextClause, text
from sqlmodel import SQLModel

from db.engine import Transaction

Shape = tuple[str, tuple[str, ...]]
_BLOCK: Final = 50


class Rows(NamedTuple):
    """Rows of one table, all with the same columns; what is left out has the database's default."""

    table: str
    rows: list[dict[str, object]]


async def write(tx: Transaction, parts: Iterable[Rows]) -> None:
    """Insert all rows with one statement.

    Raises `sqlalchemy.exc.IntegrityError` when a constraint refuses one; then none is written.
    """
    shapes: dict[Shape, list[Mapping[str, object]]] = {}
    for part in parts:
        for row in part.rows:
            shapes.setdefault((part.table, tuple(row)), []).append(row)
    if not shapes:
        return
    values = {f"r{i}": to_json(rows).decode() for i, rows in enumerate(shapes.values())}
    await tx.execute(_statement(tuple(shapes)), values)


@lru_cache(maxsize=512)
def _statement(shapes: tuple[Shape, ...]) -> TextClause:
    inserts = []
    for i, (table, columns) in enumerate(shapes):
        known = SQLModel.metadata.tables[table].c
        named = ", ".join(known[column].name for column in columns)  # KeyError: no such column
        source = f"jsonb_populate_recordset(null::public.{table}, cast(:r{i} as jsonb))"
        inserts.append(f"insert into {table} ({named}) select {named} from {source}")  # noqa: S608  # known names
    *first, last = inserts
    clauses = ", ".join(f"w{i} as ({insert})" for i, insert in enumerate(first))
    return text(f"with {clauses} {last}" if first else last)


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
