"""A locked record and everything around it that a decision needs, in two statements."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from pydantic import BaseModel, ConfigDict, JsonValue
from sqlalchemy import BigInteger, String, bindparam, text

from db.engine import Transaction


class _Row(BaseModel):
    model_config = ConfigDict(extra="ignore")


class RecordRow(_Row):
    """The record as it is while its lock is held; the write path keeps it up to date."""

    id: int
    record_type: str
    pipeline_id: str
    stage_id: str
    title: str
    amount: Decimal | None = None
    currency: str
    source: str
    responsible_id: str | None = None
    contact_id: int | None = None
    company_id: int | None = None
    fields: dict[str, JsonValue] = {}
    version: int
    visit_no: int
    pass_no: int
    depth: int
    late: bool
    suspended: str | None = None
    loop_since: datetime | None = None
    created_at: datetime
    entered_at: datetime
    deleted_at: datetime | None = None
    journey_visit: int


class StageRow(_Row):
    id: str
    meaning: str
    retired_at: datetime | None = None


class PipelineRow(_Row):
    id: str
    title: str
    zone: str | None = None
    calendar_id: str | None = None
    owner_id: str | None = None
    fields: list[JsonValue] = []


class ContactRow(_Row):
    id: int
    first_name: str
    last_name: str
    emails: list[str]
    phones: list[str]
    birthday: date | None = None
    fields: dict[str, JsonValue] = {}


class CompanyRow(_Row):
    id: int
    name: str
    emails: list[str]
    phones: list[str]
    address: str
    fields: dict[str, JsonValue] = {}


class EmployeeRow(_Row):
    id: str
    name: str
    email: str
    phone: str
    department_id: str | None = None
    zone: str | None = None
    calendar_id: str | None = None
    active: bool = True


class VisitRow(_Row):
    visit_no: int
    pipeline_id: str
    stage_id: str
    rules_number: int
    pass_no: int
    entered_at: datetime
    left_at: datetime | None = None
    left_reason: str | None = None
    left_by: str = ""
    kept: list[str] = []


class LedgerRow(_Row):
    visit_no: int
    rule: str
    n: int
    outcome: str
    reason: str
    at: datetime
    moved_to: int = 0
    results: dict[str, JsonValue] = {}


class HoldRow(_Row):
    visit_no: int
    rule: str
    kind: str
    turn: datetime
    opened_at: datetime
    due_at: datetime | None = None
    late_since: datetime | None = None
    state: str
    next_act: int
    told: list[str] = []
    outcome: str = ""
    reason: str = ""
    ended_at: datetime | None = None
    note: str = ""
    pinned: bool = False


class SuspensionRow(_Row):
    scope: str
    key: str


class Surroundings(_Row):
    """What was read after the lock was had. Visits, ledger and holds begin with the visit asked for."""

    pipeline: PipelineRow
    stages: list[StageRow]
    rules_number: int = 0  # of the version that applies to the next entry
    contact: ContactRow | None = None
    company: CompanyRow | None = None
    responsible: EmployeeRow | None = None
    visits: list[VisitRow] = []
    ledger: list[LedgerRow] = []
    holds: list[HoldRow] = []
    suspensions: list[SuspensionRow] = []
    company_zone: str = "UTC"
    company_calendar: str | None = None


_ID = bindparam("id", type_=BigInteger)
_LOCK = text("select * from record where id = :id for no key update").bindparams(_ID)
# a second statement: its snapshot is taken when the lock is had, not when it was asked for
_AROUND = text("""
select jsonb_build_object(
  'pipeline', (select to_jsonb(p) from pipeline p where p.id = :pipeline),
  'stages', (select coalesce(jsonb_agg(s order by s.position), '[]') from stage s
             where s.pipeline_id = :pipeline),
  'rules_number', (select coalesce(max(number), 0) from rule_set where pipeline_id = :pipeline),
  'contact', (select to_jsonb(c) from contact c where c.id = :contact),
  'company', (select to_jsonb(c) from company c where c.id = :company),
  'responsible', (select to_jsonb(e) from employee e where e.id = :responsible),
  'visits', (select coalesce(jsonb_agg(v order by v.visit_no), '[]') from visit v
             where v.record_id = :id and v.visit_no >= :since),
  'ledger', (select coalesce(jsonb_agg(l), '[]') from ledger l
             where l.record_id = :id and l.visit_no >= :since),
  'holds', (select coalesce(jsonb_agg(h), '[]') from hold h where h.record_id = :id and h.visit_no >= :since),
  'suspensions', (select coalesce(jsonb_agg(s), '[]') from suspension s
                  where s.scope in ('everything', 'rule') or (s.scope = 'pipeline' and s.key = :pipeline)
                     or (s.scope = 'record' and s.key = :key)),
  'company_zone', (select coalesce((select value #>> '{}' from setting where key = 'zone'), 'UTC')),
  'company_calendar', (select value #>> '{}' from setting where key = 'calendar')
)::text
""").bindparams(
    _ID,
    bindparam("contact", type_=BigInteger),
    bindparam("company", type_=BigInteger),
    bindparam("responsible", type_=String),
)


async def lock(tx: Transaction, record_id: int) -> RecordRow | None:
    """Lock the record until the transaction ends; None if there is none. Acts on a record go one by one."""
    row = (await tx.execute(_LOCK, {"id": record_id})).mappings().one_or_none()
    return RecordRow.model_validate(dict(row)) if row else None


async def around(tx: Transaction, record: RecordRow, since: int) -> Surroundings:
    """What surrounds a locked record, with its visits from number `since` on."""
    asked = {
        "id": record.id,
        "key": str(record.id),
        "pipeline": record.pipeline_id,
        "contact": record.contact_id,
        "company": record.company_id,
        "responsible": record.responsible_id,
        "since": since,
    }
    found = (await tx.execute(_AROUND, asked)).scalar_one()
    return Surroundings.model_validate_json(found)
