"""Employees as parameters name them: whom a rule addresses, and as whom it speaks.

Written are `responsible`, `supervisor`, `everybody`, `department:<id>`, `employee:<id>`, and for e-mail raw
addresses. They are resolved when the step runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from pydantic import BaseModel
from sqlalchemy import ARRAY, DateTime, String, bindparam, text

from activities.act import Act
from activities.effect import Setting
from activities.unknown import unknown
from db.facts import EmployeeRow
from db.journal import line
from db.locked import Locked
from db.rows import write
from domain.fields import Problem

WORDS = ("responsible", "supervisor", "everybody")
SELF = ("system", "responsible")
"""Who may speak besides an employee."""


class _Person(EmployeeRow):
    absent: bool = False


class _Department(BaseModel):
    head_id: str | None = None
    parent_id: str | None = None


class _Staff(BaseModel):
    """The active employees asked for, by name; all departments where a supervisor is asked for."""

    people: list[_Person] = []
    departments: dict[str, _Department] = {}


async def employees(
    locked: Locked, written: Sequence[str], now: datetime, *, skip_absent: bool = False
) -> list[EmployeeRow]:
    """The active employees that are meant, each once, in the order written.

    A department stands for the employees who belong to it itself. `skip_absent` leaves out who is absent at
    `now`. Unknown ids and addresses are passed over.
    """
    responsible = locked.around.responsible
    if set(written) <= {"responsible"} and not skip_absent:
        return [responsible] if written and responsible and responsible.active else []
    staff = await _read(locked, written, now)
    found = [person for word in written for person in _meant(word, staff, responsible)]
    once = {person.id: person for person in found if not (skip_absent and person.absent)}
    return list(once.values())


async def addressed(
    act: Act, written: Sequence[str], at: datetime, *, skip_absent: bool = False
) -> list[EmployeeRow]:
    """As `employees`; who was written by name and has left is said in the journal."""
    found = await employees(act.locked, written, at, skip_absent=skip_absent)
    named = {word.removeprefix("employee:") for word in written if word.startswith("employee:")}
    if "responsible" in written and act.record.responsible_id:
        named.add(act.record.responsible_id)
    if missing := named - {person.id for person in found}:
        left = (await act.tx.execute(_FORMER, {"ids": sorted(missing)})).scalars().all()
        if left:
            own, detail = (act.record.id, act.visit_no), {"employees": [*left]}
            said = line(
                *own, "left_out", act.now, rule=act.rule.id, n=act.n, reason="inactive", detail=detail
            )
            await write(act.tx, [said])
    return found


async def supervisor(locked: Locked, now: datetime) -> EmployeeRow | None:
    """The head of the responsible's department; if that is the responsible or absent, one level up.

    If all are absent, the nearest. None if there is nobody above the responsible.
    """
    return next(iter(await employees(locked, ["supervisor"], now)), None)


async def employee(locked: Locked, who: str, now: datetime) -> EmployeeRow | None:
    """The active employee of that id, or the responsible; None if there is none."""
    word = who if who == "responsible" else f"employee:{who}"
    return next(iter(await employees(locked, [word], now)), None)


def speaker(act: Act, who: str | None) -> str:
    """As whom history shows it: `system`, or an employee's id. None: as whom the rule acts."""
    if who is None:
        return act.author
    return who if who != "responsible" else act.record.responsible_id or "system"


def raw(word: str) -> bool:
    """Whether it is an e-mail address, perhaps as a template."""
    return "@" in word or "{{" in word


def whose(act: Act, template: str) -> str:
    """Who has no address or number: the person a template speaks of, or the template itself."""
    contact, company = act.locked.around.contact, act.locked.around.company
    if "contact." in template and contact:
        return f"{contact.first_name} {contact.last_name}".strip() or f"contact {contact.id}"
    if "company." in template and company:
        return company.name
    return template


def problems(
    written: Sequence[str], setting: Setting, place: str, *, addresses: bool = False
) -> Iterator[Problem]:
    """What is wrong with recipients as written.

    `addresses`: raw ones may stand among them, with an `@` or as a template; what they hold is not judged.
    """
    if not written:
        yield Problem(place=place, message="nobody is addressed")
    for number, word in enumerate(written):
        if word in WORDS or (addresses and raw(word)):
            continue
        section, _, name = word.partition(":")
        match section:
            case "employee" if name:
                wrong = _wrong("employee", name, setting.employees, setting.former)
            case "department" if name:
                wrong = _wrong("department", name, setting.departments)
            case _ if word in setting.employees:
                wrong = f"an employee is written 'employee:{word}'"
            case _:
                also = ", an address" if addresses else ""
                wrong = f"{word!r} is nobody: {', '.join(WORDS)}, department:<id>, employee:<id>{also}"
        if wrong:
            yield Problem(place=f"{place}/{number}", message=wrong)


def speaker_problems(who: str | None, setting: Setting, place: str) -> Iterator[Problem]:
    """What is wrong with somebody who is to speak: `system`, `responsible`, or the id of an employee."""
    if who is not None and who not in SELF:
        yield from employee_problems(who, setting, place)


def employee_problems(who: str, setting: Setting, place: str) -> Iterator[Problem]:
    """What is wrong with the id of an employee, or the word `responsible`."""
    if who != "responsible" and (wrong := _wrong("employee", who, setting.employees, setting.former)):
        yield Problem(place=place, message=wrong)


def _wrong(what: str, name: str, known: frozenset[str], former: frozenset[str] = frozenset()) -> str:
    return "" if name in known else unknown(what, name, sorted(known), former)


def _meant(word: str, staff: _Staff, responsible: EmployeeRow | None) -> list[_Person]:
    section, _, name = word.partition(":")
    match section:
        case "responsible" if responsible:
            return [person for person in staff.people if person.id == responsible.id]
        case "supervisor":
            return _supervisor(staff, responsible)
        case "everybody":
            return staff.people
        case "department":
            return [person for person in staff.people if person.department_id == name]
        case "employee":
            return [person for person in staff.people if person.id == name]
    return []


def _supervisor(staff: _Staff, responsible: EmployeeRow | None) -> list[_Person]:
    if responsible is None:
        return []
    heads = list(_heads(staff.departments, responsible.department_id))
    active = {person.id: person for person in staff.people if person.id != responsible.id}
    above = [active[head] for head in heads if head in active]
    return [person for person in above if not person.absent][:1] or above[:1]


def _heads(departments: Mapping[str, _Department], start: str | None) -> Iterator[str]:
    """The heads from a department upwards; one that lies above itself ends the way."""
    met: set[str] = set()
    while start and start in departments and start not in met:
        met.add(start)
        if head := departments[start].head_id:
            yield head
        start = departments[start].parent_id


_FORMER = text("select id from employee where id = any(:ids) and not active order by id").bindparams(
    bindparam("ids", type_=ARRAY(String))
)
_READ = text("""
select jsonb_build_object(
  'people', (
    select coalesce(jsonb_agg(to_jsonb(e) || jsonb_build_object('absent', exists (
        select 1 from absence a where a.employee_id = e.id and a.starts_at <= :now and :now < a.ends_at))
      order by e.name, e.id), '[]')
    from employee e
    where e.active and (:everybody or e.id = any(:ids) or e.department_id = any(:departments)
      or (:supervisor and e.id in (select head_id from department)))),
  'departments', (
    select coalesce(jsonb_object_agg(d.id, to_jsonb(d)), '{}') from department d where :supervisor)
)::text
""").bindparams(
    bindparam("now", type_=DateTime(timezone=True)),
    bindparam("ids", type_=ARRAY(String)),
    bindparam("departments", type_=ARRAY(String)),
)


async def _read(locked: Locked, written: Sequence[str], now: datetime) -> _Staff:
    named: dict[str, list[str]] = {"employee": [], "department": []}
    for word in written:
        section, _, name = word.partition(":")
        if section in named:
            named[section].append(name)
    if "responsible" in written and locked.record.responsible_id:
        named["employee"].append(locked.record.responsible_id)
    asked = {
        "now": now,
        "everybody": "everybody" in written,
        "supervisor": "supervisor" in written,
        "ids": named["employee"],
        "departments": named["department"],
    }
    return _Staff.model_validate_json((await locked.tx.execute(_READ, asked)).scalar_one())
