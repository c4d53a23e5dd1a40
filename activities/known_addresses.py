"""All the addresses of somebody: what the exception list is asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, Self

from pydantic import JsonValue
from sqlalchemy import BigInteger, bindparam, text

from db.engine import Transaction
from domain import addresses


class Known(NamedTuple):
    """E-mail addresses and phone numbers, as they were written."""

    emails: tuple[str, ...] = ()
    phones: tuple[str, ...] = ()

    @classmethod
    def of_fields(cls, fields: Mapping[str, JsonValue]) -> Self:
        """Those in a record's own fields."""
        return cls(_texts(fields.get("email")), _texts(fields.get("phone")))

    def readable(self, region: str) -> list[str]:
        """The phone numbers after E.164; what is none is left out."""
        found: list[str] = []
        for written in self.phones:
            with contextlib.suppress(ValueError):
                found.append(addresses.phone(written, region))
        return found


async def addresses_of(
    tx: Transaction, *, record: int | None = None, contact: int | None = None, company: int | None = None,
    emails: Iterable[str] = (), phones: Iterable[str] = (),
) -> Known:  # fmt: skip
    """Those of a client, and of a record: its own, its contact's, its company's. Those given come first."""
    given = Known(tuple(emails), tuple(phones))
    if record is None and contact is None and company is None:
        return given
    asked = {"record": record, "contact": contact, "company": company}
    emails, phones = list(given.emails), list(given.phones)
    for row in await tx.execute(_ADDRESSES, asked):
        emails += _texts(row.emails)
        phones += _texts(row.phones)
    return Known(tuple(emails), tuple(phones))


def _texts(value: object) -> tuple[str, ...]:
    listed = value if isinstance(value, list) else [value]
    return tuple(one for one in listed if isinstance(one, str))


_IDS: Final = [bindparam(name, type_=BigInteger) for name in ("record", "contact", "company")]
_ADDRESSES = text("""
with r as (select contact_id, company_id, fields from record where id = :record)
select fields -> 'email' as emails, fields -> 'phone' as phones from r
union all
select emails, phones from contact where id in (:contact, (select contact_id from r))
union all
select emails, phones from company where id in (:company, (select company_id from r))
""").bindparams(*_IDS)
