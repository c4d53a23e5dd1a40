"""A record under its lock: what is known of it, as typed values and as facts of schedules."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from functools import lru_cache

from pydantic import JsonValue
from pydantic_core import from_json, to_json
from sqlalchemy import select
from sqlmodel import col

from db.engine import Transaction
from db.facts import HoldRow, LedgerRow, RecordRow, Surroundings, VisitRow, take
from db.rulebook import Rulebook, Version
from db.tables import Absence
from db.tables import Calendar as StoredCalendar
from domain.calendar import Calendar
from domain.fields import Field, Registry, WrongType, parse
from domain.hold import Hold
from domain.holds.control import Control
from domain.holds.wait import MoveTo, Wait
from domain.journey import workflow_id
from domain.schedule import Schedule, ScheduleFacts
from domain.standard_fields import standard


class Locked:
    """A record whose row is locked until the transaction ends.

    What acts in the transaction keeps it up to date, so that nothing is read twice.
    """

    def __init__(self, tx: Transaction, book: Rulebook, found: Surroundings) -> None:
        self.tx, self.book = tx, book
        self._know(found)

    def _know(self, surroundings: Surroundings) -> None:
        self.record: RecordRow = surroundings.record
        self.around = surroundings
        self._visits = {visit.visit_no: visit for visit in surroundings.visits}
        self.ledger = {(row.visit_no, row.rule, row.n): row for row in surroundings.ledger}
        self.holds = {(row.visit_no, row.rule): row for row in surroundings.holds}
        self._calendars: dict[str, Calendar] = {}
        self._registry: Registry | None = None

    @classmethod
    async def take(
        cls, tx: Transaction, book: Rulebook, record_id: int, since: int | None = None
    ) -> Locked | None:
        """Lock the record and read what surrounds it, with its visits from `since` (the present one) on."""
        found = await take(tx, record_id, since)
        return None if found is None else cls(tx, book, found)

    async def reload(self, since: int | None = None) -> None:
        """Read everything again, after a savepoint was rolled back, or with older visits."""
        found = await take(self.tx, self.record.id, since or min(self._visits, default=self.record.visit_no))
        if found is None:
            raise LookupError(f"record {self.record.id} is gone under its lock")
        self._know(found)

    # -- visits --------------------------------------------------------------------------------
    @property
    def visits(self) -> list[VisitRow]:
        return [self._visits[visit_no] for visit_no in sorted(self._visits)]

    def visit(self, visit_no: int) -> VisitRow | None:
        """The visit of that number, if it is among those that were read."""
        return self._visits.get(visit_no)

    def entered(self, visit: VisitRow) -> None:
        """The record is in a new visit."""
        self._visits[visit.visit_no] = visit

    async def rules(self, visit_no: int) -> Version:
        """The version of the rules that a visit runs on."""
        visit = self._visits[visit_no]
        return await self.book.version(self.tx, visit.pipeline_id, visit.rules_number)

    def ended(self, visit_no: int) -> set[str]:
        """The rules of a visit that have an outcome."""
        return {
            row.rule
            for row in self.ledger.values()
            if row.visit_no == visit_no and row.n == 0 and row.outcome not in ("", "open")
        }

    def stored(self, visit_no: int, rule: str, n: int) -> LedgerRow | None:
        return self.ledger.get((visit_no, rule, n))

    def open_holds(self, visit_no: int) -> list[HoldRow]:
        return [row for row in self.holds.values() if row.visit_no == visit_no and not row.outcome]

    def missed(self, row: HoldRow, at: datetime) -> datetime | None:
        """The deadline of a control that lay before that instant, though nobody may have said so yet.

        At the very instant its own act says so, in its turn. While it is suspended lateness queues.
        """
        if row.late_since is None and row.deadline and row.deadline < at and not self.suspended(row.rule):
            return row.deadline
        return row.late_since

    async def hold(self, row: HoldRow, at: datetime) -> Hold:
        """The open hold as the domain knows it, as it ends at that instant."""
        if row.kind == "task":
            return Hold(rule=row.rule, kind="task", since=row.opened_at, due=row.due_at, pinned=row.pinned)
        params = (await self.rules(row.visit_no)).hold(row.rule)
        return Hold(
            rule=row.rule,
            kind="wait" if row.kind == "wait" else "control",
            since=row.opened_at,
            due=row.due_at,
            late=self.missed(row, at) is not None,
            told=bool(row.told),
            conditional=isinstance(params, Control) and params.until is not None,
            moves=isinstance(params, Wait) and isinstance(params.on_timeout, MoveTo),
            pinned=row.pinned,
        )

    def meaning(self, stage: str) -> str:
        """`process`, `success` or `failure`; a stage that is gone was *process*."""
        return next((s.meaning for s in self.around.stages if s.id == stage), "process")

    def has_stage(self, stage: str) -> bool:
        return any(s.id == stage and s.retired_at is None for s in self.around.stages)

    def key(self, rule: str) -> str:
        """What decides a step's place where many are spread: `<workflow id>/<rule id>`."""
        return f"{workflow_id(self.record.record_type, self.record.id)}/{rule}"

    def suspended(self, rule: str = "") -> bool:
        """Whether a cover lies on the record, or on one rule of its pipeline."""
        key = f"{self.record.pipeline_id}/{rule}"
        return bool(self.record.suspended) or any(
            s.scope != "rule" or s.key == key for s in self.around.suspensions
        )

    # -- values --------------------------------------------------------------------------------
    @property
    def registry(self) -> Registry:
        if self._registry is None:  # asked for with every value
            near = self.around
            clients = [to_json(near.contact_fields), to_json(near.company_fields)]
            self._registry = registry(self.record.record_type, to_json(near.pipeline.fields), *clients)
        return self._registry

    @property
    def zone(self) -> str:
        """The responsible's zone, else the pipeline's, else the company's."""
        responsible = self.around.responsible
        return (responsible and responsible.zone) or self.around.pipeline.zone or self.around.company_zone

    @property
    def locale(self) -> str:
        """The language of the pipeline's texts, else of the company's (BCP 47)."""
        return self.around.pipeline.locale or self.around.company_locale

    def values(self, visit_no: int) -> Values:
        """Typed values by full reference, with the results of earlier rules of the visit."""
        return Values(self, visit_no)

    async def schedule_facts(self, schedule: Schedule, jitter: int = 0) -> ScheduleFacts:
        """What a due time of that schedule is computed from."""
        value = None if schedule.basis == "now" else self.values(0).get(schedule.basis)
        return ScheduleFacts(
            zone=self.zone,
            calendar=await self.calendar() if schedule.working_time else None,
            value=value if isinstance(value, date) else None,
            absences=await self._absences() if schedule.on_duty else [],
            jitter=jitter,
        )

    async def calendar(self) -> Calendar | None:
        """The responsible's calendar, else the pipeline's, else the company's."""
        responsible, pipeline = self.around.responsible, self.around.pipeline
        named = (responsible and responsible.calendar_id) or pipeline.calendar_id
        named = named or self.around.company_calendar
        if named and named not in self._calendars:
            asked = select(col(StoredCalendar.definition)).where(col(StoredCalendar.id) == named)
            found = (await self.tx.execute(asked)).scalar_one_or_none()
            if found is not None:
                self._calendars[named] = Calendar.model_validate(found)
        return self._calendars.get(named) if named else None

    async def _absences(self) -> list[tuple[datetime, datetime]]:
        asked = select(col(Absence.starts_at), col(Absence.ends_at)).where(
            col(Absence.employee_id) == self.record.responsible_id
        )
        return [(row.starts_at, row.ends_at) for row in await self.tx.execute(asked)]


class Values(Mapping[str, object]):
    """The typed values of a record, its people and the results of a visit; read when they are asked for."""

    def __init__(self, locked: Locked, visit_no: int) -> None:
        self._locked, self._visit_no = locked, visit_no

    def __getitem__(self, reference: str) -> object:
        section, _, name = reference.partition(".")
        if section == "steps":
            rule, _, result = name.partition(".")
            row = self._locked.stored(self._visit_no, rule, 0)
            return _result(row.results.get(result)) if row else None
        return _typed(self._locked.registry, reference, self._raw(section, name))

    def __iter__(self) -> Iterator[str]:
        yield from self._locked.registry.references()
        for visit_no, rule, n in self._locked.ledger:
            if visit_no == self._visit_no and n == 0:
                results = self._locked.ledger[visit_no, rule, n].results
                yield from (f"steps.{rule}.{name}" for name in results)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _raw(self, section: str, name: str) -> object:
        record, near = self._locked.record, self._locked.around
        match section:
            case "record":
                if name in _RECORD:
                    return getattr(record, _RECORD[name])
                return record.fields.get(name)
            case "contact" if near.contact:
                return _of_client(near.contact, name, near.contact.fields)
            case "company" if near.company:
                return _of_client(near.company, name, near.company.fields)
            case "responsible" if near.responsible:
                return getattr(near.responsible, name, None)
        return None


_RECORD = {
    "title": "title", "amount": "amount", "currency": "currency", "source": "source",
    "responsible": "responsible_id", "stage": "stage_id", "pipeline": "pipeline_id",
    "created_at": "created_at", "entered_at": "entered_at", "repeat": "repeat",
}  # fmt: skip
"""Standard fields of a record and the columns they are kept in; every other field is a custom one."""
_INSTANT = re.compile(r"\d{4}-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-5]\d(\.\d+)?[+-][01]\d:[0-5]\d", re.ASCII)
_CLIENT = {"email": "emails", "phone": "phones", "responsible": "responsible_id"}


def _of_client(row: object, name: str, fields: Mapping[str, JsonValue]) -> object:
    return getattr(row, _CLIENT.get(name, name), None) if name not in fields else fields[name]


def _result(raw: JsonValue) -> object:
    """A result of a rule as a typed value: JSON knows no instants, which are kept as texts of this form."""
    try:
        if isinstance(raw, str) and _INSTANT.fullmatch(raw):
            return datetime.fromisoformat(raw).astimezone(UTC)
    except (ValueError, OverflowError):  # a day that no calendar has: a text like others
        pass
    return raw


def _typed(known: Registry, reference: str, raw: object) -> object:
    """A value that no longer fits its field (the type was changed) counts as empty."""
    section, _, name = reference.partition(".")
    field = getattr(known, section, {}).get(name)
    if field is None:
        return None
    try:
        return parse(field, raw)
    except WrongType:
        return None


@lru_cache(maxsize=256)
def registry(record_type: str, custom: bytes, contact: bytes = b"[]", company: bytes = b"[]") -> Registry:
    """The standard fields of a record type, and the custom ones (JSON) of a pipeline and of clients."""
    own, of_contact, of_company = (
        [Field.model_validate(field) for field in from_json(listed)] for listed in (custom, contact, company)
    )
    found = standard("lead" if record_type == "lead" else "deal").with_custom(own)
    return found.with_custom(of_contact, "contact").with_custom(of_company, "company")
