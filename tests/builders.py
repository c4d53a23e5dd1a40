"""Data for tests: a small company, its clients, and records as the write path leaves them.

`company` makes all that a record needs; the rest adds to it. Every function works in the caller's
transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlmodel import col

from db import tables
from db.engine import Transaction
from db.facts import RecordRow, VisitRow
from db.journal import line
from db.outbox import Bell, bell_rows
from db.records import By, visit_row
from db.rows import write

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
"""A Monday."""
WORK_WEEK: dict[str, Any] = {
    "zone": "Europe/Paris",
    "week": {day: ["09:00-12:00", "14:00-18:00"] for day in ("mon", "tue", "wed", "thu", "fri")},
}
SALES = {"new": "process", "offer": "process", "deal": "process", "won": "success", "lost": "failure"}
SERVICE = {"intake": "process", "repair": "process", "returned": "success", "scrapped": "failure"}
STATUSES = {"fresh": "process", "working": "process", "converted": "success", "junk": "failure"}
FIELDS: list[dict[str, Any]] = [
    {"name": "due_on", "type": "date"},
    {"name": "visit_at", "type": "datetime"},
    {"name": "priority", "type": "choice", "choices": ["low", "high"]},
    {"name": "tags", "type": "text", "multiple": True},
    {"name": "score", "type": "number"},
    {"name": "hot", "type": "boolean"},
    {"name": "coupon", "type": "text"},
    {"name": "reference", "type": "text", "required": True},
    {"name": "assistant", "type": "employee"},
    {"name": "imported_from", "type": "text", "writable": False},
    {"name": "visit", "type": "booking"},
    {"name": "fitting", "type": "booking", "choices": ["employee:ada", "resource:van"]},
]
"""Custom fields of the pipelines that `company` makes."""


async def company(
    tx: Transaction, *, zone: str = "Europe/Paris", calendar: Mapping[str, Any] | None = WORK_WEEK
) -> None:
    """Eve runs it; Hugo heads the sales, in which Ada and Ben are; deals are sold, then served.

    Two pipelines of deals, `sales` and `service`, one of leads, `leads`.
    """
    await setting(tx, "zone", zone)
    if calendar is not None:
        await calendar_of(tx, "office", calendar)
        await setting(tx, "calendar", "office")
    await department(tx, "board")
    await department(tx, "sales", parent="board")
    await employee(tx, "eve", department="board", head=True)
    await employee(tx, "hugo", department="sales", head=True)
    await employee(tx, "ada", department="sales")
    await employee(tx, "ben", department="sales")
    await pipeline(tx, "sales", SALES)
    await pipeline(tx, "service", SERVICE)
    await pipeline(tx, "leads", STATUSES, record_type="lead")


async def setting(tx: Transaction, key: str, value: object) -> None:
    await tx.execute(insert(tables.Setting).values(key=key, value=value))


async def calendar_of(tx: Transaction, calendar_id: str, definition: Mapping[str, Any] = WORK_WEEK) -> None:
    row = {"id": calendar_id, "title": calendar_id.title(), "definition": dict(definition)}
    await tx.execute(insert(tables.Calendar).values(row))


async def department(
    tx: Transaction, department_id: str, *, parent: str | None = None, head: str | None = None
) -> None:
    row = {"id": department_id, "title": department_id.title(), "parent_id": parent, "head_id": head}
    await tx.execute(insert(tables.Department).values(row))


async def employee(
    tx: Transaction,
    employee_id: str,
    *,
    name: str = "",
    department: str | None = None,
    head: bool = False,
    **more: Any,
) -> None:
    """`more`: email, phone, zone, calendar_id, active. `head`: of the department, from now on."""
    row = {
        "id": employee_id,
        "name": name or employee_id.title(),
        "email": f"{employee_id}@company.example",
        "department_id": department,
    }
    await tx.execute(insert(tables.Employee).values(row | more))
    if head:
        mine = col(tables.Department.id) == department
        await tx.execute(update(tables.Department).where(mine).values(head_id=employee_id))


async def document_template(tx: Transaction, template_id: str, source: str, **more: Any) -> None:
    """`source` is the digest under which the template is kept. `more`: format, version, title, required."""
    row = {"id": template_id, "version": 1, "title": template_id.title(), "format": "typst", "source": source}
    await tx.execute(insert(tables.DocumentTemplate).values(row | {"published_at": NOON} | more))


async def number_series(tx: Transaction, series_id: str, pattern: str, **more: Any) -> None:
    """`more`: next."""
    await tx.execute(insert(tables.NumberSeries).values({"id": series_id, "pattern": pattern} | more))


async def resource(tx: Transaction, resource_id: str, **more: Any) -> None:
    """A thing that can be booked. `more`: title, calendar_id, active."""
    row = {"id": resource_id, "title": resource_id.title()}
    await tx.execute(insert(tables.Resource).values(row | more))


async def absence(tx: Transaction, employee_id: str, starts_at: datetime, ends_at: datetime) -> None:
    row = {"employee_id": employee_id, "starts_at": starts_at, "ends_at": ends_at}
    await tx.execute(insert(tables.Absence).values(row))


async def contact(
    tx: Transaction, *, first_name: str = "Clara", last_name: str = "Klein", **more: Any
) -> int:
    """`more`: emails, phones, birthday, company_id, fields."""
    row = {"first_name": first_name, "last_name": last_name, "emails": ["clara@client.example"]}
    made = insert(tables.Contact).values(row | more).returning(col(tables.Contact.id))
    return int((await tx.execute(made)).scalar_one())


async def client_company(tx: Transaction, *, name: str = "Klein & Sons", **more: Any) -> int:
    """A client that is an organisation. `more`: emails, phones, address, fields."""
    made = insert(tables.Company).values({"name": name} | more).returning(col(tables.Company.id))
    return int((await tx.execute(made)).scalar_one())


async def pipeline(
    tx: Transaction,
    pipeline_id: str,
    stages: Mapping[str, str],
    *,
    record_type: str = "deal",
    fields: Sequence[Mapping[str, Any]] = FIELDS,
    **more: Any,
) -> None:
    """`stages`: the meaning of each, in order. `more`: zone, calendar_id, owner_id."""
    row = {"id": pipeline_id, "record_type": record_type, "title": pipeline_id.title()}
    await tx.execute(insert(tables.Pipeline).values(row | {"fields": [dict(f) for f in fields]} | more))
    own = {"pipeline_id": pipeline_id}
    listed = [
        own | {"id": stage, "title": stage.title(), "position": place, "meaning": meaning}
        for place, (stage, meaning) in enumerate(stages.items())
    ]
    await tx.execute(insert(tables.Stage), listed)


async def rule_set(
    tx: Transaction,
    stages: Mapping[str, Sequence[Mapping[str, Any]]],
    *,
    pipeline: str = "sales",
    owner: str = "eve",
    at: datetime = NOON,
    triggers: Sequence[Mapping[str, Any]] = (),
) -> int:
    """Publish the rules (JSON) of the stages as the next version; answers its number."""
    number = await _latest(tx, pipeline) + 1
    row = {"pipeline_id": pipeline, "number": number, "owner_id": owner, "published_at": at}
    made = {"stages": {s: [*r] for s, r in stages.items()}, "triggers": [*triggers]}
    await tx.execute(insert(tables.RuleSet).values(row | made))
    return number


async def deal(tx: Transaction, *, stage: str = "new", pipeline: str = "sales", **more: Any) -> int:
    """See `record`."""
    return await record(tx, "deal", pipeline, stage, **more)


async def lead(tx: Transaction, *, stage: str = "fresh", pipeline: str = "leads", **more: Any) -> int:
    """See `record`."""
    return await record(tx, "lead", pipeline, stage, **more)


async def record(
    tx: Transaction,
    record_type: str,
    pipeline: str,
    stage: str,
    *,
    title: str = "A roof for Klein",
    amount: str | None = None,
    responsible: str | None = "ada",
    contact: int | None = None,
    company: int | None = None,
    fields: Mapping[str, Any] | None = None,
    at: datetime = NOON,
    by: str = "eve",
    **more: Any,
) -> int:
    """A record and its first visit, on the version of the rules that is the latest; answers its id."""
    row = {
        "record_type": record_type,
        "pipeline_id": pipeline,
        "stage_id": stage,
        "title": title,
        "amount": None if amount is None else Decimal(amount),
        "responsible_id": responsible,
        "contact_id": contact,
        "company_id": company,
        "fields": dict(fields or {}),
        "created_at": at,
        "entered_at": at,
    }
    made = insert(tables.Record).values(row | more).returning(*tables.Record.__table__.c)
    own = RecordRow.model_validate(dict((await tx.execute(made)).mappings().one()))
    visit = VisitRow(
        visit_no=1, pipeline_id=pipeline, stage_id=stage, pass_no=1, entered_at=at,
        rules_number=await _latest(tx, pipeline),
    )  # fmt: skip
    said = line(own.id, 1, "created", at, actor=by, detail={"to": f"{pipeline}/{stage}"})
    await write(tx, [visit_row(own.id, visit, "created", By(by, at)), said, bell_rows(Bell.entered(own), at)])
    return own.id


async def _latest(tx: Transaction, pipeline: str) -> int:
    asked = select(func.coalesce(func.max(col(tables.RuleSet.number)), 0))
    return int((await tx.execute(asked.where(col(tables.RuleSet.pipeline_id) == pipeline))).scalar_one())
