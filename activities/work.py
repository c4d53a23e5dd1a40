"""What a worker offers to journeys: the activities, one object a process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from temporalio import activity

from activities import attempt_time, heard, operators, visits
from activities.attempts import Attempts
from activities.beating import beating
from activities.catalogue import HOLDS, effects
from activities.effect import Sending
from activities.house import House
from activities.providers.documents import Documents
from activities.providers.mail import Mail
from activities.providers.sms import SmsProvider
from activities.providers.sms_console import ConsoleSms
from activities.runner import Runner
from activities.sending import Sender
from activities.trial import Trial
from db.doorbell import Doorbell
from db.engine import Database
from db.fail_points import fail_point
from db.journal import book
from db.settings import Settings
from domain.events import Outcome
from domain.journey import (
    Book,
    Driven,
    EnterStage,
    Moved,
    MoveRecord,
    Operate,
    PlannedSteps,
    RecordActivity,
    Replan,
    RuleRun,
    ScheduleSteps,
)
from domain.progress import Progress

SLOW_ACTS = 4
"""How many acts that are slow, and hold a connection meanwhile, one process does at once."""


class Activities(Attempts):
    """The activities of one worker process."""

    def __init__(
        self, database: Database, doorbell: Doorbell, mail: Mail, settings: Settings,
        documents: Documents | None = None, sms: Mapping[str, SmsProvider] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(database, doorbell, House.of(settings)._replace(documents=documents))
        self._slow = asyncio.Semaphore(SLOW_ACTS)
        texts = sms or {"console": ConsoleSms()}
        self.sender = Sender(database, self.book, self.ids, self.house, mail, texts)

    def database_queue(self) -> list[Callable[..., Any]]:
        """What touches nothing but the database."""
        kinds = [k for k, effect in effects().items() if effect.nature != "send"]
        named = [self._named(kind) for kind in (*kinds, *HOLDS, "trigger")]
        return [
            self.enter_stage, self.replan, self.operate, self.schedule_steps, self.write_down,
            self.record_client_activity, self.move_record, *named,
        ]  # fmt: skip

    def io_queue(self) -> list[Callable[..., Any]]:
        """What talks to other systems and may be slow."""
        return [
            beating(kind, self.sender.send if issubclass(effect, Sending) else self._slowly)
            for kind, effect in effects().items()
            if effect.nature == "send"
        ]

    # -- driving -------------------------------------------------------------------------------
    @activity.defn
    async def enter_stage(self, asked: EnterStage) -> Driven:
        async def enter(runner: Runner) -> Driven:
            return await visits.enter(runner, _copy(asked.progress))

        fail_point("enter_stage.before")
        driven = await self._on_record(asked.record_id, asked.progress, attempt_time.now(), enter)
        fail_point("enter_stage.committed")
        return driven

    @activity.defn
    async def replan(self, asked: Replan) -> Driven:
        async def replan(runner: Runner) -> Driven:
            return await visits.replan(runner, _copy(asked.progress), asked)

        return await self._on_record(asked.record_id, asked.progress, self._not_before(asked.at), replan)

    @activity.defn
    async def operate(self, asked: Operate) -> Driven:
        async def operate(runner: Runner) -> Driven:
            return await operators.operate(runner, _copy(asked.progress), asked.operation)

        at = self._not_before(asked.operation.at)
        return await self._on_record(asked.record_id, asked.progress, at, operate)

    def _not_before(self, at: datetime | None) -> datetime:
        """The clock; or when that happened which is followed, if by another clock it is just to come."""
        clock = attempt_time.now()
        return at if at and clock < at <= clock + self.house.punctual else clock

    # -- single acts ---------------------------------------------------------------------------
    def _named(self, kind: str) -> Callable[..., Any]:
        @activity.defn(name=kind)
        async def run(asked: RuleRun) -> Outcome:
            fail_point("act.before")
            outcome = await self._act(asked, attempt_time.now())
            fail_point("act.committed")
            return outcome

        return run

    async def _slowly(self, asked: RuleRun, at: datetime) -> Outcome:
        """What is no message, but takes its time inside its transaction: a few at once."""
        async with self._slow:
            return await self._act(asked, at, seconds=None)

    # -- the rest ------------------------------------------------------------------------------
    @activity.defn
    async def schedule_steps(self, asked: ScheduleSteps) -> PlannedSteps:
        return await self._planned(asked, attempt_time.now())

    @activity.defn(name="book")
    async def write_down(self, asked: Book) -> None:
        async def attempt(_: Trial) -> None:
            async with self.database.transaction() as tx:
                await book(tx, asked.record_id, asked.decisions)

        await self.strikes.attempt(asked.record_id, attempt_time.now(), attempt)

    @activity.defn
    async def record_client_activity(self, asked: RecordActivity) -> Moved:
        at = attempt_time.now()
        return await self.strikes.attempt(
            asked.record_id, at, lambda _: heard.client_activity(self, asked, at)
        )

    @activity.defn
    async def move_record(self, asked: MoveRecord) -> Moved:
        at = attempt_time.now()
        return await self.strikes.attempt(asked.record_id, at, lambda _: heard.move_record(self, asked, at))


def _copy(progress: Progress) -> Progress:
    """A second attempt begins with the machine as it was."""
    return Progress.model_validate_json(progress.model_dump_json())  # a third of what a deep copy takes
