"""What somebody on the exception list sent: kept aside, attached to nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from pydantic import JsonValue
from pydantic_core import to_json
from sqlalchemy import DateTime, bindparam, text

from db.engine import Transaction


class Caught(NamedTuple):
    """One thing that was kept aside, and the entry it was caught by. `channel` is the type of activity."""

    channel: str
    external_id: str
    sender: str
    entry: str
    detail: Mapping[str, JsonValue] = {}  # a NamedTuple's default, never written to


async def keep_aside(tx: Transaction, caught: Caught, at: datetime) -> bool:
    """Write it into the quarantine log, once an external id; False if it is there already."""
    asked = caught._asdict() | {"detail": to_json(dict(caught.detail)).decode(), "at": at}
    return (await tx.execute(_KEEP, asked)).rowcount > 0


_KEEP = text("""
insert into quarantined (at, channel, external_id, sender, entry, detail)
values (:at, :channel, :external_id, :sender, :entry, cast(:detail as jsonb))
on conflict (external_id) do nothing
""").bindparams(bindparam("at", type_=DateTime(timezone=True)))
