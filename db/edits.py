"""Editing the fields of a locked record: what the API and the rules have in common.

An edit moves nothing: a stage is set by `db.records.move`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Final, Literal, NamedTuple

from pydantic import BaseModel, JsonValue
from pydantic_core import to_json
from sqlalchemy import ARRAY, BigInteger, DateTime, Numeric, String, bindparam, text

from db.facts import CompanyRow, ContactRow, EmployeeRow
from db.field_values import fitting, texts
from db.locked import Locked
from db.records import By
from domain.errors import Refused
from domain.fields import Field, UnknownField, dump

Link = Literal["contact", "company"]
_COLUMNS: Final[Mapping[str, str]] = {
    "title": "title",
    "amount": "amount",
    "currency": "currency",
    "source": "source",
    "responsible": "responsible_id",
}
"""The standard fields an edit may set, and their columns; `stage` is moved, the others are read-only."""
_FINEST: Final = Decimal("0.0001")  # of an amount
_MOST: Final = Decimal(10) ** 14
_LONGEST_LINE: Final = 10_000  # of what history says of an edit, in characters


class Edited(NamedTuple):
    """What an edit changed: full references like `record.amount`, and typed values by the field's name.

    A client link is named `contact` or `company`, its values are ids. With a new client or responsible, all
    that can be read of them counts as changed, and so does the fact `responsible` that schedules follow.
    """

    changed: tuple[str, ...] = ()
    before: Mapping[str, object] = {}
    after: Mapping[str, object] = {}


async def edit(
    locked: Locked, changes: Mapping[str, object], by: By, *, links: Mapping[Link, int | None] | None = None
) -> Edited:
    """Set fields, named without `record.`, in one update, with one line in the journal.

    Values are typed, or JSON that fits the type of the field. What is there already is no change; without a
    change nothing is written. `links` sets the contact and the company. Raises `Refused` before anything is
    changed: `unknown_field` (also a read-only one), `wrong_type`, `required_field_empty`,
    `wrong_responsible` (not an active employee), `wrong_client` (no such contact or company).
    """
    record, present = locked.record, locked.values(locked.record.visit_no)
    fitting = {name: _fitting(locked, name, raw) for name, raw in changes.items()}
    fields = {name: value for name, value in fitting.items() if value != present[f"record.{name}"]}
    present_links = {"contact": record.contact_id, "company": record.company_id}
    clients = {to: id_ for to, id_ in (links or {}).items() if id_ != present_links[to]}
    if not fields and not clients:
        return Edited()
    before: dict[str, object] = {name: present[f"record.{name}"] for name in fields}
    before |= {to: present_links[to] for to in clients}
    after: dict[str, object] = fields | {str(to): id_ for to, id_ in clients.items()}
    await _surround(locked, fields, clients)
    custom = _set(locked, fields, clients)
    detail = {name: [dump(before[name]), dump(after[name])] for name in after}
    row: dict[str, object] = {column: getattr(record, column) for column in _COLUMNS.values()}
    row |= {"contact_id": record.contact_id, "company_id": record.company_id}
    said = {"id": record.id, "visit_no": record.visit_no, "rule": by.rule, "actor": by.who, "at": by.at}
    texts = {"custom": to_json(custom).decode(), "detail": to_json(detail).decode()}
    words = "; ".join(f"{name}: {_shown(before[name])} → {_shown(after[name])}" for name in after)
    await locked.tx.execute(_EDIT, row | said | texts | {"said": words[:_LONGEST_LINE]})
    return Edited(tuple(_changed(locked, fields, clients)), before, after)


def _shown(value: object) -> str:
    """A value as history shows it."""
    if isinstance(value, list):
        return ", ".join(map(_shown, value)) or "empty"
    return "empty" if value is None or value == "" else str(dump(value))


def _fitting(locked: Locked, name: str, raw: object) -> object:
    """The typed value, as it can be stored."""
    value = fitting(_writable(locked, name), raw)
    if name == "amount" and isinstance(value, Decimal):
        value = value.quantize(_FINEST)
        if abs(value) >= _MOST:
            raise Refused("wrong_type", f"{name}: {value:f} has more than 14 digits before the point")
    return value


def _writable(locked: Locked, name: str) -> Field:
    try:
        field = locked.registry.find(f"record.{name}")
    except UnknownField as unknown:
        raise Refused("unknown_field", str(unknown)) from unknown
    if not field.writable or name == "stage":
        why = "set by moving the record" if name == "stage" else "read-only"
        raise Refused("unknown_field", f"record.{name} is {why}")
    return field


async def _surround(locked: Locked, fields: Mapping[str, object], clients: Mapping[Link, int | None]) -> None:
    """Check the people among the values, and keep what surrounds the record up to date."""
    known = locked.registry.record
    people = {name: texts(value) for name, value in fields.items() if known[name].type == "employee"}
    near = _Near()
    if any(people.values()) or any(clients.values()):
        asked = {"people": sorted({who for listed in people.values() for who in listed})}
        ids = {"contact": clients.get("contact"), "company": clients.get("company")}
        near = _Near.model_validate_json((await locked.tx.execute(_NEAR, asked | ids)).scalar_one())
    found = {person.id: person for person in near.people}
    for name, who in ((name, who) for name, listed in people.items() for who in listed):
        if name == "responsible" and not (who in found and found[who].active):
            raise Refused("wrong_responsible", f"{who!r} is no active employee")
        if who not in found:
            raise Refused("wrong_type", f"{name}: there is no employee {who!r}")
    if clients.get("contact") and not near.contact:
        raise Refused("wrong_client", f"there is no contact {clients['contact']}")
    if clients.get("company") and not near.company:
        raise Refused("wrong_client", f"there is no company {clients['company']}")
    if "responsible" in fields:
        locked.around.responsible = next((found[who] for who in people["responsible"]), None)
    if "contact" in clients:
        locked.around.contact = near.contact
    if "company" in clients:
        locked.around.company = near.company


def _set(
    locked: Locked, fields: Mapping[str, object], clients: Mapping[Link, int | None]
) -> dict[str, JsonValue]:
    """Bring the record in memory up to date; answers the custom fields that were set."""
    record, custom = locked.record, {}
    for name, value in fields.items():
        if name not in _COLUMNS:
            custom[name] = dump(value)
        else:
            empty = "" if name in ("title", "currency", "source") else None
            setattr(record, _COLUMNS[name], empty if value is None else value)
    record.contact_id = clients.get("contact", record.contact_id)
    record.company_id = clients.get("company", record.company_id)
    record.fields = record.fields | custom
    record.version += 1
    return custom


def _changed(
    locked: Locked, fields: Mapping[str, object], clients: Mapping[Link, int | None]
) -> Iterator[str]:
    yield from (f"record.{name}" for name in fields)
    if "responsible" in fields:
        yield "responsible"  # as schedules name it: zone, calendar and absences are theirs
        yield from (f"responsible.{name}" for name in locked.registry.responsible)
    if "contact" in clients:
        yield from (f"contact.{name}" for name in locked.registry.contact)
    if "company" in clients:
        yield from (f"company.{name}" for name in locked.registry.company)


class _Near(BaseModel):
    people: list[EmployeeRow] = []
    contact: ContactRow | None = None
    company: CompanyRow | None = None


_NEAR = text("""
select jsonb_build_object(
  'people', (select coalesce(jsonb_agg(e), '[]') from employee e where e.id = any(:people)),
  'contact', (select to_jsonb(c) from contact c where c.id = :contact),
  'company', (select to_jsonb(c) from company c where c.id = :company)
)::text
""").bindparams(
    bindparam("people", type_=ARRAY(String)),
    bindparam("contact", type_=BigInteger),
    bindparam("company", type_=BigInteger),
)
# the columns are set to what they hold under the lock, so that every edit is the same statement; of the
# custom fields only those that change are written
_EDIT = text("""
with h as (
  insert into history_line (record_id, visit_no, rule, event_type, body, author, at)
  values (:id, :visit_no, :rule, 'edited', :said, :actor, :at)
), r as (
  update record set title = :title, amount = :amount, currency = :currency, source = :source,
    responsible_id = :responsible_id, contact_id = :contact_id, company_id = :company_id,
    fields = fields || cast(:custom as jsonb), version = version + 1
  where id = :id
)
insert into journal (record_id, visit_no, rule, event, at, actor, detail)
values (:id, :visit_no, :rule, 'edited', :at, :actor, cast(:detail as jsonb))
""").bindparams(
    bindparam("id", type_=BigInteger),
    bindparam("amount", type_=Numeric(18, 4)),
    bindparam("responsible_id", type_=String),
    bindparam("contact_id", type_=BigInteger),
    bindparam("company_id", type_=BigInteger),
    bindparam("at", type_=DateTime(timezone=True)),
)
