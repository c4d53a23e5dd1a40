"""Pipelines, and the rules published for them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, JsonValue
from sqlalchemy import select, text
from sqlmodel import col

from activities.publish import publish
from api.input import Name, PathName, Sendable
from api.service import Served
from api.writing import Answer, Write
from db.engine import Transaction
from db.records import By
from db.tables import RuleSet as Published
from domain.errors import Refused
from domain.fields import Problem
from domain.rule import RuleSet

router = APIRouter(tags=["rules"])


class RulesIn(RuleSet, Sendable):
    """All rules of a pipeline, by stage; `owner` is the employee who is told of failures."""

    owner: Name


class NumberOut(BaseModel):
    """The version that was published, and what should be looked at once more in it."""

    number: int
    warnings: list[Problem] = []


class StageOut(BaseModel):
    id: str
    title: str
    meaning: str


class PipelineOut(BaseModel):
    """A pipeline with its stages, in order. `rules` is the number of the current version, 0 for none."""

    id: str
    record_type: str
    title: str
    stages: list[StageOut]
    rules: int


class RulesOut(BaseModel):
    """One version of the rules of a pipeline."""

    pipeline: str
    number: int
    owner: str
    published_at: datetime | None
    stages: dict[str, JsonValue]
    triggers: list[JsonValue]


@router.put("/pipelines/{pipeline}/rules", status_code=201, response_model=NumberOut)
async def publish_rules(pipeline: PathName, body: RulesIn, service: Served, write: Write) -> Response:
    """Publish the next version. Records in flight stay on the version they entered their stage with.

    What is wrong is listed in `errors`, each with the JSON pointer of its place.
    """

    async def work(tx: Transaction, by: By) -> Answer:
        rules = RuleSet(stages=body.stages, triggers=body.triggers)
        providers = service.settings.sms_providers
        made = await publish(tx, pipeline, rules, body.owner, by.at, providers)
        return Answer(201, NumberOut(number=made.number, warnings=made.warnings))

    return await write(work)


@router.get("/pipelines")
async def list_pipelines(service: Served) -> list[PipelineOut]:
    """All pipelines, in order."""
    async with service.database.transaction() as tx:
        rows = (await tx.execute(_PIPELINES)).mappings().all()
    return [PipelineOut.model_validate(dict(row)) for row in rows]


@router.get("/pipelines/{pipeline}/rules")
async def read_rules(
    pipeline: PathName, service: Served, number: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None
) -> RulesOut:
    """The current rules of a pipeline, or a version of them; number 0 if none was published yet."""
    asked = select(Published.__table__).where(col(Published.pipeline_id) == pipeline)  # type: ignore[attr-defined]  # SQLModel adds it
    if number is not None:
        asked = asked.where(col(Published.number) == number)
    async with service.database.transaction() as tx:
        row = (await tx.execute(asked.order_by(col(Published.number).desc()).limit(1))).one_or_none()
        known = (await tx.execute(_KNOWN, {"pipeline": pipeline})).scalar_one()
    if row is None and (number is not None or not known):
        what = f"version {number} of the rules of {pipeline!r}" if known else f"pipeline {pipeline!r}"
        raise Refused("unknown_pipeline", f"there is no {what}", 404)
    if row is None:
        return RulesOut(pipeline=pipeline, number=0, owner="", published_at=None, stages={}, triggers=[])
    said = {"pipeline": pipeline, "owner": row.owner_id}
    made = {"number": row.number, "published_at": row.published_at}
    return RulesOut(**said, **made, stages=row.stages, triggers=row.triggers)


_KNOWN = text("select exists (select 1 from pipeline where id = :pipeline)")
_PIPELINES = text("""
select p.id, p.record_type, p.title,
  (select coalesce(max(number), 0) from rule_set r where r.pipeline_id = p.id) as rules,
  (select coalesce(jsonb_agg(jsonb_build_object('id', s.id, 'title', s.title, 'meaning', s.meaning)
     order by s.position, s.id), '[]')
   from stage s where s.pipeline_id = p.id and s.retired_at is null) as stages
from pipeline p order by p.position, p.id
""")
