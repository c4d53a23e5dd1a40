"""What other systems report of clients: first the exception list, then whose it is, then what it does."""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import Final, NamedTuple, Self

from sqlalchemy import text

from activities import exceptions, senders
from activities.client import Answer, Heard, record_activity
from activities.house import House
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
    neither is recorded as activity. Raises `Refused` when its record or client is unknown.
    """
    if heard.type not in NEVER_KEPT_ASIDE:
        entry = await exceptions.listed(tx, emails=sender.emails, phones=sender.phones)
        known = entry and (await tx.execute(_KNOWN, {"id": heard.external_id})).scalar_one()
        if entry and not known:
            address = sender.email or sender.phone
            caught = Caught(heard.type, heard.external_id, address, entry, heard.detail)
            await keep_aside(tx, caught, now)
            return Answer("quarantined", [], [])
    if heard.record is None and heard.contact is None and heard.company is None:
        client = await senders.client_of(tx, emails=sender.emails, phones=sender.phones)
        if not client.known:
            return Answer("unknown_client", [], [])
        heard = heard._replace(contact=client.contact, company=client.company)
    return await record_activity(tx, book, ids, house, heard, now)


_KNOWN = text("select exists (select 1 from client_activity where external_id = :id)")
