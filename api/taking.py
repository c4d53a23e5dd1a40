"""A record under its lock, for a write."""

from __future__ import annotations

from api.service import Service
from db.engine import Transaction
from db.locked import Locked
from domain.errors import Gone


async def take(tx: Transaction, service: Service, record_id: int, *, from_bin: bool = False) -> Locked:
    """Lock the record until the transaction ends. Raises `Gone`, for one in the bin unless `from_bin`."""
    locked = await Locked.take(tx, service.book, record_id)
    if locked is None or (locked.record.deleted_at and not from_bin):
        raise Gone(record_id)
    return locked
