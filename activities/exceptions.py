"""The exception list: whose calls, mails and forms create and attach nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Literal, NamedTuple

from sqlalchemy import ARRAY, BigInteger, DateTime, String, bindparam, text

from db.engine import Transaction
from domain import addresses

Kind = Literal["email", "domain", "phone"]


class Entry(NamedTuple):
    """One that is on the list, or is to be: an e-mail address, a whole domain, or a phone number (E.164)."""

    value: str
    kind: Kind


def entry(written: str, region: str) -> Entry:
    """What somebody wrote, normalised: `Ada@Firm.example`, `@firm.example` or `firm.example`, `+49 30 1234`.

    Raises `ValueError` for what is none of these.
    """
    bare = written.strip()
    if "@" in bare[1:]:
        return Entry(addresses.email(bare), "email")
    domain = bare.removeprefix("@").lower()
    if bare.startswith("@") or any(letter.isalpha() for letter in domain):
        if "." not in domain or not addresses.is_domain(domain):
            raise ValueError(f"{written[:80]!r} is no e-mail address, domain or phone number")
        return Entry(domain, "domain")
    return Entry(addresses.phone(bare, region), "phone")


async def listed(tx: Transaction, *, emails: Iterable[str] = (), phones: Iterable[str] = ()) -> str | None:
    """The entry that one of these is caught by; None if none is.

    A domain catches all below it. `phones` are numbers after E.164; what is no e-mail address is passed over.
    """
    wanted = [*phones]
    for written in emails:
        with contextlib.suppress(ValueError):
            wanted += _caught_by(addresses.email(written))
    if not wanted:
        return None
    found: str | None = (await tx.execute(_LISTED, {"wanted": wanted})).scalar_one_or_none()
    return found


async def add(
    tx: Transaction, entries: Iterable[Entry], author: str, at: datetime, *, record_id: int | None = None,
    comment: str = "",
) -> list[str]:  # fmt: skip
    """Put them on the list; answers those that were not there yet. Those that were stay as they are."""
    once = sorted(set(entries))  # in one order, so that two who add the same do not wait for each other
    asked = {
        "values": [one.value for one in once], "kinds": [one.kind for one in once], "author": author,
        "record": record_id, "comment": comment, "at": at,
    }  # fmt: skip
    return [row.value for row in await tx.execute(_ADD, asked)]


async def remove(tx: Transaction, value: str) -> bool:
    """Take an entry off the list; False if it is not there."""
    return (await tx.execute(_REMOVE, {"value": value})).rowcount > 0


def _caught_by(address: str) -> Iterator[str]:
    """All entries that catch an address: itself, its domain, and every domain above that."""
    yield address
    for domain in _forms(address.rpartition("@")[2]):
        labels = domain.split(".")
        yield from (".".join(labels[start:]) for start in range(len(labels)))


def _forms(domain: str) -> set[str]:
    """A domain as people write it and as the name service knows it (IDNA)."""
    forms = {domain}
    with contextlib.suppress(UnicodeError):
        forms |= {domain.encode("idna").decode("ascii"), domain.encode("ascii", "ignore").decode("idna")}
    return forms


_LISTED = text("""
select value from exception_entry where value = any(:wanted) order by kind desc, value limit 1
""").bindparams(bindparam("wanted", type_=ARRAY(String)))
_ADD = text("""
insert into exception_entry (value, kind, author, record_id, comment, at)
select value, kind, :author, :record, :comment, :at
from unnest(cast(:values as varchar[]), cast(:kinds as varchar[])) as t(value, kind)
on conflict (value) do nothing returning value
""").bindparams(
    bindparam("values", type_=ARRAY(String)), bindparam("kinds", type_=ARRAY(String)),
    bindparam("record", type_=BigInteger), bindparam("at", type_=DateTime(timezone=True)),
)  # fmt: skip
_REMOVE = text("delete from exception_entry where value = :value")
