"""Who wrote or called: the client, or the employee, that an address or a number belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import ARRAY, String, bindparam, text

from db.engine import Transaction


class Client(NamedTuple):
    """A contact, or else a company; neither where nobody has the address."""

    contact: int | None = None
    company: int | None = None

    @property
    def known(self) -> bool:
        return self.contact is not None or self.company is not None


async def client_of(tx: Transaction, *, emails: Sequence[str] = (), phones: Sequence[str] = ()) -> Client:
    """The oldest contact that has one of them, else the oldest company. They are normalised."""
    if not (emails or phones):
        return Client()
    found = (await tx.execute(_CLIENT, {"emails": [*emails], "phones": [*phones]})).one()
    return Client(found.contact, None if found.contact else found.company)


async def is_employee(tx: Transaction, address: str) -> bool:
    """Whether the e-mail address is an active employee's."""
    return bool((await tx.execute(_EMPLOYEE, {"address": address})).scalar_one())


_CLIENT = text("""
select
  (select min(id) from contact where emails ?| :emails or phones ?| :phones) as contact,
  (select min(id) from company where emails ?| :emails or phones ?| :phones) as company
""").bindparams(bindparam("emails", type_=ARRAY(String)), bindparam("phones", type_=ARRAY(String)))
_EMPLOYEE = text("select exists (select 1 from employee where active and lower(email) = :address)")
