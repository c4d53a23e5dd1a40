"""A lead becomes a client and a deal: what is made of it, and what becomes of the lead itself."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import BigInteger, DateTime, bindparam, text

from activities.act import Act
from activities.contacts import find_or_make, of_record
from db.client_edits import Cause, Changes, edit_client, make_client
from db.clients import take_client
from db.edits import Link, edit
from db.facts import ContactRow
from db.records import move
from db.rows import Rows
from domain.errors import Refused


def check_lead(act: Act, asked: Sequence[str]) -> None:
    """Raises `Refused` for a lead that was converted, or a repeat lead of which more is asked than a deal."""
    record = act.record
    if record.converted_at is not None:
        raise Refused("converted", f"the lead was converted on {record.converted_at:%Y-%m-%d}")
    more = [what for what in asked if what != "deal"]
    if more and (record.repeat or record.contact_id is not None):
        what = " and a ".join(more)
        raise Refused(
            "repeat_lead", f"it is a repeat lead, which gives a deal only; a {what} was asked for too"
        )


async def make_company(act: Act) -> int:
    """The company of the lead, or a new one by the name the lead gives; answers its id."""
    if act.record.company_id is not None:
        return act.record.company_id
    name = act.values["record.company_name"]
    if not isinstance(name, str):
        raise Refused("no_company_name", "the lead says no name of a company")
    wanted = Changes({"name": name})
    return (await make_client(act.tx, act.ids, "company", wanted, act.by, act.mail.region, _cause(act))).id


async def make_contact(act: Act, responsible: str | None, company: int | None) -> int:
    """The contact with one of the lead's addresses, else a new one; answers its id.

    It belongs to the company, unless it is known and belongs to another.
    """
    found = await find_or_make(act, of_record(act, responsible))
    taken = await take_client(act.tx, "contact", found.id)
    if company is not None and taken and isinstance(taken.row, ContactRow) and taken.row.company_id is None:
        wanted = Changes({}, company=company, links=True)
        await edit_client(act.tx, taken, wanted, act.by, act.mail.region, _cause(act))
    return found.id


def _cause(act: Act) -> Cause:
    return Cause(act.record.id, act.visit_no)


async def link(act: Act, contact: int | None, company: int | None) -> tuple[str, ...]:
    """Link the clients that were made to the lead; answers what changed, by full reference."""
    both: dict[Link, int | None] = {"contact": contact, "company": company}
    made = {to: client for to, client in both.items() if client is not None}
    return (await edit(act.locked, {}, act.by, links=made)).changed


async def close_lead(act: Act) -> int:
    """The lead is converted and goes to its success status; answers the visit that begins, 0 if none does."""
    success = (s.id for s in act.locked.around.stages if s.meaning == "success" and s.retired_at is None)
    stage = next(success, None)
    if stage is None:
        raise Refused("wrong_stage", f"{act.record.pipeline_id} has no success status")
    act.record.converted_at = act.now
    await act.tx.execute(_CONVERTED, {"id": act.record.id, "at": act.now})
    moved = await move(act.locked, stage, act.by)
    return 0 if moved is None else act.record.visit_no


async def complete_todos(act: Act) -> None:
    """What is still to be done on the record counts as done."""
    await act.tx.execute(_COMPLETE, {"id": act.record.id, "at": act.now, "who": act.author})


def todo_of_failure(act: Act, asked: Sequence[str], why: str) -> tuple[Rows, ...]:
    """A to-do for the responsible that says what could not be made; none where there is no active one."""
    person = act.locked.around.responsible
    if person is None or not person.active:
        return ()
    row: dict[str, object] = {
        "employee_id": person.id,
        "subject": f"Not made of {act.record.title!r}: {', '.join(asked)}",
        "description": why,
        "deadline": act.now,
        "important": True,
        "created_at": act.now,
    }
    return (act.rows("todo", row),)


_ID, _AT = bindparam("id", type_=BigInteger), bindparam("at", type_=DateTime(timezone=True))
_CONVERTED = text("update record set converted_at = :at where id = :id").bindparams(_ID, _AT)
_COMPLETE = text("""
update todo set completed_at = :at, completed_by = :who where record_id = :id and completed_at is null
""").bindparams(_ID, _AT)
