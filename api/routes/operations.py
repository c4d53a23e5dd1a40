"""What an operator does to a pending step, or to the automation of a record."""

from __future__ import annotations

from typing import Annotated, Self
from uuid import uuid4

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field, model_validator
from sqlalchemy import BigInteger, bindparam, text

from activities.unknown import unknown
from api.input import Instant, Name, PathId, Sendable
from api.journeys import operated
from api.service import Served, Service
from api.view import record
from api.writing import Answer, Write
from db.engine import Transaction
from db.facts import RecordRow
from db.operations import ask
from db.records import By
from domain.errors import Refused
from domain.journey import Operation, Verb

router = APIRouter(tags=["operations"])
_OF_A_STEP = ("run_now", "skip", "reschedule")


class OperationIn(Sendable):
    """`run_now`, `skip` and `reschedule` are of one pending step, `suspend` and `resume` of the record.

    `visit_no` 0 is the present visit. `who` and `why` stand in the journal.
    """

    verb: Verb
    rule: Annotated[str, Field(max_length=63)] = ""
    visit_no: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    due: Instant | None = None
    why: Annotated[str, Field(max_length=1000)] = ""
    who: Name

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.verb in _OF_A_STEP and not self.rule:
            raise ValueError(f"{self.verb} is of one step: name its rule")
        if (self.verb == "reschedule") != (self.due is not None):
            raise ValueError("`due` goes with reschedule, and reschedule with `due`")
        return self


class Operated(BaseModel):
    """It was done."""

    verb: Verb


async def _known(tx: Transaction, service: Service, found: RecordRow, body: OperationIn) -> None:
    """Raises `Refused` for a rule that the visit does not have; its journey knows those still under way."""
    if not body.rule:
        return
    visit_no = body.visit_no or found.visit_no
    row = (await tx.execute(_VISIT, {"id": found.id, "visit_no": visit_no})).one_or_none()
    if row is None:
        raise Refused("unknown_visit", f"the record has no visit {visit_no}", 404)
    version = await service.book.version(tx, row.pipeline_id, row.rules_number)
    rules = [rule.id for rule in version.rules.stages.get(row.stage_id, [])]
    if body.rule not in rules:
        raise Refused("unknown_rule", unknown("rule", body.rule, rules), 404)


@router.post("/records/{record_id}/operations", response_model=Operated)
async def operate_on_record(record_id: PathId, body: OperationIn, service: Served, write: Write) -> Response:
    """Have the journey of the record do it; what it refuses is 409.

    It is done within ten seconds, or withdrawn: then the answer is 503, and it is never done.
    """

    # made again after a crash, the operation has the same key: it is not asked for twice
    key = write.key or str(uuid4())
    asked = Operation(id="", key=key, at=service.clock(), **body.model_dump(exclude={"why"}))
    async with service.database.transaction() as tx:
        kept = await write.reserve(tx, By(body.who, service.clock()))
        found = await record(tx, record_id)
        await _known(tx, service, found, body)
        bell = None if kept else await ask(tx, found, asked, body.why)
    if kept:
        return kept
    service.doorbell.ring(bell)
    await operated(service.database, key)
    async with service.database.transaction() as tx:
        return await write.keep(tx, Answer(body=Operated(verb=body.verb)))


_VISIT = text("""
select pipeline_id, stage_id, rules_number from visit where record_id = :id and visit_no = :visit_no
""").bindparams(bindparam("id", type_=BigInteger))
