"""Making and editing contacts and companies: what the API and the rules have in common.

A client's own history is `client_change`; what a rule did stands in the journal of its record too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from pydantic import JsonValue
from pydantic_core import to_json
from sqlalchemy import ARRAY, BigInteger, BindParameter, Date, DateTime, String, TextClause, bindparam, text

from db.clients import ROWS, AddressKind, Client, ClientRow, Taken, client_fields, hold_addresses, normalised
from db.edits import Edited
from db.engine import Transaction
from db.facts import ContactRow
from db.field_values import fitting, texts
from db.records import By
from db.rows import Ids, Rows, write
from domain.errors import Refused
from domain.fields import WrongType, dump, is_empty, parse

_LISTS: Final = {"email": "emails", "phone": "phones"}
_OWN: Final[Mapping[Client, Mapping[str, str]]] = {
    "contact": {
        "first_name": "first_name", "last_name": "last_name", "birthday": "birthday",
        "responsible": "responsible_id", **_LISTS,
    },
    "company": {"name": "name", "address": "address", **_LISTS},
}  # fmt: skip
"""The standard fields and the columns they are kept in; every other field is a custom one."""


class Cause(NamedTuple):
    """The rule's record and visit, for the history; zeros where no rule did it."""

    record_id: int = 0
    visit_no: int = 0


NO_RULE: Final = Cause()


class Changes(NamedTuple):
    """What is to be set: fields by name, as typed values or JSON that fits their types.

    `kinds` says of addresses, as they are kept, what they are for; what it does not name stays. `company` is
    that of a contact, `links` that it is to be set.
    """

    fields: Mapping[str, object]
    kinds: Mapping[str, AddressKind] = {}
    company: int | None = None
    links: bool = False


async def make_client(
    tx: Transaction, ids: Ids, client: Client, wanted: Changes, by: By, region: str, cause: Cause = NO_RULE
) -> ClientRow:
    """A new contact or company. `region` is the country of phone numbers that name none.

    Raises `Refused` as `edit_client` does, and for a company without a name and a contact about whom nothing
    is said.
    """
    plain = ("first_name", "last_name") if client == "contact" else ("name", "address")
    blank: dict[str, object] = {"id": await ids.take(tx, client), "emails": [], "phones": []}
    row = ROWS[client].model_validate(blank | dict.fromkeys(plain, ""))
    taken = Taken(client, row, await client_fields(tx, client))
    given = _fitting(taken, wanted, region)
    said = ("first_name", "last_name", "email", "phone") if client == "contact" else ("name",)
    if all(is_empty(given.get(name)) for name in said):
        raise Refused("required_field_empty", f"a {client} needs {' or '.join(said)}")
    await _check(tx, taken, given, wanted)
    _set(taken, given, wanted)
    row.fields = {name: value for name, value in row.fields.items() if not is_empty(value)}
    await hold_addresses(tx, [*row.emails, *row.phones])
    made: dict[str, object] = {f"{client}_id": row.id, "event": "created", "actor": by.who, "at": by.at}
    made |= {"record_id": cause.record_id or None, "rule": by.rule}
    await write(tx, [Rows(client, [row.model_dump()]), Rows("client_change", [made])])
    return row


async def edit_client(
    tx: Transaction, taken: Taken, wanted: Changes, by: By, region: str, cause: Cause = NO_RULE
) -> Edited:
    """Set fields of a client under its lock, in one update; the row in memory is kept up to date.

    E-mail addresses and phone numbers are normalised. What is there already is no change; without a change
    nothing is written. The answer's `changed` are full references, as `contact.first_name`. Raises `Refused`
    before anything is changed: `unknown_field` (also a read-only one), `wrong_type`, `required_field_empty`,
    `wrong_responsible` (not an active employee), `wrong_client` (no such company).
    """
    given = _fitting(taken, wanted, region)
    present = {name: value_of(taken, name) for name in given}
    fields = {name: value for name, value in given.items() if value != present[name]}
    await _check(tx, taken, fields, wanted)
    links, kinds = _company(taken.row), dict(taken.row.address_kinds)
    custom = _set(taken, fields, wanted)
    before: dict[str, object] = {name: present[name] for name in fields}
    after: dict[str, object] = dict(fields)
    if links != _company(taken.row):
        before["company"], after["company"] = links, _company(taken.row)
    if kinds != taken.row.address_kinds:
        before["address_kinds"], after["address_kinds"] = kinds, taken.row.address_kinds
    if not after:
        return Edited()
    taken.row.version += 1
    detail = {name: [_shown(before[name]), _shown(after[name])] for name in after}
    await _write(tx, taken, custom, detail, by, cause)
    return Edited(tuple(f"{taken.client}.{name}" for name in fields), before, after)


def value_of(taken: Taken, name: str) -> object:
    """The typed value of a field; one that no longer fits it counts as empty."""
    own, field = _OWN[taken.client], taken.fields[name]
    try:
        return parse(field, getattr(taken.row, own[name]) if name in own else taken.row.fields.get(name))
    except WrongType:
        return parse(field, None)


# -- inside ------------------------------------------------------------------------------------------
def _fitting(taken: Taken, wanted: Changes, region: str) -> dict[str, object]:
    """The typed values, as they can be stored."""
    found: dict[str, object] = {}
    for name, raw in wanted.fields.items():
        field = taken.fields.get(name)
        if field is None or not field.writable:
            why = "there is no field" if field is None else "read-only:"
            raise Refused("unknown_field", f"{why} {taken.client}.{name}")
        value = fitting(field, raw)
        found[name] = normalised(name, texts(value), region) if name in _LISTS else value
    return found


async def _check(tx: Transaction, taken: Taken, given: Mapping[str, object], wanted: Changes) -> None:
    """Raises `Refused` for employees and a company there are not."""
    named = {name: texts(value) for name, value in given.items() if taken.fields[name].type == "employee"}
    people = sorted({who for listed in named.values() for who in listed})
    if people:
        active = {row.id: row.active for row in await tx.execute(_PEOPLE, {"people": people})}
        for name, who in ((name, who) for name, listed in named.items() for who in listed):
            if name == "responsible" and not active.get(who):
                raise Refused("wrong_responsible", f"{who!r} is no active employee")
            if who not in active:
                raise Refused("wrong_type", f"{name}: there is no employee {who!r}")
    if not wanted.links or wanted.company is None:
        return
    if not (await tx.execute(_COMPANY, {"id": wanted.company})).scalar_one():
        raise Refused("wrong_client", f"there is no company {wanted.company}")


def _set(taken: Taken, given: Mapping[str, object], wanted: Changes) -> dict[str, JsonValue]:
    """Bring the row in memory up to date; answers the custom fields that were set."""
    row, own, custom = taken.row, _OWN[taken.client], {}
    for name, value in given.items():
        if name in own:
            blank = None if name in ("birthday", "responsible") else ""
            setattr(row, own[name], blank if value is None else value)
        else:
            custom[name] = dump(value)
    row.fields = row.fields | custom
    if isinstance(row, ContactRow) and wanted.links:
        row.company_id = wanted.company
    reached = {*row.emails, *row.phones}
    kinds = row.address_kinds | dict[str, str](wanted.kinds)
    row.address_kinds = {address: kind for address, kind in kinds.items() if address in reached}
    return custom


def _company(row: ClientRow) -> int | None:
    return row.company_id if isinstance(row, ContactRow) else None


def _shown(value: object) -> JsonValue:
    return dict(value) if isinstance(value, dict) else dump(value)


async def _write(
    tx: Transaction,
    taken: Taken,
    custom: Mapping[str, JsonValue],
    detail: Mapping[str, object],
    by: By,
    cause: Cause,
) -> None:
    row = taken.row
    quoted = {f"{taken.client}.{name}": pair for name, pair in detail.items()}
    said = {"detail": detail, "quoted": quoted, "custom": custom}
    said |= {name: getattr(row, name) for name in ("emails", "phones", "address_kinds")}
    asked: dict[str, object] = {name: to_json(value).decode() for name, value in said.items()}
    asked |= {column: getattr(row, column) for column in _PLAIN[taken.client]}
    asked |= {"id": row.id, "rule": by.rule, "actor": by.who, "at": by.at}
    asked |= {"record_id": cause.record_id or None, "visit_no": cause.visit_no}
    await tx.execute(_EDIT[taken.client], asked)


_PLAIN: Final[Mapping[Client, tuple[str, ...]]] = {
    "contact": ("first_name", "last_name", "birthday", "company_id", "responsible_id"),
    "company": ("name", "address"),
}


def _edit_statement(client: Client) -> TextClause:
    """As for records: every edit is the same statement; of custom fields only what changes is written."""
    plain = ", ".join(f"{column} = :{column}" for column in _PLAIN[client])
    return text(f"""
with c as (
  update {client} set {plain}, emails = cast(:emails as jsonb), phones = cast(:phones as jsonb),
    address_kinds = cast(:address_kinds as jsonb), fields = fields || cast(:custom as jsonb),
    version = version + 1
  where id = :id
), j as (
  insert into journal (record_id, visit_no, rule, event, at, actor, detail)
  select r.id, :visit_no, :rule, 'edited', :at, :actor, cast(:quoted as jsonb)
  from record r where r.id = :record_id
)
insert into client_change ({client}_id, event, record_id, rule, actor, at, detail)
values (:id, 'edited', :record_id, :rule, :actor, :at, cast(:detail as jsonb))
""").bindparams(  # noqa: S608  # known names
        *_TYPED, *(_OF_CONTACT if client == "contact" else ())
    )


_TYPED: Final = (
    bindparam("id", type_=BigInteger),
    bindparam("record_id", type_=BigInteger),
    bindparam("at", type_=DateTime(timezone=True)),
)
_OF_CONTACT: Final[tuple[BindParameter[Any], ...]] = (
    bindparam("company_id", type_=BigInteger),
    bindparam("birthday", type_=Date),
    bindparam("responsible_id", type_=String),
)
_EDIT = {client: _edit_statement(client) for client in ROWS}
_PEOPLE = text("select id, active from employee where id = any(:people)").bindparams(
    bindparam("people", type_=ARRAY(String))
)
_COMPANY = text("select exists (select 1 from company where id = :id)").bindparams(
    bindparam("id", type_=BigInteger)
)
