"""A record's journey on the whole stack under virtual time, told a scenario event by event.

Each workflow has a virtual clock of its own, which can only run on. So that it never overtakes what is still
to be told, it is kept a little behind: before an event it is brought to every time at which something is due
by then, and otherwise to `LAG` before the event. What acts is booked at its due time; what follows the event
is done at the event's time, though the clock of the journey is not quite there, or just past it: `acting_at`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import httpx2
from pydantic import SecretStr
from sqlalchemy import text
from temporalio import activity
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment

from activities.providers.mail import Delivery, Letter
from api.app import create_app
from db.engine import Database
from db.settings import Settings
from domain.journey import Shown, workflow_id
from domain.period import Period
from tests import builders
from tests.door import Door, HeldBack, Json, refuse_untold
from worker.running import running

LAG = timedelta(seconds=45)
ASK_AGAIN = (
    RPCStatusCode.FAILED_PRECONDITION,
    RPCStatusCode.NOT_FOUND,
    RPCStatusCode.DEADLINE_EXCEEDED,
    RPCStatusCode.CANCELLED,
)
"""Between two runs there is nobody to answer, and a question can get lost with a workflow task."""
NEARLY = timedelta(milliseconds=40)
"""The server may run past a target that is also the time of a timer."""
clock: ContextVar[datetime] = ContextVar("clock", default=datetime(2020, 1, 1, tzinfo=UTC))
"""What time it is for the record a task tells of."""
PAST = timedelta(seconds=2)
"""How far a journey's clock may have run past the time of an event, which then is not past yet."""
_told: dict[str, datetime] = {}
"""When what was told last of each journey happened."""


def acting_at() -> datetime:
    """What time it is for an activity: the journey's, but not before the event that it follows."""
    info = activity.info()
    at, event = info.current_attempt_scheduled_time, _told.get(info.workflow_id or "")
    return event if event and at <= event + PAST else at


class Case:
    """One record and its journey."""

    def __init__(self, environment: WorkflowEnvironment, door: Door, scenario: Json) -> None:
        self.environment, self.door, self.scenario = environment, door, scenario
        self.record_id = 0
        self._handle: WorkflowHandle[Any, Any] | None = None

    async def run(self) -> int:
        """Tell the whole scenario, then let time run on to its end; answers the record's id.

        Raises:
            ValueError: the scenario says something that cannot be told here.
        """
        refuse_untold(self.scenario)
        first, *events = self.scenario["events"]
        clock.set(_instant(first["at"]))
        with self.door.held():
            self.record_id = await self.door.create(self.scenario["record"])
            self._it_is(_instant(first["at"]))
        await self.rest()
        for event in events:
            await self.reach(_instant(event["at"]))
            self._it_is(_instant(event["at"]))
            await self.door.tell(self.record_id, event)
            await self.rest()
        await self.reach(_instant(self.scenario["until"]))
        return self.record_id

    def _it_is(self, at: datetime) -> None:
        clock.set(at)
        _told[self.handle.id] = at

    @property
    def handle(self) -> WorkflowHandle[Any, Any]:
        if self._handle is None:
            kind = self.scenario["record"].get("type", "deal")
            self._handle = self.environment.client.get_workflow_handle(workflow_id(kind, self.record_id))
        return self._handle

    async def reach(self, at: datetime) -> None:
        """Let the journey's time run on; whatever is due by `at` is done, one instant after the other."""
        while (due := (await self.rest()).progress.next_due) and due <= at:
            await self._forward(due)
            await asyncio.sleep(NEARLY.total_seconds())
        await self._forward(at - LAG)

    async def rest(self) -> Shown:
        """Wait until the journey has heard of everything and nothing is under way."""
        await self.door.rung()
        while True:
            shown = await self.state()
            if shown.at_rest:
                return shown
            await asyncio.sleep(0.01)

    async def state(self) -> Shown:
        """What the journey answers; between two runs it has to be asked again."""
        while True:
            try:
                return await self.handle.query("state", result_type=Shown, rpc_timeout=timedelta(seconds=5))
            except RPCError as error:
                if error.status not in ASK_AGAIN:
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
select at, (select count(*) from visit v where v.record_id = $1 and v.visit_no <= j.visit_no
  and v.cause <> 'deleted') as visit_no,
  rule, event, reason
from journal j where record_id = $1 and rule <> ''
  and event in ('done', 'skipped', 'failed', 'cancelled', 'stale', 'superseded', 'unknown', 'late')
  and n = case when event = 'late' then n else 0 end
order by id
"""


async def entries(connection: Any, record_id: int) -> list[list[Any]]:
    """The outcomes in the record's journal, in the form of the reference model, which counts its visits."""
    return [
        [row["at"].astimezone(UTC).isoformat(timespec="microseconds"), *list(row)[1:]]
        for row in await connection.fetch(JOURNAL, record_id)
    ]


class Post:
    """Takes every mail."""

    async def send(self, letter: Letter) -> Delivery:
        return Delivery(letter.recipients, {})

    async def close(self) -> None:
        """Nothing is open."""


@asynccontextmanager
async def product(
    environment: WorkflowEnvironment, database: Database, queue: str
) -> AsyncIterator[tuple[httpx2.AsyncClient, HeldBack]]:
    """The API and a worker in this process; the API's clock is what `clock` says."""
    # an act a little after its due time is on time: only the machine is slow, not the journey
    settings = Settings(task_queue=queue, punctual_seconds=30, api_key=SecretStr("key"))

    async def connected() -> Client:
        return environment.client

    worker = running(environment.client, database, settings, mail=Post(), sandboxed=True)
    with patch("activities.attempt_time.now", acting_at):
        async with worker:
            doorbell = HeldBack(database, connected, queue)
            app = create_app(
                settings, clock=clock.get, database=database, doorbell=doorbell, connect=connected
            )
            headers = {"Authorization": "Bearer key"}
            async with app.router.lifespan_context(app):
                transport = httpx2.ASGITransport(app=app)
                async with httpx2.AsyncClient(
                    transport=transport, base_url="http://jalon/api/v1", headers=headers
                ) as api:
                    yield api, doorbell


async def company(database: Database, zone: str) -> None:
    """One employee, who does everything; records get ids that nobody else has given a journey."""
    async with database.transaction() as tx:
        await builders.setting(tx, "zone", zone)
        await builders.employee(tx, "ann", department=None)
        first = {"first": uuid4().int % 2**40}
        await tx.execute(text("select setval(pg_get_serial_sequence('record', 'id'), :first)"), first)


async def pipelines(database: Database, scenario: Json, types: Mapping[str, str], prefix: str = "") -> None:
    """The pipelines of a scenario, with their calendar and fields."""
    fields = [
        {"name": name, "type": "text" if kind == "multiple" else kind, "multiple": kind == "multiple"}
        for name, kind in types.items()
        if name != "amount"
    ]
    calendar = f"{prefix}calendar" if scenario.get("calendar") else None
    async with database.transaction() as tx:
        if calendar:
            await builders.calendar_of(tx, calendar, {"zone": scenario["zone"]} | scenario["calendar"])
        for name, pipeline in scenario["pipelines"].items():
            stages = {stage["id"]: stage["meaning"] for stage in pipeline["stages"]}
            grace = Period.model_validate(pipeline.get("grace") or {"minutes": 0}).span.seconds
            more = {"fields": fields, "zone": scenario["zone"], "calendar_id": calendar, "grace": grace}
            await builders.pipeline(tx, prefix + name, stages, **more)


def rule_sets(scenario: Json, prefix: str = "") -> dict[str, Json]:
    """The rules of each pipeline, by stage."""
    return {
        prefix + name: {
            stage: [_named(rule, prefix) for rule in listed] for stage, listed in written["rules"].items()
        }
        for name, written in scenario["pipelines"].items()
    }


def _named(rule: Json, prefix: str) -> Json:
    """A rule that names another pipeline names the one of its scenario."""
    params = rule["params"]
    if rule["kind"] != "change_pipeline":
        return rule
    return rule | {"params": params | {"pipeline": prefix + params["pipeline"]}}
