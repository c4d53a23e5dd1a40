"""One employee of several candidates, by a strategy; and of everybody who is not eligible, why not."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, JsonValue
from sqlalchemy import ARRAY, DateTime, String, bindparam, text

from activities.act import Act
from activities.effect import Setting
from activities.recipients import WORDS, problems
from db.facts import EmployeeRow
from domain.calendar import Calendar
from domain.errors import Refused
from domain.fields import Problem

Strategy = Literal["round_robin", "random", "first_available", "least_loaded"]
"""`round_robin`: the next after the one chosen last; `first_available`: the first in the order written;
`least_loaded`: who has the fewest open records."""


class _Candidate(EmployeeRow):
    absent: bool
    load: int
    calendar: dict[str, JsonValue] | None = None


class _Candidates(BaseModel):
    people: list[_Candidate] = []


async def choose(
    act: Act,
    written: Sequence[str],
    strategy: Strategy,
    *,
    skip_absent: bool = True,
    skip_off_duty: bool = False,
) -> EmployeeRow:
    """The employee whose turn it is, of `employee:<id>` and `department:<id>`.

    An inactive one is never chosen. *Off duty* is outside the working time of the employee's calendar, else
    the pipeline's, else the company's, at `act.now`. Raises `Refused` (`nobody_eligible`) with the reason
    for every candidate.
    """
    met = await _read(act, written)
    why_not = {one.id: _why_not(one, act.now, skip_absent, skip_off_duty) for one in met}
    eligible = [one for one in met if not why_not[one.id]]
    if not eligible:
        reasons = [f"{one.name} {why_not[one.id]}" for one in met]
        reasons += [f"{word} names nobody" for word in written if not any(_named(word, one) for one in met)]
        raise Refused("nobody_eligible", "nobody is eligible: " + "; ".join(reasons))
    match strategy:
        case "random":
            return secrets.choice(eligible)
        case "first_available":
            return eligible[0]
        case "least_loaded":
            return min(eligible, key=lambda one: one.load)
    return await _next_in_turn(act, met, eligible)


def candidate_problems(written: Sequence[str], setting: Setting, place: str) -> Iterator[Problem]:
    """What is wrong with candidates as written."""
    for number, word in enumerate(written):
        if word in WORDS:
            message = f"{word!r} is no candidate: employee:<id> or department:<id>"
            yield Problem(place=f"{place}/{number}", message=message)
    others = ["responsible" if word in WORDS else word for word in written]
    yield from problems(others, setting, place)


def _named(word: str, one: _Candidate) -> bool:
    return word in (f"employee:{one.id}", f"department:{one.department_id}")


def _why_not(one: _Candidate, now: datetime, skip_absent: bool, skip_off_duty: bool) -> str:
    if not one.active:
        return "is inactive"
    if skip_absent and one.absent:
        return "is absent"
    if skip_off_duty and one.calendar and Calendar.model_validate(one.calendar).next_working(now) > now:
        return "is off duty"
    return ""


async def _next_in_turn(act: Act, met: Sequence[_Candidate], eligible: Sequence[_Candidate]) -> EmployeeRow:
    """The first eligible one after the one chosen last, whose row is locked: each turn is given once."""
    own = {"pipeline": act.record.pipeline_id, "rule": act.rule.id}
    last = (await act.tx.execute(_TURN, own)).scalar_one()
    places = [one.id for one in met]
    after = places.index(last) + 1 if last in places else 0
    order = [*met[after:], *met[:after]]
    chosen = next(one for one in order if one in eligible)
    await act.tx.execute(_TAKEN, own | {"employee": chosen.id})
    return chosen


async def _read(act: Act, written: Sequence[str]) -> list[_Candidate]:
    """The candidates, each once, in the order written, those of a department by name."""
    parts = [word.partition(":") for word in written]
    asked = {
        "ids": [name for section, _, name in parts if section == "employee"],
        "departments": [name for section, _, name in parts if section == "department"],
        "now": act.now,
        "pipeline": act.locked.around.pipeline.calendar_id,
        "company": act.locked.around.company_calendar,
    }
    found = _Candidates.model_validate_json((await act.tx.execute(_CANDIDATES, asked)).scalar_one()).people
    once = {one.id: one for word in written for one in found if _named(word, one)}
    return list(once.values())


_CANDIDATES = text("""
select jsonb_build_object('people', coalesce(jsonb_agg(to_jsonb(e) || jsonb_build_object(
    'absent', exists (
      select 1 from absence a where a.employee_id = e.id and a.starts_at <= :now and :now < a.ends_at),
    'load', (
      select count(*) from record r join stage s on s.pipeline_id = r.pipeline_id and s.id = r.stage_id
      where r.responsible_id = e.id and r.deleted_at is null and s.meaning = 'process'),
    'calendar', (
      select c.definition from calendar c where c.id = coalesce(e.calendar_id, :pipeline, :company))
  ) order by e.name, e.id), '[]'))::text
from employee e where e.id = any(:ids) or e.department_id = any(:departments)
""").bindparams(
    bindparam("ids", type_=ARRAY(String)),
    bindparam("departments", type_=ARRAY(String)),
    bindparam("now", type_=DateTime(timezone=True)),
    bindparam("pipeline", type_=String),
    bindparam("company", type_=String),
)
# an update of nothing locks the row that is there, and answers it as it was committed last
_TURN = text("""
insert into rotation (pipeline_id, rule, employee_id) values (:pipeline, :rule, '')
on conflict (pipeline_id, rule) do update set employee_id = rotation.employee_id
returning employee_id
""")
_TAKEN = text("update rotation set employee_id = :employee where pipeline_id = :pipeline and rule = :rule")
