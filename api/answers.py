"""What callers are told of records. Instants are UTC."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, JsonValue, PlainSerializer

from db.facts import RecordRow
from domain.fields import dump

Amount = Annotated[Decimal, PlainSerializer(dump, return_type=int | float | str)]
"""A JSON number where that is exact, else a text."""


class RecordOut(BaseModel):
    """A lead or a deal. `suspended` says why the loop guard stopped it.

    `parent` is the record it was born of by a rule; `converted_at` when a deal or a client was made of a
    lead; a `repeat` one has a client who was known.
    """

    id: int
    type: str
    pipeline: str
    stage: str
    title: str
    amount: Amount | None
    currency: str
    source: str
    responsible: str | None
    contact: int | None
    company: int | None
    fields: dict[str, JsonValue]
    version: int
    visit_no: int
    late: bool
    repeat: bool
    suspended: str | None
    created_at: datetime
    entered_at: datetime
    parent: int | None
    converted_at: datetime | None

    @classmethod
    def of(cls, record: RecordRow) -> RecordOut:
        return cls(
            id=record.id, type=record.record_type, pipeline=record.pipeline_id, stage=record.stage_id,
            responsible=record.responsible_id, contact=record.contact_id, company=record.company_id,
            parent=record.parent_id, **record.model_dump(include=_SAME),
        )  # fmt: skip


_SAME = {
    "title", "amount", "currency", "source", "fields", "version", "visit_no", "late", "repeat", "suspended",
    "created_at", "entered_at", "converted_at",
}  # fmt: skip


class PendingOut(BaseModel):
    """A step that has not ended. `due` is when it acts next, if that is known; `says` puts it in words.

    `kept`: the stage was left, and this goes on. `condition` is the one it waits for, as it is written.
    """

    visit_no: int
    rule: str
    kind: str
    title: str
    status: str
    waiting: str = ""
    due: datetime | None = None
    kept: bool = False
    condition: JsonValue = None
    says: str = ""


class HoldOut(BaseModel):
    """An open wait or control."""

    visit_no: int
    rule: str
    kind: str
    state: str
    opened_at: datetime
    ends_at: datetime | None
    late_since: datetime | None
    instruction: str


class WaitOut(BaseModel):
    """The open wait that ends next; `seconds_left` counts down to `until`. Both are null without an end."""

    visit_no: int
    rule: str
    instruction: str
    until: datetime | None
    seconds_left: float | None


class SuspensionOut(BaseModel):
    """What was stopped that covers this record, or a rule of its pipeline: since when, by whom, and why.

    By `system` it was the loop guard.
    """

    scope: str
    key: str
    since: datetime | None
    by: str
    why: str


class JourneyOut(BaseModel):
    """Whether the record's journey is running, as Temporal says, and what there is to say of it."""

    running: bool
    says: str = ""


class RecordDetail(RecordOut):
    """A record with what happens next."""

    meaning: str
    pending: list[PendingOut]
    holds: list[HoldOut]
    waits_for_client: WaitOut | None
    suspensions: list[SuspensionOut]
    journey: JourneyOut
