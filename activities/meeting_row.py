"""A meeting as its row keeps it, and reading it under the lock of its record."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel
from sqlalchemy import BigInteger, bindparam, text

from db.engine import Transaction


class MeetingRow(BaseModel):
    """A meeting or a call. Instants are UTC, `reminders` minutes before the start."""

    id: int
    record_id: int
    visit_no: int
    rule: str = ""
    type: str = "meeting"
    subject: str
    description: str = ""
    place: str = ""
    starts_at: datetime
    ends_at: datetime
    responsible_id: str
    participants: list[str] = []
    guests: list[str] = []
    important: bool = False
    complete_on_exit: bool = False
    reminders: list[int] = []
    client_phone: str = ""
    uid: str
    sequence: int = 0
    state: str = "planned"
    created_at: datetime
    created_by: str
    changed_at: datetime
    ended_at: datetime | None = None
    ended_by: str | None = None


async def read_meeting(tx: Transaction, meeting_id: int) -> MeetingRow | None:
    """The meeting; None if there is none."""
    found = (await tx.execute(_READ, {"id": meeting_id})).mappings().one_or_none()
    return None if found is None else MeetingRow.model_validate(dict(found))


_READ = text("select * from meeting where id = :id").bindparams(bindparam("id", type_=BigInteger))
