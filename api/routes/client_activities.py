"""What clients did, as other systems report it."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field, JsonValue, model_validator

from activities.client import Heard
from activities.reporting import Sender, report
from api.input import Instant, Sendable
from api.service import Served
from api.writing import Answer, Write
from db.creation import RecordId
from db.engine import Transaction
from db.records import By
from domain.activity_types import PATTERN

router = APIRouter(tags=["client activity"])
Type = Annotated[str, Field(pattern=PATTERN)]
"""Of client activity: `call`, `form`, `payment` and the like."""


class ActivityIn(Sendable):
    """One activity of a client, under the reporter's own id; bound to a record, or to a client.

    `at` is when it happened, by default now. `from_email` and `from_phone` say who it was: the exception list
    is asked for them, and without a record, contact or company it is of the client who has one of them.
    """

    id: Annotated[str, Field(min_length=1, max_length=255)]
    type: Type
    at: Instant | None = None
    record: RecordId | None = None
    contact: RecordId | None = None
    company: RecordId | None = None
    from_email: Annotated[str, Field(max_length=320)] | None = None
    from_phone: Annotated[str, Field(max_length=100)] | None = None
    source: Annotated[str, Field(max_length=200)] = ""
    detail: dict[str, JsonValue] = {}

    @model_validator(mode="after")
    def _bound(self) -> Self:
        bound = (self.record, self.contact, self.company, self.from_email, self.from_phone)
        if all(one is None for one in bound):
            raise ValueError("an activity is bound to a record, a contact or a company, or says who it was")
        return self


class ActivityOut(BaseModel):
    """What came of it, and for which records. The same id a second time is `already_known`.

    `quarantined`: whoever it was is on the exception list. `unknown_client`: nobody has that address or
    number. Neither is recorded as activity.
    """

    happened: Literal[
        "moved", "ended_wait", "no_match", "suspended", "already_known", "quarantined", "unknown_client"
    ]
    records: list[int]


@router.post("/client-activities", response_model=ActivityOut)
async def report_activity(body: ActivityIn, service: Served, write: Write) -> Response:
    """Report what a client did; it is recorded once, and ends the waits that list its type."""

    async def work(tx: Transaction, by: By) -> Answer:
        heard = Heard(
            external_id=body.id, at=body.at or by.at,
            **body.model_dump(include={"type", "record", "contact", "company", "source", "detail"}),
        )  # fmt: skip
        house = service.house
        sender = Sender.of(body.from_email, body.from_phone, house.mail.region)
        answer = await report(tx, service.book, service.ids, house, heard, sender, by.at)
        told = ActivityOut.model_validate({"happened": answer.happened, "records": answer.records})
        return Answer(body=told, bells=tuple(answer.bells))

    return await write(work)
