"""The client did something: recorded once, and the waits that end with it end in the same transaction."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from pydantic import JsonValue
from pydantic_core import to_json
from sqlalchemy import BigInteger, DateTime, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from activities.runner import House, Run, Runner
from activities.waits import follow_end
from db.engine import Transaction
from db.facts import HoldRow
from db.journal import end_holds, line
from db.locked import Locked
from db.outbox import Bell, bell_rows
from db.records import By, TooManyMoves, move, suspend_for_loop
from db.rows import Ids
from db.rulebook import Rulebook
from domain.errors import Refused
from domain.events import HoldEnd
from domain.holds.wait import MoveTo, Wait


class Heard(NamedTuple):
    """One activity of a client. `external_id` is the reporter's: the same id twice is one activity.

    It is bound to a record, or to a client: a contact, a company. `at` is when it happened.
    """

    external_id: str
    type: str
    at: datetime
    record: int | None = None
    contact: int | None = None
    company: int | None = None
    source: str = ""
    detail: Mapping[str, JsonValue] = {}  # a NamedTuple's default, never written to


class Answer(NamedTuple):
    """What a call that reports an activity is told, and the bells to ring after the commit.

    `happened`: `moved`, `ended_wait`, `no_match`, `suspended` or `already_known`.
    """

    happened: str
    records: list[int]
    bells: list[Bell]


async def record_activity(
    tx: Transaction, book: Rulebook, ids: Ids, house: House, heard: Heard, now: datetime
) -> Answer:
    """Record it and end what it ends. Raises `Refused` when its record or client is unknown."""
    asked = {
        "external_id": heard.external_id, "type": heard.type, "at": heard.at, "now": now, "id": heard.record,
        "contact": heard.contact, "company": heard.company, "source": heard.source,
        "detail": to_json(dict(heard.detail)).decode(),
    }  # fmt: skip
    if (await tx.execute(_RECORD, asked)).one_or_none() is None:
        return Answer("already_known", await _known(tx, heard.external_id), [])
    await _check_bound(tx, heard)
    happened: list[str] = []
    bells: list[Bell] = []
    found = [row.record_id for row in await tx.execute(_WAITING, asked)]
    for record_id in found:
        locked = await Locked.take(tx, book, record_id)
        if locked is None or locked.record.deleted_at:
            continue
        what, bell = await _end_waits(Runner(locked, house, ids, now), heard)
        happened.append(what)
        bells += [bell] if bell else []
    order = ("moved", "suspended", "ended_wait")
    answer = next((what for what in order if what in happened), "no_match")
    records = sorted({bell.record_id for bell in bells})
    await tx.execute(
        _ANSWER,
        {
            "external_id": heard.external_id,
            "answer": to_json({"happened": answer, "records": records}).decode(),
        },
    )
    return Answer(answer, records, bells)


async def _end_waits(runner: Runner, heard: Heard) -> tuple[str, Bell | None]:
    """End the open waits of one record that list the type; the move of the topmost is made with it."""
    locked, now = runner.locked, runner.now
    visit_no = locked.record.visit_no
    version = await locked.rules(visit_no)
    visit = locked.visit(visit_no)
    order = [step.rule for step in version.plan(visit.stage_id)] if visit else []
    hit: list[tuple[HoldRow, Wait]] = []
    for row in sorted(locked.open_holds(visit_no), key=lambda r: order.index(r.rule)):
        params = version.hold(row.rule)
        if isinstance(params, Wait) and params.ended_by(heard.type) and heard.at >= row.turn:
            hit.append((row, params))
    if not hit:
        return "no_match", None
    ends = [HoldEnd(rule=row.rule, result="done", reason="client", at=now) for row, _ in hit]
    by = f"client:{heard.type}"
    target = _target([params for _, params in hit], locked.record.stage_id)
    what, bell = ("ended_wait", None) if target is None else await _move(runner, target, ends, by)
    if bell is None:
        runner.add(*await end_holds(locked, visit_no, ends, by))
        told = [end.model_dump(mode="json") | {"visit_no": visit_no} for end in ends]
        bell = Bell.of(locked.record, "client_activity", {"recorded": True, "type": heard.type, "ends": told})  # type: ignore[dict-item]  # JSON all the same
        runner.add(bell_rows(bell, now))
    for row, params in hit:
        used = [n for no, rule, n in locked.ledger if (no, rule) == (visit_no, row.rule)]
        run = Run(visit_no, row.rule, max(used, default=0) + 1)
        await follow_end(runner, run, params, params.on_client, now)
    await runner.flush()
    return what, bell


async def _move(runner: Runner, stage: str, ends: list[HoldEnd], by: str) -> tuple[str, Bell | None]:
    """The move a wait brings when the client acts; one that may not be made is dropped, and said so."""
    locked, now = runner.locked, runner.now
    visit_no = locked.record.visit_no
    if locked.suspended():
        runner.add(line(locked.record.id, visit_no, "not_moved", now, reason="suspended", actor=by))
        return "suspended", None
    try:
        return "moved", await move(locked, stage, By("client", now, automatic=True), ends, by)
    except TooManyMoves as many:
        runner.add(*await suspend_for_loop(locked, now, str(many), await runner.owner(visit_no)))
        runner.add(line(locked.record.id, visit_no, "not_moved", now, reason="suspended", actor=by))
        return "suspended", None
    except Refused as refused:  # the stage is gone since the rule was published
        runner.add(line(locked.record.id, visit_no, "not_moved", now, reason=refused.reason, actor=by))
        return "ended_wait", None


def _target(waits: list[Wait], stage: str) -> str | None:
    moves = [w.on_client.move_to for w in waits if isinstance(w.on_client, MoveTo)]
    return next((to for to in moves if to != stage), None)


async def _known(tx: Transaction, external_id: str) -> list[int]:
    row = (await tx.execute(_STORED, {"external_id": external_id})).one()
    return list(row.answer.get("records", []))


async def _check_bound(tx: Transaction, heard: Heard) -> None:
    asked = {"id": heard.record, "contact": heard.contact, "company": heard.company}
    missing = (await tx.execute(_BOUND, asked)).one()
    for name, wanted, there in (
        ("record", heard.record, missing.record), ("contact", heard.contact, missing.contact),
        ("company", heard.company, missing.company),
    ):  # fmt: skip
        if wanted is not None and not there:
            raise Refused("gone", f"there is no {name} {wanted}", 404)


_CLIENT = (
    bindparam("id", type_=BigInteger), bindparam("contact", type_=BigInteger),
    bindparam("company", type_=BigInteger),
)  # fmt: skip
_RECORD = text("""
insert into client_activity
  (external_id, type, at, received_at, record_id, contact_id, company_id, source, detail)
values (:external_id, :type, :at, :now, :id, :contact, :company, :source, cast(:detail as jsonb))
on conflict (external_id) do nothing returning external_id
""").bindparams(
    *_CLIENT, bindparam("at", type_=DateTime(timezone=True)), bindparam("now", type_=DateTime(timezone=True))
)
_WAITING = text("""
select distinct h.record_id from hold h join record r on r.id = h.record_id
where h.outcome = '' and h.kind = 'wait' and r.deleted_at is null
  and (r.id = :id or r.contact_id = :contact or r.company_id = :company)
order by h.record_id
""").bindparams(*_CLIENT)
_BOUND = text("""
select exists(select 1 from record where id = :id) as record,
  exists(select 1 from contact where id = :contact) as contact,
  exists(select 1 from company where id = :company) as company
""").bindparams(*_CLIENT)
_ANSWER = text("update client_activity set answer = cast(:answer as jsonb) where external_id = :external_id")
_STORED = text("select answer from client_activity where external_id = :external_id").columns(answer=JSONB)
