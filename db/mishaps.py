"""Which errors of the database pass by themselves, and which come again however often it is tried."""

from __future__ import annotations

from typing import Final

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnection

_PASSING: Final = ("08", "40", "53", "55", "57", "58", "XX", "25P03")
"""Beginnings of SQLSTATE (PostgreSQL, appendix A): the connection, a conflict, resources, locks, somebody's
intervention, the system, an inner error, a transaction that was idle too long."""
_TOO_SLOW: Final = "57014"


def passes(error: BaseException) -> bool:
    """Whether it says that the database is away, busy or in conflict: the same may go well later."""
    if isinstance(error, NoConnection):
        return True
    if not isinstance(error, DBAPIError) or is_too_slow(error):
        return False
    state = _state(error)
    if state:
        return state.startswith(_PASSING)
    cause = error.orig.__cause__ if error.orig else None
    lost = isinstance(cause, OSError) or "clos" in str(cause)  # "the connection is closed"
    return error.connection_invalidated or lost or cause is None


def is_too_slow(error: BaseException) -> bool:
    """Whether a statement took longer than a statement may."""
    return isinstance(error, DBAPIError) and _state(error) == _TOO_SLOW


def _state(error: DBAPIError) -> str:
    cause = error.orig.__cause__ if error.orig else None
    return (cause.sqlstate or "") if isinstance(cause, asyncpg.PostgresError) else ""
