"""What the operations on contacts and on companies have in common."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, Field, JsonValue, StringConstraints
from sqlalchemy import select
from sqlmodel import SQLModel

from api.input import KEEPABLE, Name, Sendable
from api.service import Service
from db.client_bells import client_bells
from db.client_edits import Changes, edit_client
from db.clients import ROWS, AddressKind, Client, ClientRow, normalised, read_client, take_client
from db.engine import Transaction
from db.outbox import Bell
from db.records import By
from domain.errors import Refused, Stale
from domain.fields import LONGEST_NAME, MOST_VALUES

Line = Annotated[str, StringConstraints(max_length=LONGEST_NAME)]
Found = Annotated[str | None, Query(max_length=320, pattern=KEEPABLE)]
_FIELDS = {"emails": "email", "phones": "phone"}  # by which name a condition knows them


class Address(Sendable):
    """An e-mail address or a phone number, and what it is for; null: as before."""

    address: Annotated[str, Field(min_length=1, max_length=320)]
    kind: AddressKind | None = None


Plain = Annotated[str, Field(min_length=1, max_length=320)]
Addresses = Annotated[list[Address | Plain], Field(max_length=MOST_VALUES)]
"""In the order of preference, each as a text or with its kind."""


class AddressOut(BaseModel):
    """An e-mail address in lower case, or a phone number after E.164. `kind` is null where nobody said."""

    address: str
    kind: str | None

    @classmethod
    def listed(cls, addresses: list[str], kinds: Mapping[str, str]) -> list[AddressOut]:
        return [cls(address=one, kind=kinds.get(one)) for one in addresses]


class ClientIn(Sendable):
    """What both kinds of client have; what is not named stays, or is empty in a new one.

    `fields` are the custom ones, null empties a field. `by` is the employee who did it.
    """

    emails: Addresses = []
    phones: Addresses = []
    fields: dict[str, JsonValue] = {}
    by: Name | None = None

    def changes(self, region: str) -> Changes:
        """What is to be set. Raises `Refused` for what is no address, or a standard field among `fields`."""
        own = type(self).model_fields.keys() - {"fields", "by", "version", "company"}
        names = {_FIELDS.get(name, name) for name in own}
        if mixed := names & self.fields.keys():
            raise Refused("unknown_field", f"{', '.join(sorted(mixed))}: not among the custom `fields`")
        found: dict[str, object] = dict(self.fields)
        kinds: dict[str, AddressKind] = {}
        for name in own & self.model_fields_set:
            if name not in _FIELDS:
                found[name] = getattr(self, name)
                continue
            given = [one if isinstance(one, Address) else Address(address=one) for one in getattr(self, name)]
            for one in given:
                (kept,) = normalised(_FIELDS[name], [one.address], region)
                kinds |= {kept: one.kind} if one.kind else {}
            found[_FIELDS[name]] = [one.address for one in given]
        return Changes(found, kinds, getattr(self, "company", None), links="company" in self.model_fields_set)


class ChangeOut(BaseModel):
    """A line of a client's history; `detail`: old and new value by field. A rule's has its record too."""

    id: int
    event: str
    record_id: int | None
    rule: str
    actor: str
    at: datetime
    detail: dict[str, JsonValue]


class History(BaseModel):
    """Changes in the order they were made. `next`, if there is more, is the `after` of the next page."""

    items: list[ChangeOut]
    next: int | None = None


async def edited(
    tx: Transaction, service: Service, client: Client, client_id: int, wanted: Changes, by: By,
    version: int | None,
) -> tuple[ClientRow, tuple[Bell, ...]]:  # fmt: skip
    """Edit a client; answers it and the bells of its records. Raises `Refused`, also where there is none."""
    taken = await take_client(tx, client, client_id)
    if taken is None:
        raise _gone(client, client_id)
    if version is not None and version != taken.row.version:
        raise Stale(version, taken.row.version, client)
    done = await edit_client(tx, taken, wanted, by, service.settings.phone_region)
    bells = await client_bells(tx, service.book, taken.row, client, done.changed, by.at)
    return taken.row, bells


async def shown(service: Service, client: Client, client_id: int) -> ClientRow:
    """The client. Raises `Refused` where there is none."""
    async with service.database.transaction() as tx:
        row = await read_client(tx, client, client_id)
    if row is None:
        raise _gone(client, client_id)
    return row


async def found(
    service: Service, client: Client, email: str | None, phone: str | None, after: int, limit: int
) -> tuple[list[ClientRow], int | None]:
    """A page of clients in the order of their ids, those with these addresses if any are given."""
    columns = SQLModel.metadata.tables[client].c
    asked = select(*columns).where(columns["id"] > after).order_by(columns["id"]).limit(limit + 1)
    for name, column, written in (("email", "emails", email), ("phone", "phones", phone)):
        if written is not None:
            wanted = normalised(name, [written], service.settings.phone_region)
            asked = asked.where(columns[column].contains(wanted))
    async with service.database.transaction() as tx:
        rows: list[ClientRow] = [
            ROWS[client].model_validate(dict(row)) for row in (await tx.execute(asked)).mappings()
        ]
    page = rows[:limit]
    return page, page[-1].id if len(rows) > limit else None


async def history(service: Service, client: Client, client_id: int, after: int, limit: int) -> History:
    """What was changed of a client. Raises `Refused` where there is none."""
    await shown(service, client, client_id)
    columns = SQLModel.metadata.tables["client_change"].c
    asked = select(*columns).where(columns[f"{client}_id"] == client_id, columns["id"] > after)
    async with service.database.transaction() as tx:
        rows = (await tx.execute(asked.order_by(columns["id"]).limit(limit + 1))).mappings()
        items = [ChangeOut.model_validate(dict(row)) for row in rows]
    return History(items=items[:limit], next=items[limit - 1].id if len(items) > limit else None)


def _gone(client: Client, client_id: int) -> Refused:
    return Refused("gone", f"there is no {client} {client_id}", 404)
