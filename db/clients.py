"""Contacts and companies: found, taken under their lock, made.

A client is shared by several records. Whoever holds a record's lock takes that of its client after it, and
that of no other record: what others wait for reaches their journeys as a bell.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Final, Literal, NamedTuple

from pydantic_core import from_json
from sqlalchemy import ARRAY, BigInteger, String, TextClause, bindparam, text

from db.engine import Transaction
from db.facts import CompanyRow, ContactRow
from domain import addresses
from domain.errors import Refused
from domain.fields import Field
from domain.standard_fields import standard

Client = Literal["contact", "company"]
AddressKind = Literal["work", "home", "mobile", "other"]
ClientRow = ContactRow | CompanyRow
ROWS: Final[Mapping[Client, type[ContactRow] | type[CompanyRow]]] = {
    "contact": ContactRow,
    "company": CompanyRow,
}
_MOST: Final = 100  # addresses of a kind: more are somebody's mistake


class Taken(NamedTuple):
    """A client under its lock, and the fields it may have by name."""

    client: Client
    row: ClientRow
    fields: Mapping[str, Field]


async def take_client(tx: Transaction, client: Client, client_id: int) -> Taken | None:
    """Lock a client until the transaction ends, and read it; None if there is none."""
    found = (await tx.execute(_TAKE[client], {"id": client_id})).one_or_none()
    if found is None:
        return None
    return Taken(client, ROWS[client].model_validate_json(found.client), _fields(client, found.custom))


async def read_client(tx: Transaction, client: Client, client_id: int) -> ClientRow | None:
    """The client without the lock, for showing."""
    found = (await tx.execute(_READ[client], {"id": client_id})).scalar_one_or_none()
    return None if found is None else ROWS[client].model_validate_json(found)


async def client_fields(tx: Transaction, client: Client) -> Mapping[str, Field]:
    """The standard and the custom fields of clients of a kind, by name."""
    asked = text("select value::text from setting where key = :key")
    found = (await tx.execute(asked, {"key": f"{client}_fields"})).scalar_one_or_none()
    return _fields(client, found or "[]")


async def oldest(
    tx: Transaction, client: Client, *, emails: Sequence[str] = (), phones: Sequence[str] = ()
) -> int | None:
    """The client that was there first of those with one of these addresses, which are normalised."""
    asked = {"emails": list(emails), "phones": list(phones)}
    found: int | None = (await tx.execute(_OLDEST[client], asked)).scalar_one_or_none()
    return found


async def hold_addresses(tx: Transaction, listed: Iterable[str]) -> None:
    """Until the transaction ends nobody else makes or looks for a client with one of these addresses.

    They are taken in one order, so that two who want the same ones wait and do not block each other.
    """
    keys = sorted(int.from_bytes(sha256(one.encode()).digest()[:8], signed=True) for one in set(listed))
    if keys:
        await tx.execute(_HOLD, {"keys": keys})


def normalised(name: str, written: Iterable[str], region: str) -> list[str]:
    """The addresses of the field `email` or `phone` as they are kept, each once; see `domain.addresses`.

    Raises `Refused` (`wrong_type`) for what is none, and for more than a hundred.
    """
    try:
        listed = [
            addresses.email(one) if name == "email" else addresses.phone(one, region) for one in written
        ]
    except ValueError as wrong:
        raise Refused("wrong_type", f"{name}: {wrong}") from wrong
    if len(listed) > _MOST:
        raise Refused("wrong_type", f"{name}: a client has at most {_MOST} of them")
    return list(dict.fromkeys(listed))


@lru_cache(maxsize=16)
def _fields(client: Client, custom: str) -> Mapping[str, Field]:
    listed = [Field.model_validate(field) for field in from_json(custom)]
    return standard("deal").with_custom(listed, client).section(client)


def _statements(sql: str) -> dict[Client, TextClause]:
    """The statement for either table."""
    return {client: text(sql.replace("$client", client)) for client in ROWS}


_ID = bindparam("id", type_=BigInteger)
_TAKE = {
    client: sql.bindparams(_ID)
    for client, sql in _statements("""
select to_jsonb(c)::text as client,
  coalesce((select value::text from setting where key = '$client_fields'), '[]') as custom
from $client c where c.id = :id for no key update of c
""").items()
}
_READ = {
    client: sql.bindparams(_ID)
    for client, sql in _statements("select to_jsonb(c)::text from $client c where c.id = :id").items()
}
_OLDEST = {
    client: sql.bindparams(bindparam("emails", type_=ARRAY(String)), bindparam("phones", type_=ARRAY(String)))
    for client, sql in _statements("""
select id from $client where emails ?| :emails or phones ?| :phones order by id limit 1
""").items()
}
_HOLD = text("select pg_advisory_xact_lock(key) from unnest(:keys) as key").bindparams(
    bindparam("keys", type_=ARRAY(BigInteger))
)


async def needed_elsewhere(
    tx: Transaction, client: Client, client_id: int, record_id: int, contact: int | None = None
) -> bool:
    """Whether anybody has the client but this record, and but this `contact`, which goes with it.

    The client is locked: whoever is about to link it waits, or is seen.
    """
    asked = {"id": client_id, "record": record_id, "contact": contact}
    await tx.execute(_LOCK[client], asked)
    return bool((await tx.execute(_NEEDED[client], asked)).scalar_one())


_OWN = (
    bindparam("id", type_=BigInteger), bindparam("record", type_=BigInteger),
    bindparam("contact", type_=BigInteger),
)  # fmt: skip
_LOCK: Final[Mapping[Client, TextClause]] = {
    "contact": text("select 1 from contact where id = :id for update").bindparams(_OWN[0]),
    "company": text("select 1 from company where id = :id for update").bindparams(_OWN[0]),
}
_NEEDED: Final[Mapping[Client, TextClause]] = {
    "contact": text(
        "select exists (select 1 from record where contact_id = :id and id <> :record)"
    ).bindparams(*_OWN[:2]),
    "company": text(
        "select exists (select 1 from record where company_id = :id and id <> :record)"
        " or exists (select 1 from contact where company_id = :id and id is distinct from :contact)"
    ).bindparams(*_OWN),
}
