"""Whatever two attempts came to, a message and its step say the same, and nothing better than is known."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import product
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from activities.act import MailIdentity
from activities.house import House
from activities.providers.mail import Delivery, Letter
from activities.providers.smtp import SmtpMail
from activities.sending import Sender
from db.records import By, move
from domain.events import Outcome
from domain.journey import RuleRun
from tests import builders
from tests.builders import NOON
from tests.kinds.conftest import Desk
from tests.smtp_sink import DROP, SmtpSink

ADA, BEN = "ada@company.example", "ben@company.example"
CLARA, CARL = "clara@client.example", "carl@client.example"
HOUSE = House(mail=MailIdentity("company.example", "crm@company.example"))


@dataclass(frozen=True)
class Way:
    """How an attempt goes: what the server answers, where the worker dies."""

    first: str = ""  # to the first recipient
    both: str = ""  # to both of them
    data: str = ""
    dies: str = ""
    away: bool = False


WAYS = {
    "taken": Way(),
    "one 4xx": Way(first="450 4.2.0 later"),
    "one 5xx": Way(first="550 5.1.1 no such user"),
    "4xx": Way(both="450 4.2.0 later"),
    "5xx": Way(both="550 5.1.1 no such user"),
    "4xx at the end": Way(data="451 4.3.0 later"),
    "5xx at the end": Way(data="554 5.6.0 no"),
    "nobody there": Way(away=True),
    "no answer": Way(data=DROP),
    "one 5xx, no answer": Way(first="550 5.1.1 no such user", data=DROP),
    "dies before": Way(dies="before"),
    "dies after": Way(dies="after"),
}
UNANSWERED = {"no answer", "one 5xx, no answer", "dies before", "dies after"}
"""After these nobody on our side knows whether the message was taken."""


class Dying(SmtpMail):
    """The worker dies before it hands over, or when it has."""

    def __init__(self, port: int, when: str) -> None:
        super().__init__("127.0.0.1", port, timeout=5)
        self._when, self.there = when, asyncio.Event()

    async def send(self, letter: Letter) -> Delivery:
        if self._when == "after":
            await super().send(letter)
        self.there.set()
        await asyncio.Event().wait()
        raise AssertionError("it is dead")


@dataclass
class Story:
    """One send from its first attempt to its end, repeated as Temporal and the journey would."""

    desk: Desk
    smtp: SmtpSink
    record: int
    people: tuple[str, str]
    now: datetime = NOON
    had: list[str] = field(default_factory=list)

    async def told(self, ways: list[str], left: bool) -> str:
        """What the step ended as. `left`: the stage is left after the first attempt."""
        result = await self._attempt(ways[0])
        if left:
            async with self.desk.locked(self.record) as locked:
                await move(locked, "offer", By("eve", self.now))
        for way in [*ways[1:], *["taken"] * 5]:
            if result == "pending" and left:
                return "cancelled"  # by the journey: it has not acted
            if result not in ("pending", "again"):
                return result
            self.now += timedelta(minutes=1)
            result = await self._attempt(way)
        return result

    async def _attempt(self, name: str) -> str:
        way = WAYS[name]
        self.had.append(name)
        self.smtp.to_data.clear()
        for who, reply in zip(self.people, (way.first or way.both, way.both), strict=True):
            self.smtp.to_recipient[who].clear()
            self.smtp.to_recipient[who].extend([reply] if reply else [])
        self.smtp.to_data.extend([way.data] if way.data else [])
        asked = RuleRun(record_id=self.record, visit_no=1, rule="offer", turn=NOON, due=NOON)
        mail = SmtpMail("127.0.0.1", 1 if way.away else self.smtp.port, timeout=5)
        dying = Dying(self.smtp.port, way.dies)
        sender = Sender(self.desk.database, self.desk.book, self.desk.ids, HOUSE, dying if way.dies else mail)
        attempt = asyncio.create_task(sender.send(asked, self.now))
        if way.dies:
            dead = asyncio.create_task(dying.there.wait())
            await asyncio.wait([dead, attempt], return_when=asyncio.FIRST_COMPLETED)
            dead.cancel()
            attempt.cancel()
        try:
            outcome = await attempt
        except (ApplicationError, asyncio.CancelledError):
            return "again"
        finally:
            await mail.close()
        assert isinstance(outcome, Outcome)
        return outcome.result

    async def ended(self) -> tuple[dict[str, Any] | None, Counter[str]]:
        """The message, and how often each recipient was sent it."""
        rows = await self.desk.rows("message", f"record_id = {self.record}")
        got = Counter(
            who
            for mail in self.smtp.messages
            if mail.message_id == f"<{self.record}.1.offer.0@company.example>"
            for who in mail.recipients
        )
        return (rows[0] if rows else None), got


async def story(desk: Desk, smtp: SmtpSink, to: str) -> Story:
    async with desk.database.transaction() as tx:
        contact = await builders.contact(tx, emails=[CLARA])
        record = await builders.deal(tx, contact=contact, responsible="ada")
    return Story(desk, smtp, record, (ADA, BEN) if to == "employees" else (CLARA, CARL))


def differences(result: str, row: dict[str, Any], got: Counter[str], had: list[str]) -> list[str]:
    """What message, step and mail server say that does not agree."""
    state, accepted = row["state"], set(row["accepted"])
    missing = set(row["recipients"]) - accepted
    wrong = []
    allowed = {
        "done": "sent", "unknown": "unknown", "failed": "failed", "stale": "failed", "cancelled": "failed",
        "skipped": "failed",
    }  # fmt: skip
    if state != allowed.get(result):
        wrong.append(f"the step is {result}, the message {state}")
    if result == "done" and missing:
        wrong.append(f"done without {missing}")
    if result != "unknown" and (silent := missing & set(got)):
        wrong.append(f"{result}, and {silent} have it")
    if accepted - set(got):
        wrong.append("more were accepted than got it")
    if result == "unknown" and not UNANSWERED & set(had):
        wrong.append("unknown, and every attempt was answered")
    if any(often > 1 for often in got.values()) and not UNANSWERED & set(had):
        wrong.append("sent twice though every attempt was answered")
    return wrong


@pytest.mark.parametrize("left", [False, True], ids=["stays", "left"])
@pytest.mark.parametrize("to", ["employees", "clients"])
async def test_after_every_pair_of_attempts_the_message_and_its_step_say_the_same(
    desk: Desk, smtp: SmtpSink, to: str, left: bool
) -> None:
    people = ["responsible", "employee:ben"] if to == "employees" else [CLARA, CARL]
    params = {"to": people, "subject": "Your offer", "text": "Here it is."}
    async with desk.database.transaction() as tx:
        await builders.rule_set(tx, {"new": [{"id": "offer", "kind": "send_email", "params": params}]})
    wrong, ends = {}, Counter[str]()
    for ways in product(WAYS, repeat=2):
        told = await story(desk, smtp, to)
        result = await told.told(list(ways), left)
        row, got = await told.ended()
        assert row is not None
        ends[result] += 1
        if differs := differences(result, row, got, told.had):
            wrong[ways] = differs
    assert wrong == {}
    assert {"done", "failed", "unknown"} <= set(ends)  # what may happen did
