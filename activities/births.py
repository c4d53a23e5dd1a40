"""Records born of rules: each is one birth deeper than the record its rule acts on, and linked back to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from sqlalchemy import text

from activities import recipients
from activities.act import Act
from activities.sales import line_rows
from activities.unknown import unknown
from db.creation import Created, NewRecord, Origin, create
from db.engine import Transaction
from db.rows import Rows
from domain.amounts import Line
from domain.errors import Refused
from domain.fields import LONGEST_TITLE, Problem

DEEPEST: Final = 3
"""A record born of a record born of a record born of a rule gives birth to none."""


async def bear(act: Act, new: NewRecord, *, fields: bool = False, repeat: bool = False) -> Created:
    """Create a record of the rule's own; it enters its stage at once, and its bell is still to be rung.

    `fields`: custom fields are taken over where the new record has them too. `repeat`: of a lead, its client
    is known. Raises `Refused` (`loop`) for a birth that is too deep, and as `db.creation.create` does.
    """
    depth = act.record.depth + 1
    if depth > DEEPEST:
        raise Refused(
            "loop", f"the record is itself the last of {DEEPEST} that were born of rules one by another"
        )
    origin = Origin(act.record.id, depth, act.record.fields if fields else {}, repeat)
    return await create(act.tx, act.ids, new, act.by, origin=origin)


def title_of(act: Act, template: str) -> str:
    """The title of the new record, cut at its longest. Raises `Refused` where nothing is left of it."""
    title = act.text(template).strip()[:LONGEST_TITLE]
    if not title:
        raise Refused("title_empty", "the title of the new record is empty")
    return title


async def responsible(act: Act, who: str) -> str | None:
    """The employee of that id, or for `responsible` that of the record, if it has one.

    Raises `Refused` for an employee who is not active.
    """
    if who == "responsible" and act.record.responsible_id is None:
        return None
    found = await recipients.employee(act.locked, who, act.now)
    if found is None:
        named = act.record.responsible_id if who == "responsible" else who
        raise Refused("wrong_responsible", f"{named!r} is no active employee")
    return found.id


def products(born: Created, lines: Sequence[Line]) -> tuple[Rows, ...]:
    """The rows that give a new record its products."""
    return (line_rows(born.record.id, lines),) if lines else ()


async def lead_pipeline(tx: Transaction) -> str:
    """The pipeline of leads. Raises `Refused` where there is none."""
    found = (await tx.execute(_LEADS)).scalar_one_or_none()
    if found is None:
        raise Refused("wrong_pipeline", "there is no pipeline of leads")
    return str(found)


def landing_problems(
    pipeline: str, stage: str | None, known: Mapping[str, Mapping[str, str]], place: str
) -> Iterator[Problem]:
    """What is wrong with where a new record is to begin; `known` are the stages by pipeline."""
    if pipeline not in known:
        yield Problem(place=f"{place}/pipeline", message=unknown("pipeline", pipeline, known))
    elif stage is not None and stage not in known[pipeline]:
        yield Problem(
            place=f"{place}/stage", message=f"{pipeline}: {unknown('stage', stage, known[pipeline])}"
        )
    elif stage is None and "process" not in known[pipeline].values():
        yield Problem(place=f"{place}/stage", message=f"{pipeline} has no stage of the process to begin in")


_LEADS = text("select id from pipeline where record_type = 'lead' order by position, id limit 1")
