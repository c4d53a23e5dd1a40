"""A message that cannot be composed or handed over fails by itself; what may have arrived is unknown."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import delete, insert
from structlog.testing import capture_logs
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.providers.mail import Delivery, Letter
from activities.sending import Sender
from db.tables import Strike
from domain.events import Outcome
from domain.journey import RuleRun
from tests import builders
from tests.builders import NOON
from tests.kinds.conftest import Desk
from tests.kinds.more_kinds import POISONOUS, kinds_of
from tests.kinds.test_sending import HOUSE


@pytest.fixture(autouse=True)
def kinds() -> Iterator[None]:
    with kinds_of(POISONOUS):
        yield


class Broken:
    """A transport that raises what none should; whether the letter is out, nobody knows."""

    def __init__(self) -> None:
        self.handed: list[Letter] = []

    async def send(self, letter: Letter) -> Delivery:
        self.handed.append(letter)
        raise KeyError("what the letter says")

    async def close(self) -> None: ...


class Post:
    """A deal with one rule that sends, tried as often as Temporal would."""

    def __init__(self, desk: Desk, record: int) -> None:
        self.desk, self.mail = desk, Broken()
        self.sender = Sender(desk.database, desk.book, desk.ids, HOUSE, self.mail)
        self.asked = RuleRun(record_id=record, visit_no=1, rule="bad", turn=NOON, due=NOON)

    async def repeated(self, most: int, first: int = 1) -> Outcome:
        environment = ActivityEnvironment()
        for number in range(first, first + most):
            environment.info = dataclasses.replace(environment.info, attempt=number)
            try:
                outcome = await environment.run(self.sender.send, self.asked, NOON)
            except ApplicationError as again:
                last = again
            else:
                assert number == first + most - 1  # no sooner
                assert isinstance(outcome, Outcome)
                return outcome
        raise last


async def posting(desk: Desk, kind: str, **params: Any) -> Post:
    async with desk.database.transaction() as tx:
        await builders.rule_set(tx, {"new": [{"id": "bad", "kind": kind, "params": params}]})
        contact = await builders.contact(tx, emails=["clara@client.example"])
        return Post(desk, await builders.deal(tx, contact=contact, responsible="ada"))


@pytest.mark.parametrize(("how", "tries"), [
    ("ValueError", 1), ("AssertionError", 1), ("RuntimeError", 3), ("OSError", 3), ("MemoryError", 3),
    ("hangs", 3), ("wrong query", 3),
])  # fmt: skip
async def test_what_cannot_be_composed_fails_and_the_owner_is_told(desk: Desk, how: str, tries: int) -> None:
    post = await posting(desk, "cursed_mail", how=how)
    with capture_logs() as log:
        outcome = await post.repeated(tries)
    assert (outcome.result, outcome.reason) == ("failed", "error")
    assert [said["rule"] for said in log] == ["bad"] * tries
    assert len(await desk.rows("notification", "employee_id = 'eve'")) == 1
    assert await desk.rows("message") == await desk.rows("strike") == []


async def test_a_transport_that_breaks_leaves_a_clients_message_unknown_and_is_not_asked_twice(
    desk: Desk,
) -> None:
    post = await posting(desk, "send_email", to=["{{ contact.email }}"], subject="Offer", text="Here it is.")
    with capture_logs() as log:
        assert (await post.repeated(1)).result == "unknown"
    assert len(post.mail.handed) == 1
    assert (await desk.row("message"))["state"] == "unknown"
    assert "what the letter says" not in str(log)


@pytest.mark.parametrize("handed", [True, False])
async def test_a_send_in_which_workers_died_is_given_up_as_what_is_known_of_it(
    desk: Desk, handed: bool
) -> None:
    """To employees it would be tried again for as long as `retry_for` says, a worker each time."""
    post = await posting(desk, "send_email", to=["responsible"], subject="Offer", text="Here it is.")
    if handed:
        with pytest.raises(ApplicationError):
            await post.repeated(1)
    row = {"record_id": post.asked.record_id, "visit_no": 1, "rule": "bad", "deaths": 2, "at": NOON}
    async with desk.database.transaction() as tx:
        await tx.execute(delete(Strike))
        await tx.execute(insert(Strike).values(row))
    outcome = await post.repeated(1, first=4)
    assert (outcome.result, outcome.reason) == (("unknown", "") if handed else ("failed", "quarantined"))
    assert [message["state"] for message in await desk.rows("message")] == (["unknown"] if handed else [])
    assert len(await desk.rows("notification", "employee_id = 'eve'")) == 1
    assert await desk.rows("strike") == []
