"""Numbers of documents: without gaps, and none twice.

A number is taken inside the transaction that uses it. Its series stays locked until that ends, so the next
taker waits; what is rolled back gives its number back.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import text

from db.engine import Transaction
from domain.errors import Refused

_PLACE: Final = re.compile(r"\{(?:(year|month)|number(?::0([1-9]))?)\}")


def written(pattern: str, number: int, at: datetime, zone: str) -> str:
    """A number as its series writes it: `INV-{year}-{number:05}`; year and month are those of `zone`."""
    day = at.astimezone(ZoneInfo(zone))

    def filled(place: re.Match[str]) -> str:
        match place[1]:
            case "year":
                return f"{day.year:04}"
            case "month":
                return f"{day.month:02}"
        return str(number).zfill(int(place[2] or 1))

    return _PLACE.sub(filled, pattern)


def pattern_problem(pattern: str) -> str:
    """What is wrong with a pattern; empty when it may be used."""
    places = list(_PLACE.finditer(pattern))
    if sum(place[1] is None for place in places) != 1:
        return "a pattern holds the number once, as {number} or, with leading zeros, {number:05}"
    if "{" in (rest := _PLACE.sub("", pattern)) or "}" in rest:
        return "between braces there may be: year, month, number"
    return ""


async def take(tx: Transaction, series: str, at: datetime, zone: str = "UTC") -> str:
    """The next number of a series, as it is written.

    The series is locked until the transaction (or the savepoint, if that is rolled back) ends. Numbers go on
    for ever: a new year does not begin anew at 1. Raises `Refused` where there is no such series.
    """
    row = (await tx.execute(_TAKE, {"series": series})).one_or_none()
    if row is None:
        raise Refused("unknown_series", f"there is no number series {series!r}")
    return written(row.pattern, row.number, at, zone)


_TAKE = text("""
update number_series set next = next + 1 where id = :series returning pattern, next - 1 as number
""")
