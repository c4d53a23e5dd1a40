"""A record's journey on the whole stack under virtual time, told a scenario event by event.

Each workflow has a virtual clock of its own, which can only run on. So that it never overtakes what is still
to be told, it is kept a little behind: before an event it is brought to every time at which something is due
by then, and otherwise to `LAG` before the event. What acts is booked at its due time.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from temporalio.client import WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment

from domain.journey import Shown, workflow_id

LAG = timedelta(seconds=45)
NEARLY = timedelta(milliseconds=40)
"""The server may run past a target that is also the time of a timer."""
clock: ContextVar[datetime] = ContextVar("clock")
"""What time it is for the record a task tells of."""


class Door(Protocol):
    """The ways in which the outside world reaches a record."""

    async def create(self, record: dict[str, Any]) -> int: ...
    async def tell(self, record_id: int, event: dict[str, Any]) -> int:
        """Tell an event of a scenario; answers the visit the record is in then."""
        ...

    async def rung(self) -> None:
        """Wait until every bell has been rung."""
        ...


class Case:
    """One record and its journey."""

    def __init__(self, environment: WorkflowEnvironment, door: Door, scenario: dict[str, Any]) -> None:
        self.environment, self.door, self.scenario = environment, door, scenario
        self.record_id = 0
        self.visit_no = 1
        self._handle: WorkflowHandle[Any, Any] | None = None

    async def run(self) -> int:
        """Tell the whole scenario, then let time run on to its end; answers the record's id."""
        first, *events = self.scenario["events"]
        clock.set(_instant(first["at"]))
        self.record_id = await self.door.create(self.scenario["record"])
        await self.rest()
        seen: set[str] = set()
        for event in events:
            if event["type"] == "client" and event["id"] in seen:
                continue
            seen.add(event.get("id", ""))
            await self.reach(_instant(event["at"]))
            clock.set(_instant(event["at"]))
            self.visit_no = await self.door.tell(self.record_id, event)
            await self.rest()
        await self.reach(_instant(self.scenario["until"]))
        return self.record_id

    @property
    def handle(self) -> WorkflowHandle[Any, Any]:
        if self._handle is None:
            kind = self.scenario["record"].get("type", "deal")
            self._handle = self.environment.client.get_workflow_handle(workflow_id(kind, self.record_id))
        return self._handle

    async def reach(self, at: datetime) -> None:
        """Let the journey's time run on; whatever is due by `at` is done, one instant after the other."""
        while not (shown := await self.rest()).face.suspended:
            due = shown.progress.next_due
            if due is None or due > at:
                break
            await self._forward(due)
            await asyncio.sleep(NEARLY.total_seconds())
        await self._forward(at - LAG)

    async def rest(self) -> Shown:
        """Wait until the journey has heard of everything and nothing is under way."""
        await self.door.rung()
        while True:
            shown = await self.state()
            if shown.progress.visit_no >= self.visit_no and shown.at_rest:
                return shown
            await asyncio.sleep(0.01)

    async def state(self) -> Shown:
        """What the journey answers; between two runs it has to be asked again."""
        while True:
            try:
                return await self.handle.query("state", result_type=Shown)
            except RPCError as error:
                if error.status not in (RPCStatusCode.FAILED_PRECONDITION, RPCStatusCode.NOT_FOUND):
                    raise
                await asyncio.sleep(0.01)

    async def _forward(self, to: datetime) -> None:
        """Bring the journey's clock to just before an instant; one that has ended has no clock."""
        try:
            left = to - NEARLY - await self.environment.get_current_time(self.handle)
            if left > timedelta(0):
                await self.environment.fast_forward(self.handle, left)
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


JOURNAL = """
select at, visit_no, rule, event, reason from journal
where record_id = $1 and rule <> ''
  and event in ('done', 'skipped', 'failed', 'cancelled', 'stale', 'superseded', 'unknown', 'late')
  and n = case when event = 'late' then n else 0 end
order by id
"""


async def entries(connection: Any, record_id: int) -> list[list[Any]]:
    """The outcomes in the record's journal, in the form of the reference model."""
    return [
        [row["at"].astimezone(UTC).isoformat(timespec="microseconds"), *list(row)[1:]]
        for row in await connection.fetch(JOURNAL, record_id)
    ]
