"""A client's mail: whose it is, and what it does. Once, however often it is delivered."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal, NamedTuple

from pydantic import JsonValue
from pydantic_core import to_json
from sqlalchemy import ARRAY, BigInteger, DateTime, LargeBinary, String, bindparam, text

from activities import exceptions, senders
from activities.bounces import bounced
from activities.client import Heard, record_activity
from activities.house import House
from activities.incoming import Incoming
from activities.message_ids import is_ours
from activities.quarantine import Caught, keep_aside
from activities.reply_address import record_of
from activities.senders import Client
from activities.telling import tell_responsible
from db.engine import Transaction
from db.outbox import Bell
from db.rows import Ids
from db.rulebook import Rulebook

Matched = Literal["address", "thread", "sender", "none"]
Outcome = Literal[
    "activity", "automatic", "bounce", "employee", "forged", "quarantined", "stranger", "unknown"
]
_TOLD: Final = {
    "stranger": "{sender} answered {{title}} and is none of its clients, so nothing came of it: {subject}",
    "forged": "A mail to {{title}} claims to be from {sender} and is not, so nothing came of it: {subject}",
}  # fmt: skip
"""What the responsible is told of a mail that is attached to the record and does nothing."""


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

    It belongs to the record whose reply address it was sent to, else to the one of the message of ours that
    it answers (`In-Reply-To`, `References`), else to the sender's client. Address and Message-ID are signed:
    who has neither had nothing to answer. As the client's it counts from one of the record's clients alone,
    and if the sender's domain does not disown it; else it is attached and the responsible told.

    What somebody on the exception list sends is kept aside, unless it answers a thread. What a program or an
    employee wrote is no client activity; a mail server's report of a failure (RFC 3464) is written down at
    the message that did not arrive.
    """
    await tx.execute(_ONE_BY_ONE, {"id": mail.message_id})
    known = (await tx.execute(_KNOWN, {"id": mail.message_id, "print": mail.fingerprint})).one()
    if known.same:
        return Received("already_known")
    # the same id with other content is another mail: who uses an id first does not own it
    external_id = f"email:{mail.message_id}" + (f":{mail.fingerprint[:16]}" if known.used else "")
    place = await _thread(tx, house, mail)
    outcome, place = await _judge(tx, house, mail, place, external_id, now)
    bells: tuple[Bell, ...] = ()
    if outcome == "activity":
        client, record = place.client, place.record
        if client.contact is None and client.company is None:
            record = record or next(iter(client.records), None)
        detail: dict[str, JsonValue] = {"from": mail.sender, "subject": mail.subject}
        heard = Heard(
            external_id, "email", now, record, client.contact, client.company, "mail", detail, client.records
        )
        place = place._replace(record=record)
        bells = tuple((await record_activity(tx, book, ids, house, heard, now)).bells)
    elif outcome in _TOLD and place.record is not None:
        told = _TOLD[outcome].format(sender=mail.sender or "somebody", subject=mail.subject)
        await tell_responsible(tx, place.record, told, now)
    await _keep(tx, mail, place, outcome, now)
    return Received(outcome, place.record, bells)


async def _judge(
    tx: Transaction, house: House, mail: Incoming, place: _Place, external_id: str, now: datetime
) -> tuple[Outcome, _Place]:
    """What the mail is, and where it belongs in the end."""
    if mail.report and (record := await bounced(tx, house.mail.reply_secret, mail.report, now)):
        return "bounce", _Place("thread", record)
    if place.record is None and (entry := await exceptions.listed(tx, emails=[mail.sender])):
        detail: dict[str, JsonValue] = {"subject": mail.subject, "size": mail.size}
        await keep_aside(tx, Caught("email", external_id, mail.sender, entry, detail), now)
        return "quarantined", place
    if mail.automatic:
        return "automatic", place
    if not mail.believed:
        return "forged", place
    if mail.sender and await senders.is_employee(tx, mail.sender):
        return "employee", place
    if place.record is not None:
        is_client = mail.sender and await senders.is_client_of(tx, place.record, mail.sender)
        return ("activity" if is_client else "stranger"), place
    if mail.sender:
        client = await senders.client_of(tx, emails=[mail.sender])
        place = _Place("sender", None, client) if client.known else place
    return ("unknown" if place.matched == "none" else "activity"), place


async def _thread(tx: Transaction, house: House, mail: Incoming) -> _Place:
    """The record that the mail answers; nowhere for one that answers nothing of ours."""
    secret = house.mail.reply_secret
    ours = [written for written in mail.thread if is_ours(secret, written)]
    named = record_of(secret, mail.recipients)
    if named is None and not ours:
        return _Place()
    found = (await tx.execute(_THREAD, {"named": named, "ids": ours})).one()
    if found.named is not None:
        return _Place("address", found.named)
    return _Place("thread", found.thread) if found.thread is not None else _Place()


async def _keep(tx: Transaction, mail: Incoming, place: _Place, outcome: Outcome, now: datetime) -> None:
    """Keep what it says; the mail itself, with its files, only where it belongs to somebody."""
    attached = [one._asdict() for one in mail.body.attached]
    is_wanted = outcome != "quarantined"
    asked = {
        "message_id": mail.message_id, "print": mail.fingerprint, "record": place.record,
        "contact": place.client.contact, "company": place.client.company, "sender": mail.sender,
        "subject": mail.subject, "at": now, "in_reply_to": next(iter(mail.thread), ""), "size": mail.size,
        "matched": place.matched, "outcome": outcome, "text": mail.body.text if is_wanted else "",
        "attachments": to_json(attached if is_wanted else []).decode(),
        "content": mail.raw if is_wanted and place.matched != "none" else None,
    }  # fmt: skip
    await tx.execute(_KEEP, asked)


_ONE_BY_ONE = text("select pg_advisory_xact_lock(hashtextextended('mail ' || cast(:id as text), 0))")
_KNOWN = text("""
select exists (select 1 from inbound_mail where message_id = :id) as used,
  exists (select 1 from inbound_mail where fingerprint = :print) as same
""")
_THREAD = text("""
select (select id from record where id = :named) as named,
  (select r.id from unnest(cast(:ids as varchar[])) with ordinality as t(id, position)
     join lateral (
       select record_id from message where message_id = t.id and channel = 'email'
       union all
       select m.record_id from invitation i join meeting m on m.id = i.meeting_id where i.message_id = t.id
     ) known on true
     join record r on r.id = known.record_id
   order by t.position, r.id limit 1) as thread
""").bindparams(bindparam("named", type_=BigInteger), bindparam("ids", type_=ARRAY(String)))
_KEEP = text("""
insert into inbound_mail (message_id, fingerprint, record_id, contact_id, company_id, sender, subject, at,
  in_reply_to, size, matched, outcome, text, attachments, content)
values (:message_id, :print, :record, :contact, :company, :sender, :subject, :at, :in_reply_to, :size,
  :matched, :outcome, :text, cast(:attachments as jsonb), :content)
""").bindparams(
    bindparam("record", type_=BigInteger), bindparam("contact", type_=BigInteger),
    bindparam("company", type_=BigInteger), bindparam("at", type_=DateTime(timezone=True)),
    bindparam("content", type_=LargeBinary),
)  # fmt: skip
