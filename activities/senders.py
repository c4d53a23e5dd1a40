"""Who wrote or called: the client, or the employee, that an address or a number belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import ARRAY, BigInteger, String, bindparam, text

from db.engine import Transaction


class Client(NamedTuple):
    """A contact, or else a company, and the open records that hold the address themselves, newest first."""

    contact: int | None = None
    company: int | None = None
    records: tuple[int, ...] = ()

    @property
    def known(self) -> bool:
        return bool(self.contact or self.company or self.records)


async def client_of(tx: Transaction, *, emails: Sequence[str] = (), phones: Sequence[str] = ()) -> Client:
    """Who has one of these addresses, which are normalised: the oldest contact, else the oldest company.

    A record that speaks of nobody else holds the address of its client in its own field `email`.
    """
    if not (emails or phones):
        return Client()
    found = (await tx.execute(_CLIENT, {"emails": [*emails], "phones": [*phones]})).one()
    return Client(found.contact, None if found.contact else found.company, tuple(found.records))


async def is_client_of(tx: Transaction, record: int, address: str) -> bool:
    """Whether the e-mail address belongs to the record's client.

    That is its contact and all who belong to its company, the company itself, and whom its own field names.
    """
    return bool((await tx.execute(_OF_RECORD, {"record": record, "address": address})).scalar_one())


async def is_employee(tx: Transaction, address: str) -> bool:
    """Whether the e-mail address is an active employee's."""
    return bool((await tx.execute(_EMPLOYEE, {"address": address})).scalar_one())


_CLIENT = text("""
select
  (select min(id) from contact where emails ?| :emails or phones ?| :phones) as contact,
  (select min(id) from company where emails ?| :emails or phones ?| :phones) as company,
  array(
    select r.id from record r join stage s on s.pipeline_id = r.pipeline_id and s.id = r.stage_id
    where r.fields ? 'email' and r.fields -> 'email' ?| :emails
      and r.deleted_at is null and s.meaning = 'process'
    order by r.created_at desc, r.id desc limit 50) as records
""").bindparams(bindparam("emails", type_=ARRAY(String)), bindparam("phones", type_=ARRAY(String)))
_OF_RECORD = text("""
select exists (
  select 1 from record r left join contact main on main.id = r.contact_id
  where r.id = :record and (
    coalesce(r.fields -> 'email' ? :address, false)
    or exists (
      select 1 from contact c where c.emails ? :address
      and (c.id = r.contact_id or c.company_id in (r.company_id, main.company_id)))
    or exists (
      select 1 from company c where c.emails ? :address and c.id in (r.company_id, main.company_id))
  )
)
""").bindparams(bindparam("record", type_=BigInteger))
_EMPLOYEE = text("select exists (select 1 from employee where active and lower(email) = :address)")
