"""A record comes into being: the first of its entries."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic_core import to_json
from sqlalchemy import BigInteger, String, bindparam, select, text
from sqlmodel import col

from db.engine import Transaction
from db.facts import RecordRow, VisitRow
from db.journal import line
from db.locked import registry
from db.outbox import Bell, bell_rows
from db.records import By, visit_row
from db.rows import Ids, Rows, write
from db.tables import Employee
from domain.errors import Refused
from domain.fields import (
    CURRENCY,
    LONGEST_NAME,
    LONGEST_TITLE,
    Registry,
    UnknownField,
    WrongType,
    dump,
    is_empty,
    parse,
)
from domain.standard_fields import OWN_FIELDS, standard

RecordId = Annotated[int, Field(ge=1, le=2**63 - 1)]


class NewRecord(BaseModel):
    """A record to be created. Without a stage it enters the first stage of the process.

    `fields` are custom fields, as JSON that fits their types, and those that say whom the record is about:
    `first_name`, `last_name`, `company_name`, `email`, `phone`. `run_rules` false opens the first visit with
    an empty plan, as for an import.
    """

    model_config = ConfigDict(extra="forbid")

    type: Literal["lead", "deal"]
    pipeline: str
    stage: str | None = None
    title: Annotated[str, Field(min_length=1, max_length=LONGEST_TITLE)]
    amount: Annotated[Decimal, Field(max_digits=18, decimal_places=4)] | None = None
    currency: Annotated[str, Field(pattern=CURRENCY)] = "EUR"
    source: Annotated[str, Field(max_length=LONGEST_NAME)] = ""
    responsible: str | None = None
    contact: RecordId | None = None
    company: RecordId | None = None
    fields: dict[str, JsonValue] = {}
    run_rules: bool = True


class Origin(NamedTuple):
    """What a record born of a rule has of its parent; `depth` is its own: how many births lie behind it.

    Of `fields`, the parent's custom ones, those are taken over that the new record has too and whose values
    fit. `repeat`: of a lead, its client is known.
    """

    parent: int
    depth: int
    fields: Mapping[str, JsonValue] = {}  # a NamedTuple's default, never written to
    repeat: bool = False


class Created(NamedTuple):
    """The new record, and the bell to be rung after the commit."""

    record: RecordRow
    bell: Bell


async def create(
    tx: Transaction, ids: Ids, new: NewRecord, by: By, *, origin: Origin | None = None
) -> Created:
    """Write the record, its first visit, the journal and the outbox, with one statement.

    `origin` is that of a record born of a rule, the rule `by.rule` of its parent. Raises
    `Refused` for a pipeline, stage, responsible, contact or company there is not, and for a field that is
    unknown, read-only, of another type, or required and empty.
    """
    if is_empty(new.title):
        raise Refused("required_field_empty", "title is required and would be empty")
    around = await _surroundings(tx, new)
    stage = _stage(new, around)
    known = registry(new.type, to_json(around.fields))
    fields = _fields(new.fields, known) | _inherited(origin, known)
    await _check_people(tx, fields, known)
    record = RecordRow(
        id=await ids.take(tx, "record"), record_type=new.type, pipeline_id=new.pipeline, stage_id=stage,
        title=new.title, amount=new.amount, currency=new.currency, source=new.source,
        responsible_id=new.responsible, contact_id=new.contact, company_id=new.company, fields=fields,
        version=1, visit_no=1, pass_no=1, late=False, created_at=by.at, entered_at=by.at, journey_visit=0,
        depth=origin.depth if origin else 0, parent_id=origin.parent if origin else None,
        repeat=bool(origin and origin.repeat),
    )  # fmt: skip
    visit = VisitRow(
        visit_no=1, pipeline_id=new.pipeline, stage_id=stage, pass_no=1, entered_at=by.at,
        rules_number=around.rules_number if new.run_rules else 0,
    )  # fmt: skip
    detail: dict[str, object] = {"to": f"{new.pipeline}/{stage}"}
    detail |= {} if new.run_rules else {"run_rules": False}
    detail |= {"rule": by.rule, "parent": origin.parent} if origin else {}
    bell = Bell.entered(record)
    await write(
        tx,
        [
            Rows("record", [record.model_dump()]),
            visit_row(record.id, visit, "created", by, run_rules=new.run_rules),
            line(record.id, 1, "created", by.at, actor=by.who, detail=detail),
            bell_rows(bell, by.at),
        ],
    )
    return Created(record, bell)


class _Stage(BaseModel):
    id: str
    meaning: str


class _Around(BaseModel):
    record_type: str
    fields: list[JsonValue]
    stages: list[_Stage]
    rules_number: int
    responsible: bool
    contact: bool
    company: bool


async def _surroundings(tx: Transaction, new: NewRecord) -> _Around:
    asked = {"pipeline": new.pipeline, "responsible": new.responsible, "contact": new.contact}
    row = (await tx.execute(_AROUND, asked | {"company": new.company})).scalar_one_or_none()
    around = None if row is None else _Around.model_validate_json(row)
    if around is None or around.record_type != new.type:
        raise Refused("wrong_pipeline", f"there is no pipeline {new.pipeline!r} of {new.type}s")
    if new.responsible is not None and not around.responsible:
        raise Refused("wrong_responsible", f"{new.responsible!r} is no active employee")
    if new.contact is not None and not around.contact:
        raise Refused("wrong_client", f"there is no contact {new.contact}")
    if new.company is not None and not around.company:
        raise Refused("wrong_client", f"there is no company {new.company}")
    return around


async def _check_people(tx: Transaction, fields: Mapping[str, JsonValue], known: Registry) -> None:
    named = {name: value for name, value in fields.items() if known.record[name].type == "employee"}
    if not named:
        return
    wanted = {name: value if isinstance(value, list) else [value] for name, value in named.items()}
    ids = {str(one) for several in wanted.values() for one in several}
    there = set((await tx.execute(select(col(Employee.id)).where(col(Employee.id).in_(ids)))).scalars())
    for name, several in wanted.items():
        if missing := [one for one in several if one not in there]:
            raise Refused("wrong_type", f"{name}: there is no employee {missing[0]!r}")


def _stage(new: NewRecord, around: _Around) -> str:
    fits = (s.id for s in around.stages if (s.id == new.stage if new.stage else s.meaning == "process"))
    found = next(fits, None)
    if found is None:
        what = repr(new.stage) if new.stage else "of the process"
        raise Refused("wrong_stage", f"{new.pipeline} has no stage {what}")
    return found


def _fields(given: Mapping[str, JsonValue], known: Registry) -> dict[str, JsonValue]:
    """Custom fields in the form they are stored in; empty ones are left out."""
    found: dict[str, JsonValue] = {}
    for name, raw in given.items():
        try:
            field = known.find(f"record.{name}")
            value = parse(field, raw)
        except UnknownField as unknown:
            raise Refused("unknown_field", str(unknown)) from unknown
        except WrongType as wrong:
            raise Refused("wrong_type", str(wrong)) from wrong
        if name in _STANDARD or not field.writable:
            raise Refused("unknown_field", f"{name!r} is not a custom field that may be set")
        if field.required and is_empty(value):
            raise Refused("required_field_empty", f"{name} is required and would be empty")
        if not is_empty(value):
            found[name] = dump(value)
    return found


def _inherited(origin: Origin | None, known: Registry) -> dict[str, JsonValue]:
    """The parent's custom fields that the new record has as well; read-only ones are not taken over."""
    found: dict[str, JsonValue] = {}
    for name, raw in (origin.fields if origin else {}).items():
        field = known.record.get(name)
        if field is None or name in _STANDARD or not field.writable:
            continue
        with suppress(WrongType):  # of another type here
            value = parse(field, raw)
            found |= {} if is_empty(value) else {name: dump(value)}
    return found


_STANDARD = frozenset(standard("deal").record) - frozenset(OWN_FIELDS)
_AROUND = text("""
select jsonb_build_object(
  'record_type', p.record_type,
  'fields', p.fields,
  'stages', (select coalesce(jsonb_agg(s order by s.position, s.id), '[]') from stage s
             where s.pipeline_id = p.id and s.retired_at is null),
  'rules_number', (select coalesce(max(number), 0) from rule_set where pipeline_id = p.id),
  'responsible', exists (select 1 from employee where id = :responsible and active),
  'contact', exists (select 1 from contact where id = :contact),
  'company', exists (select 1 from company where id = :company)
)::text
from pipeline p where p.id = :pipeline
""").bindparams(
    bindparam("responsible", type_=String),
    bindparam("contact", type_=BigInteger),
    bindparam("company", type_=BigInteger),
)
