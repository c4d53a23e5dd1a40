"""The client did something: recorded once, and what it ends or moves does so in the same transaction."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from pydantic import JsonValue
from pydantic_core import to_json
from sqlalchemy import ARRAY, BigInteger, DateTime, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from activities.happened import Happened, hearing
from activities.house import House
from activities.results import waited_for
from activities.runner import Run, Runner
from activities.triggers import automatic_move, fire_first, matches
from activities.unreadable import tell, unreadable
from activities.waits import brings, follow_end
from db.engine import Transaction
from db.facts import HoldRow
from db.journal import end_holds, line
from db.locked import Locked
from db.outbox import Bell, bell_rows
from db.records import By
from db.rows import Ids, write
from db.rulebook import Rulebook
from domain.errors import Refused, Unreadable
from domain.events import HoldEnd
from domain.holds.wait import MoveTo, Wait


class Heard(NamedTuple):
    """One activity of a client. `external_id` is the reporter's: the same id twice is one activity.

    It is bound to a record, or to a client: a contact, a company. `also` are records that hold the client's
    address themselves. `at` is when it happened.
    """

    external_id: str
    type: str
    at: datetime
    record: int | None = None
    contact: int | None = None
    company: int | None = None
    source: str = ""
    detail: Mapping[str, JsonValue] = {}  # a NamedTuple's default, never written to
    also: tuple[int, ...] = ()


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
        "detail": to_json(dict(heard.detail)).decode(), "also": [*heard.also],
    }  # fmt: skip
    if (await tx.execute(_RECORD, asked)).one_or_none() is None:
        return Answer("already_known", await _known(tx, heard.external_id), [])
    await _check_bound(tx, heard)
    happened: list[str] = []
    bells: list[Bell] = []
    for row in (await tx.execute(_CONCERNED, asked)).all():
        locked = await Locked.take(tx, book, row.record_id)
        if locked is None or locked.record.deleted_at:
            continue
        if row.record_id != heard.record and (spoilt := await unreadable(locked)):
            await _not_heard(tx, locked, heard, spoilt, now)  # the client's other records are not to blame
            continue
        newest = row.newest or row.record_id == heard.record
        what, bell = await _hear(Runner(locked, house, ids, now), heard, newest=newest)
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


async def _not_heard(
    tx: Transaction, locked: Locked, heard: Heard, spoilt: Unreadable, now: datetime
) -> None:
    detail = {"type": heard.type, "why": str(spoilt)}
    own = locked.record.id, locked.record.visit_no
    await write(tx, [line(*own, "not_heard", now, reason="rules_unreadable", detail=detail)])
    await tell(tx, spoilt, now)


async def _hear(runner: Runner, heard: Heard, *, newest: bool) -> tuple[str, Bell | None]:
    """What one record makes of it: its open waits that list the type end, a trigger or a wait moves it.

    If a trigger moves it, the move of a wait is not made; of several waits the topmost one moves.
    """
    locked, now = runner.locked, runner.now
    visit_no = locked.record.visit_no
    hit = await _waits(locked, heard)
    happened = [Happened("client_activity", frozenset({heard.type}))]
    matching = await matches(runner, await hearing(locked, happened), newest=newest)
    owed = [row.rule for row, params in hit if brings(params.on_client) and locked.suspended(row.rule)]
    ends = [
        HoldEnd(rule=row.rule, result="done", reason="client", at=now, closing=row.rule in owed)
        for row, _ in hit
    ]
    by = f"client:{heard.type}"
    what, bell = "ended_wait" if hit else "no_match", None
    rule, target = _target(hit, locked.record.stage_id)
    if matching:
        moved, bell = await fire_first(runner, matching, ends, by)
        what = what if moved == "refused" else moved
    elif target:
        mover = By("client", now, automatic=True)
        moved, bell = await automatic_move(runner, target, mover, ends, by, rule=rule)
        what = what if moved == "refused" else moved
    if hit and bell is None:
        runner.add(*await end_holds(locked, visit_no, ends, by))
        told = [end.model_dump(mode="json") | {"visit_no": visit_no} for end in ends]
        changed = await waited_for(locked, visit_no, *(end.rule for end in ends))
        said = {"recorded": True, "type": heard.type, "ends": told, "changed": changed}
        bell = Bell.of(locked.record, "client_activity", said)  # type: ignore[arg-type]  # JSON all the same
        runner.add(bell_rows(bell, now))
    for row, params in [one for one in hit if one[0].rule not in owed]:
        used = [n for no, rule, n in locked.ledger if (no, rule) == (visit_no, row.rule)]
        run = Run(visit_no, row.rule, max(used, default=0) + 1)
        await follow_end(runner, run, params, params.on_client, now)
    await runner.flush()
    return what, bell


async def _waits(locked: Locked, heard: Heard) -> list[tuple[HoldRow, Wait]]:
    """The open waits of the record that it ends, the topmost first."""
    visit_no = locked.record.visit_no
    version, visit = await locked.rules(visit_no), locked.visit(visit_no)
    order = [step.rule for step in version.plan(visit.stage_id)] if visit else []
    hit: list[tuple[HoldRow, Wait]] = []
    for row in sorted(locked.open_holds(visit_no), key=lambda r: order.index(r.rule)):
        params = version.hold(row.rule) if row.kind == "wait" else None
        if isinstance(params, Wait) and params.ended_by(heard.type) and heard.at >= row.turn:
            hit.append((row, params))
    return hit


def _target(waits: list[tuple[HoldRow, Wait]], stage: str) -> tuple[str, str]:
    """The topmost wait that leads elsewhere, and where to; empty if none does."""
    moves = [(row.rule, w.on_client.move_to) for row, w in waits if isinstance(w.on_client, MoveTo)]
    return next(((rule, to) for rule, to in moves if to != stage), ("", ""))


async def _known(tx: Transaction, external_id: str) -> list[int]:
    row = (await tx.execute(_STORED, {"external_id": external_id})).one()
    return list(row.answer.get("records", []))


async def _check_bound(tx: Transaction, heard: Heard) -> None:
    asked: dict[str, object] = {"id": heard.record, "contact": heard.contact, "company": heard.company}
    asked |= {"also": [*heard.also]}
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
_ALSO = bindparam("also", type_=ARRAY(BigInteger))
_RECORD = text("""
insert into client_activity
  (external_id, type, at, received_at, record_id, contact_id, company_id, source, detail)
values (:external_id, :type, :at, :now, :id, :contact, :company, :source, cast(:detail as jsonb))
on conflict (external_id) do nothing returning external_id
""").bindparams(
    *_CLIENT, bindparam("at", type_=DateTime(timezone=True)), bindparam("now", type_=DateTime(timezone=True))
)
# its own record, those that wait for the client, and the client's open ones whose pipeline has such triggers;
# `newest`: the one created last of a client's open records in its pipeline
_CONCERNED = text("""
with bound as (
  select r.id, r.pipeline_id, s.meaning,
    row_number() over (
      partition by r.pipeline_id, s.meaning order by r.created_at desc, r.id desc) = 1 as newest
  from record r join stage s on s.pipeline_id = r.pipeline_id and s.id = r.stage_id
  where r.deleted_at is null
    and (r.id = :id or r.contact_id = :contact or r.company_id = :company or r.id = any(:also))
), triggered as (
  select distinct on (v.pipeline_id) v.pipeline_id,
    v.triggers @> '[{"event": "client_activity"}]' as any
  from rule_set v where v.pipeline_id in (select pipeline_id from bound)
  order by v.pipeline_id, v.number desc
)
select b.id as record_id, b.newest and b.meaning = 'process' as newest
from bound b left join triggered t on t.pipeline_id = b.pipeline_id
where exists (select 1 from hold h where h.record_id = b.id and h.outcome = '' and h.kind = 'wait')
  or (t.any and (b.id = :id or b.meaning = 'process'))
order by b.id
""").bindparams(*_CLIENT, _ALSO)
# the locks: a wait that opens meanwhile is seen by the next statement, or its opening sees the activity
_BOUND = text("""
with held as (
  select id from record
  where deleted_at is null
    and (id = :id or contact_id = :contact or company_id = :company or id = any(:also))
  order by id for no key update
)
select exists(select 1 from record where id = :id) as record,
  exists(select 1 from contact where id = :contact) as contact,
  exists(select 1 from company where id = :company) as company,
  (select count(*) from held) as locked
""").bindparams(*_CLIENT, _ALSO)
_ANSWER = text("update client_activity set answer = cast(:answer as jsonb) where external_id = :external_id")
_STORED = text("select answer from client_activity where external_id = :external_id").columns(answer=JSONB)
