"""A rule that cannot be carried out fails by itself: bounded, told of, with everything else going on."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities import bounds
from activities.providers.console import ConsoleMail
from activities.work import Activities
from db.doorbell import Doorbell
from db.settings import Settings
from domain.journey import Driven, EnterStage, RuleRun
from domain.progress import Progress
from tests import builders
from tests.builders import NOON
from tests.kinds.conftest import Desk
from tests.kinds.more_kinds import POISONOUS, kinds_of
from tests.kinds.test_every_kind import name
from tests.stories.conftest import away

FOR_GOOD = [
    "AssertionError", "AttributeError", "IndexError", "KeyError", "NotImplementedError", "RecursionError",
    "TypeError", "UnicodeError", "ValueError", "ZeroDivisionError",
]  # fmt: skip
"""What comes again however often it is tried."""
THREE_TIMES = [
    "BlockingIOError", "CancelledError", "ConnectionError", "Exception", "ExceptionGroup", "MemoryError",
    "OSError", "RuntimeError", "StopAsyncIteration", "SystemExit", "TimeoutError", "wrong query",
]  # fmt: skip
"""What may have passed the next time."""
TOO_LONG = ["hangs", "blocks", "spins", "slow query"]
KINDS = ["poison", "venom"]


@pytest.fixture
def poison() -> Iterator[dict[str, int]]:
    """The poisonous kinds are among the others; yields how often each way was tried."""
    with kinds_of(POISONOUS):
        yield sys.modules["activities.rules.poison"].TRIED


class Victim:
    """A deal whose stage has a poisonous rule, and others above and below it."""

    def __init__(self, desk: Desk, record: int) -> None:
        self.desk, self.record = desk, record
        doorbell = Doorbell(desk.database, away, "jalon")
        self.acts = Activities(desk.database, doorbell, ConsoleMail(), Settings())
        self.environment = ActivityEnvironment()
        self.number, self.pauses = 0, list[timedelta | None]()

    async def enters(self, most: int = 10) -> Driven:
        """Enter the stage, as often as Temporal would."""
        driven = await self.repeated(self.acts.enter_stage, self._entry, most)
        assert isinstance(driven, Driven)
        return driven

    @property
    def _entry(self) -> EnterStage:
        return EnterStage(record_id=self.record, progress=Progress(), at=NOON)

    async def tries_to_enter(self) -> None:
        """One attempt."""
        await self._once(self.acts.enter_stage, self._entry)

    async def repeated(self, activity: Any, asked: Any, most: int = 10) -> Any:
        while True:
            try:
                return await self._once(activity, asked)
            except ApplicationError as again:
                assert self.number < most, again
                self.pauses.append(again.next_retry_delay)

    async def _once(self, activity: Any, asked: Any) -> Any:
        self.number += 1
        at = {"scheduled_time": NOON, "current_attempt_scheduled_time": NOON}
        self.environment.info = dataclasses.replace(self.environment.info, attempt=self.number, **at)
        return await self.environment.run(activity, asked)

    async def outcomes(self) -> dict[str, tuple[str, str]]:
        return {row["rule"]: (row["outcome"], row["reason"]) for row in await self.desk.rows("ledger")}

    async def told(self) -> list[str]:
        return [row["body"] for row in await self.desk.rows("notification", "employee_id = 'eve'", "id")]


async def victim(desk: Desk, kind: str, **params: Any) -> Victim:
    rules = [
        {"id": "above", "kind": "add_comment", "params": {"text": "Above"}},
        {"id": "bad", "kind": kind, "params": params},
        {"id": "chained", "kind": "add_comment", "params": {"text": "Chained"}, "after_previous": True},
        {"id": "below", "kind": "create_todo", "params": {"subject": "Below"}},
    ]
    async with desk.database.transaction() as tx:
        await builders.rule_set(tx, {"new": rules})
        record = await builders.deal(tx, responsible="ada")
    return Victim(desk, record)


async def everything_else_went_on(found: Victim, *, failed: tuple[str, str]) -> None:
    """The poisonous rule failed, the owner was told once, all others acted once."""
    done = ("done", "")
    assert await found.outcomes() == {"above": done, "bad": failed, "chained": done, "below": done}
    assert sorted(row["body"] for row in await found.desk.rows("comment")) == ["Above", "Chained"]
    assert len(await found.desk.rows("todo")) == 1
    (told,) = await found.told()
    assert "'bad'" in told
    assert await found.desk.rows("strike") == []
    assert await found.desk.rows("employee", "phone = 'poisoned'") == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", FOR_GOOD)
async def test_what_comes_again_however_often_it_is_tried_fails_at_once(
    desk: Desk, poison: dict[str, int], kind: str, how: str
) -> None:
    found = await victim(desk, kind, how=how)
    with capture_logs() as log:
        await found.enters(most=1)
    await everything_else_went_on(found, failed=("failed", "error"))
    assert poison[how] <= 2
    (said,) = log
    assert (said["record"], said["visit"], said["rule"], said["n"]) == (found.record, 1, "bad", 0)
    assert "_go_wrong" in said["stack"]
    assert "by the rule" not in str(said)  # what an error says may quote the record


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", THREE_TIMES)
async def test_what_may_have_passed_is_tried_three_times_and_fails_then(
    desk: Desk, poison: dict[str, int], kind: str, how: str
) -> None:
    found = await victim(desk, kind, how=how)
    with capture_logs() as log:
        await found.enters(most=3)
    await everything_else_went_on(found, failed=("failed", "error"))
    assert found.number == 3
    assert [said["rule"] for said in log] == ["bad"] * 3


@pytest.mark.parametrize("kind", KINDS)
async def test_what_passes_is_done_and_nothing_stands_against_it(
    desk: Desk, poison: dict[str, int], kind: str
) -> None:
    found = await victim(desk, kind, how="OSError", times=2)
    await found.enters()
    assert (await found.outcomes())["bad"] == ("done", "")
    assert await found.told() == []
    assert await found.desk.rows("strike") == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", TOO_LONG)
async def test_what_takes_too_long_is_stopped_and_fails_the_third_time(
    desk: Desk, poison: dict[str, int], monkeypatch: pytest.MonkeyPatch, kind: str, how: str
) -> None:
    assert bounds.BLOCKS < 10 / 2  # the activity's own time, and the worker's heartbeats
    monkeypatch.setattr(bounds, "BLOCKS", 0.5)
    found = await victim(desk, kind, how=how)
    with bounds.watching():
        await found.enters(most=3)
    await everything_else_went_on(found, failed=("failed", "error"))
    assert found.pauses == [timedelta(seconds=5), timedelta(seconds=30)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["answers nothing", "no JSON", "no such table"])
async def test_what_a_kind_answers_wrongly_fails_its_own_step_alone(
    desk: Desk, poison: dict[str, int], kind: str, how: str
) -> None:
    found = await victim(desk, kind, how=how)
    await found.enters(most=3)
    await everything_else_went_on(found, failed=("failed", "error"))


@pytest.mark.parametrize("how", ["ValueError", "RuntimeError", "hangs", "wrong query"])
async def test_the_same_holds_for_an_act_of_its_own(desk: Desk, poison: dict[str, int], how: str) -> None:
    found = await victim(desk, "venom", how=how)
    bad = next(run for run in found.acts.database_queue() if name(run) == "venom")
    asked = RuleRun(record_id=found.record, visit_no=1, rule="bad", turn=NOON, due=NOON)
    outcome = await found.repeated(bad, asked, most=3)
    assert (outcome.result, outcome.reason) == ("failed", "error")
    assert await found.desk.rows("strike") == []
