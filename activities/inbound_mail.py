"""A client's mail: whose it is, and what it does. Once, however often it is delivered."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, NamedTuple

from pydantic import JsonValue
from pydantic_core import to_json
from sqlalchemy import ARRAY, BigInteger, DateTime, String, bindparam, text

from activities import exceptions, senders
from activities.client import Heard, record_activity
from activities.house import House
from activities.incoming import Incoming, Report
from activities.quarantine import Caught, keep_aside
from activities.reply_address import record_of
from activities.senders import Client
from db.engine import Transaction
from db.journal import line
from db.outbox import Bell
from db.rows import Ids, write
from db.rulebook import Rulebook

Matched = Literal["address", "thread", "sender", "none"]
Outcome = Literal["activity", "automatic", "bounce", "employee", "quarantined", "unknown"]


class Received(NamedTuple):
    """What became of a mail, and the bells to ring after the commit."""

    outcome: Outcome | Literal["already_known"]
    record: int | None = None
    bells: tuple[Bell, ...] = ()


class _Place(NamedTuple):
    """Where a mail belongs, and how that was found out."""

    matched: Matched = "none"
    record: int | None = None
    client: Client = Client()


async def receive(
    tx: Transaction, book: Rulebook, ids: Ids, house: House, mail: Incoming, now: datetime
) -> Received:
    """Attach the mail to its record or client; as client activity `email` it ends the waits that list it.

    It belongs to the record whose reply address it was sent to, else to the one of the message it answers
    (`In-Reply-To`, `References`), else to the sender's client. What somebody on the exception list sends is
    kept aside, unless it answers a thread. What a program or an employee wrote is no client activity; a
    mail server's report of a failure (RFC 3464) is written down at the message that did not arrive.
    """
    await tx.execute(_ONE_BY_ONE, {"id": mail.message_id})
    if (await tx.execute(_KNOWN, {"id": mail.message_id})).one_or_none():
        return Received("already_known")
    place = await _thread(tx, house, mail)
    outcome, place = await _judge(tx, mail, place, now)
    bells: tuple[Bell, ...] = ()
    if outcome == "activity":
        heard = Heard(
            f"email:{mail.message_id}", "email", now, place.record, place.client.contact,
            place.client.company, "mail", {"from": mail.sender, "subject": mail.subject},
        )  # fmt: skip
        bells = tuple((await record_activity(tx, book, ids, house, heard, now)).bells)
    await _keep(tx, mail, place, outcome, now)
    return Received(outcome, place.record, bells)


async def _judge(tx: Transaction, mail: Incoming, place: _Place, now: datetime) -> tuple[Outcome, _Place]:
    """What the mail is, and where it belongs in the end."""
    if mail.report and await _bounced(tx, mail.report, now):
        return "bounce", place
    if place.record is None and (entry := await exceptions.listed(tx, emails=[mail.sender])):
        detail: dict[str, JsonValue] = {"subject": mail.subject, "size": mail.size}
        external_id = f"email:{mail.message_id}"
        await keep_aside(tx, Caught("email", external_id, mail.sender, entry, detail), now)
        return "quarantined", place
    if mail.automatic:
        return "automatic", place
    if mail.sender and await senders.is_employee(tx, mail.sender):
        return "employee", place
    if place.record is None and mail.sender:
        client = await senders.client_of(tx, emails=[mail.sender])
        place = _Place("sender", None, client) if client.known else place
    return ("unknown" if place.matched == "none" else "activity"), place


async def _thread(tx: Transaction, house: House, mail: Incoming) -> _Place:
    """The record that the mail answers; nowhere for one that answers nothing we know."""
    named = record_of(house.mail.reply_secret, mail.recipients)
    found = (await tx.execute(_THREAD, {"named": named, "ids": [*mail.thread]})).one()
    if found.named is not None:
        return _Place("address", found.named)
    return _Place("thread", found.thread) if found.thread is not None else _Place()


async def _bounced(tx: Transaction, report: Report, now: datetime) -> bool:
    """Write down at the message who did not get it after all; False for a report of no message of ours."""
    refused = {failure.address: {"code": 550, "text": failure.text} for failure in report.failures}
    asked = {"id": report.message_id, "refused": to_json(refused).decode(), "who": [*refused]}
    found = (await tx.execute(_BOUNCED, asked)).one_or_none()
    if found is None:
        return False
    detail = {"recipients": [*refused], "error": report.failures[0].text}
    said = line(found.record_id, found.visit_no, "bounced", now, rule=found.rule, n=found.n, detail=detail)
    await write(tx, [said])
    return True


async def _keep(tx: Transaction, mail: Incoming, place: _Place, outcome: Outcome, now: datetime) -> None:
    asked = {
        "id": mail.message_id, "record": place.record, "contact": place.client.contact,
        "company": place.client.company, "sender": mail.sender, "subject": mail.subject, "at": now,
        "in_reply_to": next(iter(mail.thread), ""), "size": mail.size, "matched": place.matched,
        "outcome": outcome,
    }  # fmt: skip
    await tx.execute(_KEEP, asked)


_ONE_BY_ONE = text("select pg_advisory_xact_lock(hashtextextended('mail ' || cast(:id as text), 0))")
_KNOWN = text("select 1 from inbound_mail where message_id = :id")
_THREAD = text("""
with thread as (
  select min(position) as position, record_id
  from unnest(cast(:ids as varchar[])) with ordinality as t(id, position)
    join lateral (
      select record_id from message where message_id = t.id and channel = 'email'
      union all select record_id from inbound_mail where message_id = t.id and record_id is not null
    ) known on true
  group by record_id
)
select (select id from record where id = :named) as named,
  (select r.id from thread join record r on r.id = thread.record_id order by position, r.id limit 1) as thread
""").bindparams(bindparam("named", type_=BigInteger), bindparam("ids", type_=ARRAY(String)))
_BOUNCED = text("""
update message set refused = refused || cast(:refused as jsonb),
  accepted = coalesce((select jsonb_agg(a) from jsonb_array_elements_text(accepted) a
                       where lower(a) <> all(cast(:who as varchar[]))), '[]')
where message_id = :id and channel = 'email' and state <> 'sending'
  and exists (select 1 from jsonb_array_elements_text(recipients) a
              where lower(a) = any(cast(:who as varchar[])))
returning record_id, visit_no, rule, n
""").bindparams(bindparam("who", type_=ARRAY(String)))
_KEEP = text("""
insert into inbound_mail
  (message_id, record_id, contact_id, company_id, sender, subject, at, in_reply_to, size, matched, outcome)
values (:id, :record, :contact, :company, :sender, :subject, :at, :in_reply_to, :size, :matched, :outcome)
on conflict (message_id) do nothing
""").bindparams(
    bindparam("record", type_=BigInteger), bindparam("contact", type_=BigInteger),
    bindparam("company", type_=BigInteger), bindparam("at", type_=DateTime(timezone=True)),
)  # fmt: skip
