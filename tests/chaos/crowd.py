"""People, clients and operators who ask everything at once, again until they are told, and note that.

Each asks for one thing under one key, at whichever API answers. The key is its name, too: who did what is
read in the journal.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import asyncpg
import httpx2

from tests.chaos.checker_world import Log
from tests.chaos.scene import API_KEY
from tests.chaos.stairs import PIPELINE, dates

STAGES = ("new", "offer", "won", "lost")
OPERATED = ("suspend", "resume", "skip", "run_now", "reschedule")
STEPS = ("patience", "kept", "picky", "forward", "watch", "choosy", "win", "offer-mail", "at-once")
CALLER = "caller-"
MOST = 10_000
"""So many of them work here."""
AGAIN = 0.2
ASKED_FOR = 20.0


async def hire(connection: asyncpg.Connection) -> None:
    """Give each a name under which it may ask."""
    await connection.execute(
        "insert into employee (id, name, email) select $1 || n, 'Caller', '' from generate_series(1, $2) n",
        CALLER, MOST,
    )  # fmt: skip


class Crowd:
    """`addresses`: of the APIs, whoever is there; each of them may be gone at any time."""

    def __init__(self, addresses: Sequence[str], client: int, dice: random.Random) -> None:
        self.addresses, self.client, self.dice = addresses, client, dice
        self.told: list[tuple[int, int, str]] = []
        self.edits: list[tuple[int, str, str]] = []
        self.operations: list[tuple[int, str, str]] = []
        self.activities: list[str] = []
        self.records: list[int] = []
        self.asked, self.unanswered = 0, 0
        headers = {"Authorization": f"Bearer {API_KEY}"}
        self._http = httpx2.AsyncClient(headers=headers, timeout=ASKED_FOR)

    @property
    def log(self) -> Log:
        """All that they know."""
        callers = [f"{CALLER}{number}" for number in range(1, self.asked + 1)]
        return Log(self.told, self.edits, self.operations, self.activities, callers)

    async def close(self) -> None:
        await self._http.aclose()

    async def act(self) -> None:
        """One thing, whatever it is."""
        if len(self.records) < 8 or self.dice.random() < 0.05:
            return await self.create()
        record = self.dice.choice(self.records)
        what = self.dice.choices(
            (self.look, self.move, self.edit, self.operate, self.calls, self.pays, self.delete, self.restore),
            (6, 3, 4, 5, 3, 1, 1, 2),
        )  # fmt: skip
        await what[0](record)

    # -- what they ask for ---------------------------------------------------------------------
    async def create(self) -> None:
        body = {
            "type": "deal", "pipeline": PIPELINE, "title": "Oak stairs", "responsible": "ada",
            "contact": self.client, "fields": dates(1, 3, 6),
        }  # fmt: skip
        if made := await self.ask("POST", "/records", body):
            self.records.append(made["id"])
            self.told.append((made["id"], made["visit_no"], made["stage"]))

    async def look(self, record: int) -> None:
        """A query; nobody has to be told."""
        address = self.dice.choice(self.addresses)
        try:
            await self._http.get(f"{address}/records/{record}")
        except httpx2.TransportError:
            self.unanswered += 1

    async def move(self, record: int, stage: str = "") -> None:
        stage = stage or self.dice.choice(STAGES)
        if moved := await self.ask("POST", f"/records/{record}/move", {"stage": stage}):
            self.told.append((record, moved["visit_no"], moved["stage"]))

    async def edit(self, record: int, **fields: Any) -> None:
        note = uuid4().hex
        if not fields and self.dice.random() < 0.5:
            fields = dates(*sorted(self.dice.uniform(0, 4) for _ in range(3)))
        fields.setdefault("hot", self.dice.random() < 0.3)
        if await self.ask("PATCH", f"/records/{record}", {"fields": {"note": note} | fields}):
            self.edits.append((record, "note", note))

    async def operate(self, record: int, verb: str = "") -> None:
        verb, why = verb or self.dice.choice(OPERATED), uuid4().hex
        body = {"verb": verb, "why": why, "who": "eve"}
        if verb not in ("suspend", "resume"):
            body["rule"] = self.dice.choice(STEPS)
        if verb == "reschedule":
            body["due"] = dates(self.dice.uniform(0, 3))["soon"]
        if await self.ask("POST", f"/records/{record}/operations", body):
            self.operations.append((record, verb, why))

    async def calls(self, record: int) -> None:
        await self._does(record, "call")

    async def pays(self, record: int) -> None:
        await self._does(record, "payment")

    async def _does(self, record: int, what: str) -> None:
        activity = uuid4().hex
        body = {"id": activity, "type": what, "record": record}
        if await self.ask("POST", "/client-activities", body):
            self.activities.append(activity)

    async def delete(self, record: int) -> None:
        await self.ask("DELETE", f"/records/{record}", None)

    async def restore(self, record: int) -> None:
        if back := await self.ask("POST", f"/records/{record}/restore", None):
            self.told.append((record, back["visit_no"], back["stage"]))

    # -- asking --------------------------------------------------------------------------------
    async def ask(self, method: str, path: str, body: Any) -> dict[str, Any] | None:
        """Ask until somebody says that it is done, or that it cannot be; the first answer counts."""
        self.asked += 1
        key = f"{CALLER}{self.asked}"
        own = {"Idempotency-Key": key, "X-Jalon-Actor": key}
        while True:
            address = self.dice.choice(self.addresses)
            try:
                answer = await self._http.request(method, address + path, json=body, headers=own)
            except httpx2.TransportError:
                self.unanswered += 1
                await asyncio.sleep(AGAIN)
                continue
            if answer.status_code >= 500:
                await asyncio.sleep(AGAIN)
                continue
            assert answer.is_success or answer.status_code in (404, 409, 410), answer.text
            if not answer.is_success:
                return None
            found: dict[str, Any] = answer.json() if answer.content else {"done": True}
            return found
