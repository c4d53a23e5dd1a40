"""A client changed: the journeys of its records that may wait for that hear of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

from pydantic import JsonValue
from sqlalchemy import BigInteger, Row, bindparam, text

from db.clients import ROWS, Client, ClientRow
from db.engine import Transaction
from db.outbox import Bell, bell_rows
from db.rows import write
from db.rulebook import Rulebook
from domain.errors import Unreadable
from domain.journey import CLIENT_EDITED, Face


async def client_bells(
    tx: Transaction, book: Rulebook, row: ClientRow, client: Client, changed: Sequence[str], at: datetime,
    but: int = 0,
) -> tuple[Bell, ...]:  # fmt: skip
    """Write the bells for changed fields (full references), to be rung after the commit.

    Heard by every record of the client that is not deleted and whose rules or triggers read one of the
    fields, save record `but`, which hears by other means. No record is locked, so one may be moving
    meanwhile: that is why the rules of all stages count, not only those of the present one.
    """
    if not changed:
        return ()
    found: dict[int, Bell] = {}
    for visit in await tx.execute(_VISITS[client], {"id": row.id, "but": but}):
        if visit.id not in found and await _concerned(tx, book, visit, changed):
            found[visit.id] = _bell(visit, changed, at)
    await write(tx, [bell_rows(bell, at) for bell in found.values()])
    return tuple(found.values())


async def _concerned(tx: Transaction, book: Rulebook, visit: Row[Any], changed: Sequence[str]) -> bool:
    """Whether the rules of a visit, or the triggers of its record, read what was changed."""
    try:
        version = await book.version(tx, visit.in_pipeline, visit.rules_number)
        current = await book.version(tx, visit.pipeline_id, visit.current_rules)
    except Unreadable:  # whoever repairs them finds the bell
        return True
    return not version.reads_anywhere().isdisjoint(changed) or current.hears_edit(changed)


def _bell(row: Row[Any], changed: Sequence[str], at: datetime) -> Bell:
    face = Face(
        record_type=row.record_type, pipeline=row.pipeline_id, stage=row.stage_id,
        responsible=row.responsible_id or "", suspended=bool(row.suspended),
    )  # fmt: skip
    told: dict[str, JsonValue] = {"at": at.isoformat(), "fields": [*changed, CLIENT_EDITED]}
    return Bell(uuid4(), row.id, "facts_changed", told, row.visit_no, face)


_VISITS = {
    client: text(f"""
select r.id, r.record_type, r.visit_no, r.pipeline_id, r.stage_id, r.responsible_id, r.suspended,
  v.pipeline_id as in_pipeline, v.rules_number,
  (select coalesce(max(number), 0) from rule_set where pipeline_id = r.pipeline_id) as current_rules
from record r join visit v on v.record_id = r.id and (v.visit_no = r.visit_no or v.kept <> '[]')
where r.{client}_id = :id and r.deleted_at is null and r.id <> :but
order by r.id
""").bindparams(  # noqa: S608  # known names
        bindparam("id", type_=BigInteger), bindparam("but", type_=BigInteger)
    )
    for client in ROWS
}
