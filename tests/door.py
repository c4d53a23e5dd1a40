"""How the outside world reaches the records of a scenario: an event told by the calls that people make."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any
from uuid import uuid4

import httpx2
from sqlalchemy import BigInteger, bindparam, text

from db.doorbell import Doorbell
from db.engine import Database
from db.outbox import Bell
from domain.changed_facts import SUSPENSION
from domain.journey import Face

Json = dict[str, Any]

KNOWS = frozenset({
    "client_bound", "clock_waits", "grace", "missed", "operators", "restore", "results", "settled_controls",
    "stage_edits", "stage_field", "suspension",
})  # fmt: skip
"""The features of `tests.model.scenarios` that can be told here; fields and stage are never one call."""
SAID = {
    "create": "", "move": "stage by through", "change_pipeline": "pipeline stage through",
    "client": "id kind bound", "edit": "fields", "delete": "through", "restore": "", "task": "rule",
    "todo": "subject done", "suspend": "scope", "resume": "scope", "operate": "verb rule due visit",
}  # fmt: skip
"""What can be told, and the words of each event: others are refused, so that nothing goes untold."""
NOTHING_COMES_OF_IT = (404, 409, 422)
"""A record in the bin, a stage or pipeline there is not, a step that is not pending."""


def refuse_untold(scenario: Json) -> None:
    """Raise ValueError if something of a scenario would be left out in silence."""
    for name, pipeline in scenario["pipelines"].items():
        if more := {key for key, said in pipeline.items() if said} - {"stages", "rules", "grace"}:
            raise ValueError(f"pipeline {name} cannot have {sorted(more)} here")
    if scenario.get("people"):
        raise ValueError("there is one employee here")
    for event in scenario["events"]:
        if event["type"] not in SAID:
            raise ValueError(f"cannot be told here: {event}")
        if more := event.keys() - {"at", "type", *SAID[event["type"]].split()}:
            raise ValueError(f"the {sorted(more)} of an event cannot be told here: {event}")


class HeldBack(Doorbell):
    """A doorbell that can be held back for a while: then journeys hear too late."""

    _held: ContextVar[list[Bell] | None] = ContextVar("held", default=None)

    def ring(self, *bells: Bell | None) -> None:
        held = self._held.get()
        if held is None:
            super().ring(*bells)
        else:
            held.extend(bell for bell in bells if bell)

    @contextmanager
    def held(self) -> Iterator[None]:
        """What this task rings inside the block is rung at its end."""
        token = self._held.set(bells := [])
        try:
            yield
        finally:
            self._held.reset(token)
            self.ring(*bells)


class Door:
    """The API, and SQL for what people cannot do there. `prefix` goes before the ids of pipelines."""

    def __init__(
        self, api: httpx2.AsyncClient, doorbell: HeldBack, database: Database, prefix: str = ""
    ) -> None:
        self._api, self._doorbell, self._database, self._prefix = api, doorbell, database, prefix
        self._todos: dict[tuple[int, str], list[int]] = {}
        self._contacts: dict[int, int] = {}

    def held(self) -> AbstractContextManager[None]:
        """What is told inside the block, journeys hear of at its end."""
        return self._doorbell.held()

    async def create(self, record: Json) -> int:
        """Create the deal of a scenario, with a client of its own; answers its id."""
        fields = dict(record["fields"])
        contact = (await self._post("/contacts", {"last_name": "Vogt"}))["id"]
        body = {"type": "deal", "title": "A deal", "responsible": "ann", "stage": record["stage"]}
        body |= {"pipeline": self._prefix + record["pipeline"], "amount": fields.pop("amount", None)}
        made: int = (await self._post("/records", body | {"fields": fields, "contact": contact}))["id"]
        self._contacts[made] = contact
        return made

    async def tell(self, record_id: int, event: Json) -> None:
        """Tell an event; what the API refuses, because nothing can come of it, is no event."""
        if event.get("through"):
            with self.held():
                for stage in event["through"]:
                    await self._post(f"/records/{record_id}/move", {"stage": stage, "by": "ann"})
                await self._tell(record_id, event)
        else:
            await self._tell(record_id, event)

    async def _tell(self, record_id: int, event: Json) -> None:
        record = f"/records/{record_id}"
        match event["type"]:
            case "move":
                await self._post(f"{record}/move", {"stage": event["stage"], "by": event.get("by", "ann")})
            case "change_pipeline":
                body = {"pipeline": self._prefix + event["pipeline"], "stage": event.get("stage")}
                await self._post(f"{record}/pipeline", body)
            case "client":
                body = {"id": f"{record_id}-{event['id']}", "type": event["kind"]}
                bound = {"contact": self._contacts[record_id]} if "bound" in event else {"record": record_id}
                await self._post("/client-activities", body | bound)
            case "edit":
                fields = dict(event["fields"])
                body = {"amount": fields.pop("amount")} if "amount" in fields else {}
                await self._send("PATCH", record, body | {"fields": fields})
            case "delete":
                await self._send("DELETE", record, None)
            case "restore":
                await self._post(f"{record}/restore", {})
            case "task":
                await self._complete_tasks(record_id, event["rule"])
            case "todo" if "subject" in event:
                await self._todo(record_id, event["subject"], event["done"])
            case "suspend" | "resume" as verb if event["scope"] == "record":
                await self._operate(record_id, {"verb": verb})
            case "suspend" | "resume" as verb:
                await self._cover(record_id, verb, event)
            case "operate":
                await self._operate_on_step(record_id, event)

    async def rung(self) -> None:
        """Wait until every bell has been rung."""
        await self._doorbell.settle()

    async def _todo(self, record_id: int, subject: str, done: bool) -> None:
        """People's to-dos come and go; one that was never given cannot be completed."""
        given = self._todos.setdefault((record_id, subject), [])
        if not done:
            given.append((await self._post(f"/records/{record_id}/todos", {"subject": subject}))["id"])
        elif given:
            await self._post(f"/todos/{given.pop()}/complete", {})

    async def _complete_tasks(self, record_id: int, rule: str) -> None:
        """Complete what a rule has made, one task after the other, the oldest first."""
        page = await self._send("GET", f"/records/{record_id}/tasks?limit=500", None)
        for task in page.get("items", []):
            if task["rule"] == rule and not task["ended_how"]:
                await self._post(f"/tasks/{task['id']}/complete", {})
                await self.rung()

    async def _operate_on_step(self, record_id: int, event: Json) -> None:
        """Visits are counted in scenarios, numbered in the product: a deletion takes a number, too."""
        asked = {word: event[word] for word in ("verb", "rule", "due") if word in event}
        if "visit" in event:
            page = await self._send("GET", f"/records/{record_id}/visits?limit=500", None)
            listed = [visit for visit in page.get("items", []) if visit["cause"] != "deleted"]
            numbers = sorted(visit["visit_no"] for visit in listed)
            if event["visit"] > len(numbers):
                return
            asked["visit_no"] = numbers[event["visit"] - 1]
        await self._operate(record_id, asked)

    async def _operate(self, record_id: int, asked: Json) -> None:
        await self._post(f"/records/{record_id}/operations", asked | {"who": "ann"})

    async def _cover(self, record_id: int, verb: str, event: Json) -> None:
        """A cover on a rule or a pipeline is a row; the record's journey hears when it is taken away."""
        scope, name = event["scope"].split(":")
        at = datetime.fromisoformat(event["at"])
        key = self._prefix + (f"{name.split('-')[0]}/{name}" if scope == "rule" else name)
        laid = {"scope": scope, "key": key}
        async with self._database.transaction() as tx:
            if verb == "suspend":
                await tx.execute(_LAY, laid | {"at": at})
                return
            taken = (await tx.execute(_TAKE_AWAY, laid)).rowcount
            found = (await tx.execute(_JOURNEY, {"id": record_id})).one()
        if taken and found.deleted_at is None:
            facts = {"at": at.isoformat(), "fields": [SUSPENSION]}
            self._doorbell.ring(
                Bell(uuid4(), record_id, "facts_changed", facts, found.visit_no, Face(record_type="deal"))
            )

    async def _post(self, path: str, body: Json) -> Json:
        return await self._send("POST", path, body)

    async def _send(self, method: str, path: str, body: Json | None) -> Json:
        answer = await self._api.request(method, path, json=body)
        if answer.status_code in NOTHING_COMES_OF_IT:
            return {}
        answer.raise_for_status()
        told: Json = answer.json() if answer.content else {}
        return told


_LAY = text("""
insert into suspension (scope, key, since, by_whom, why) values (:scope, :key, :at, 'ann', '')
on conflict (scope, key) do nothing
""")
_TAKE_AWAY = text("delete from suspension where scope = :scope and key = :key")
_JOURNEY = text("select visit_no, deleted_at from record where id = :id").bindparams(
    bindparam("id", type_=BigInteger)
)
