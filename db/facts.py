"""A record under its lock and everything around it that a decision needs, in one round trip."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from pydantic import BaseModel, ConfigDict, JsonValue
from sqlalchemy import BigInteger, bindparam, text

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
    repeat: bool = False
    suspended: str | None = None
    loop_since_visit: int = 0
    created_at: datetime
    entered_at: datetime
    deleted_at: datetime | None = None
    journey_visit: int
    parent_id: int | None = None
    converted_at: datetime | None = None


class StageRow(_Row):
    id: str
    meaning: str
    retired_at: datetime | None = None


class PipelineRow(_Row):
    id: str
    title: str
    zone: str | None = None
    locale: str | None = None
    calendar_id: str | None = None
    owner_id: str | None = None
    grace: int = 0  # seconds
    fields: list[JsonValue] = []


class ContactRow(_Row):
    id: int
    first_name: str
    last_name: str
    emails: list[str]
    phones: list[str]
    birthday: date | None = None
    company_id: int | None = None
    responsible_id: str | None = None
    address_kinds: dict[str, str] = {}
    fields: dict[str, JsonValue] = {}
    version: int = 1


class CompanyRow(_Row):
    id: int
    name: str
    emails: list[str]
    phones: list[str]
    address: str
    address_kinds: dict[str, str] = {}
    fields: dict[str, JsonValue] = {}
    version: int = 1


class EmployeeRow(_Row):
    id: str
    name: str
    email: str
    phone: str
    mobile: str = ""
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
    opens_at: datetime | None = None
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
    changed: list[str] = []
    triggers: list[str] = []


class HoldRow(_Row):
    visit_no: int
    rule: str
    kind: str
    turn: datetime
    opened_at: datetime
    due_at: datetime | None = None
    deadline: datetime | None = None
    late_since: datetime | None = None
    state: str
    next_act: int
    told: list[str] = []
    closing: bool = False
    outcome: str = ""
    reason: str = ""
    ended_at: datetime | None = None
    note: str = ""
    pinned: bool = False


class SuspensionRow(_Row):
    scope: str
    key: str
    since: datetime
    by_whom: str
    why: str = ""


class Surroundings(_Row):
    """A record and what surrounds it. Visits, ledger and holds begin with the visit asked for."""

    record: RecordRow
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
    company_locale: str = "en"
    company_calendar: str | None = None
    contact_fields: list[JsonValue] = []  # custom fields of contacts, as those of a pipeline
    company_fields: list[JsonValue] = []


_TAKE = text("select take_record(:id, :since)").bindparams(bindparam("id", type_=BigInteger))
_READ = text("select record_with_surroundings(r, least(:since, r.visit_no)) from record r where id = :id")
_READ = _READ.bindparams(bindparam("id", type_=BigInteger))


async def take(tx: Transaction, record_id: int, since: int | None = None) -> Surroundings | None:
    """Lock the record until the transaction ends, and read what surrounds it; None if there is none.

    Visits, ledger and holds begin with visit `since`, by default the present one. Acts on a record go one by
    one: whoever has the lock sees everything that was committed before.
    """
    found = (await tx.execute(_TAKE, {"id": record_id, "since": since})).scalar_one()
    return None if found is None else Surroundings.model_validate_json(found)


async def read(tx: Transaction, record_id: int, since: int | None = None) -> Surroundings | None:
    """The same without the lock, for showing."""
    found = (await tx.execute(_READ, {"id": record_id, "since": since})).scalar_one_or_none()
    return None if found is None else Surroundings.model_validate_json(found)
