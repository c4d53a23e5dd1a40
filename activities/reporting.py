"""What other systems report of clients: first the exception list, then whose it is, then what it does."""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import Final, NamedTuple, Self

from sqlalchemy import text

from activities import exceptions, senders
from activities.client import Answer, Heard, record_activity
from activities.house import House
from activities.known_addresses import addresses_of
from activities.quarantine import Caught, keep_aside
from db.engine import Transaction
from db.rows import Ids
from db.rulebook import Rulebook
from domain import addresses

NEVER_KEPT_ASIDE: Final = frozenset({"payment"})
"""Nobody is on the exception list so that his money is overlooked."""


class Sender(NamedTuple):
    """The e-mail address and the phone number (E.164) of whoever it was; either may be empty."""

    email: str = ""
    phone: str = ""

    @classmethod
    def of(cls, email: str | None, phone: str | None, region: str) -> Self:
        """As somebody wrote them; what is no address or number counts as none."""
        found = {"email": "", "phone": ""}
        with contextlib.suppress(ValueError):
            found["email"] = addresses.email(email or "")
        with contextlib.suppress(ValueError):
            found["phone"] = addresses.phone(phone or "", region)
        return cls(**found)

    @property
    def emails(self) -> list[str]:
        return [self.email] if self.email else []

    @property
    def phones(self) -> list[str]:
        return [self.phone] if self.phone else []


async def report(
    tx: Transaction, book: Rulebook, ids: Ids, house: House, heard: Heard, sender: Sender, now: datetime
) -> Answer:
    """Record an activity, of the sender's client where it is bound to nobody.

    What somebody on the exception list does is `quarantined`, what nobody we know does `unknown_client`:
    neither is recorded as activity. The list is asked for who it was: the sender and the client named; of an
    activity that names neither, all the addresses of its record's client. Raises `Refused` when its record or
    client is unknown.
    """
    if heard.type not in NEVER_KEPT_ASIDE:
        known = await addresses_of(tx, emails=sender.emails, phones=sender.phones, **_named(heard, sender))
        entry = await exceptions.listed(tx, emails=known.emails, phones=known.readable(house.mail.region))
        if entry and not (await tx.execute(_KNOWN, {"id": heard.external_id})).scalar_one():
            address = sender.email or sender.phone or entry
            caught = Caught(heard.type, heard.external_id, address, entry, heard.detail)
            await keep_aside(tx, caught, now)
            return Answer("quarantined", [], [])
    if heard.record is None and heard.contact is None and heard.company is None:
        client = await senders.client_of(tx, emails=sender.emails, phones=sender.phones)
        if not client.known:
            return Answer("unknown_client", [], [])
        record = None if client.contact or client.company else client.records[0]
        heard = heard._replace(
            record=record, contact=client.contact, company=client.company, also=client.records
        )
    return await record_activity(tx, book, ids, house, heard, now)


def _named(heard: Heard, sender: Sender) -> dict[str, int | None]:
    """Whose addresses count beside the sender's."""
    nobody = heard.contact is None and heard.company is None and sender == Sender()
    return {"contact": heard.contact, "company": heard.company, "record": heard.record if nobody else None}


_KNOWN = text("select exists (select 1 from client_activity where external_id = :id)")
