"""What a journey has left in the database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

Rows = Callable[..., Awaitable[list[dict[str, Any]]]]


class Traces:
    """What is left of one record. `rows` answers what a query finds."""

    def __init__(self, rows: Rows, record_id: int) -> None:
        self._rows, self.id = rows, record_id

    async def lines(self, *events: str, rule: str | None = None) -> list[dict[str, Any]]:
        """The lines of the journal, of some events, of one rule; times as instants in UTC."""
        found = await self._rows("select * from journal where record_id = :id order by id", id=self.id)
        return [
            row | {"at": row["at"].astimezone(UTC)}
            for row in found
            if (not events or row["event"] in events) and (rule is None or row["rule"] == rule)
        ]

    async def outcomes(self, visit_no: int | None = None) -> dict[str, str]:
        """What each rule ended as, with the reason: `done time`."""
        found = await self._rows(
            "select visit_no, rule, outcome, reason from ledger where record_id = :id and n = 0 order by at",
            id=self.id,
        )
        return {
            row["rule"]: f"{row['outcome']} {row['reason']}".strip()
            for row in found
            if visit_no in (None, row["visit_no"])
        }

    async def comments(self) -> list[str]:
        """The comments, in the order they were made."""
        asked = "select body from comment where record_id = :id order by id"
        found = await self._rows(asked, id=self.id)
        return [row["body"] for row in found]

    async def acted_at(self, rule: str) -> datetime:
        """When the rule ended."""
        asked = "select at from ledger where record_id = :id and rule = :rule and n = 0"
        (row,) = await self._rows(asked, id=self.id, rule=rule)
        at: datetime = row["at"]
        return at.astimezone(UTC)
