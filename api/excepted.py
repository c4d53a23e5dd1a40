"""A record that is not made, because whoever it is about is on the exception list."""

from __future__ import annotations

from datetime import datetime
from uuid import uuid4

from activities import exceptions
from activities.known_addresses import Known, addresses_of
from activities.quarantine import Caught, keep_aside
from db.creation import NewRecord
from db.engine import Database, Transaction
from domain.errors import Refused


class Excepted(Refused):
    """Nothing is created for somebody on the list; taking the entry off first says that it is meant."""

    def __init__(self, sender: str, entry: str) -> None:
        super().__init__("on_exception_list", f"{sender} is on the exception list by {entry!r}")
        self.sender, self.entry = sender, entry


async def check_not_excepted(tx: Transaction, new: NewRecord, region: str) -> None:
    """Ask the list for the record's own addresses, its contact's and its company's. Raises `Excepted`."""
    own = Known.of_fields(new.fields)
    known = await addresses_of(
        tx, contact=new.contact, company=new.company, emails=own.emails, phones=own.phones
    )
    phones = known.readable(region)
    entry = await exceptions.listed(tx, emails=known.emails, phones=phones)
    if entry:
        raise Excepted(next((one for one in (*known.emails, *phones)), entry), entry)


async def keep_excepted(
    database: Database, new: NewRecord, found: Excepted, key: str | None, at: datetime
) -> None:
    """Write into the quarantine log what was not created; once an `Idempotency-Key`."""
    detail = {"title": new.title, "type": new.type, "pipeline": new.pipeline, "source": new.source}
    caught = Caught("record", f"record:{key or uuid4()}", found.sender, found.entry, dict(detail))
    async with database.transaction() as tx:
        await keep_aside(tx, caught, at)
