"""What a worker offers to journeys: the activities, one object a process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.exc import DataError, IntegrityError
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities import client, operators, visits
from activities.catalogue import HOLDS, effects, nature
from activities.effect import Sending
from activities.follow import due_below, plan
from activities.house import House
from activities.providers.documents import Documents
from activities.providers.mail import Mail
from activities.providers.sms import SmsProvider
from activities.providers.sms_console import ConsoleSms
from activities.runner import Run, Runner
from activities.sending import Sender
from activities.steps import act
from db.doorbell import Doorbell
from db.engine import Database, Transaction
from db.fail_points import fail_point
from db.journal import book, line
from db.locked import Locked
from db.records import By, move
from db.rows import Ids, Rows, write
from db.rulebook import Rulebook
from db.settings import Settings
from domain.errors import Refused
from domain.events import Outcome
from domain.journey import (
    GONE,
    Book,
    Driven,
    EnterStage,
    Moved,
    MoveRecord,
    Operate,
    PlannedStep,
    PlannedSteps,
    RecordActivity,
    Replan,
    RuleRun,
    ScheduleSteps,
)
from domain.progress import Progress

BEAT_EVERY = 3.0
SLOW_ACTS = 4
"""How many acts that are slow, and hold a connection meanwhile, one process does at once."""


def now() -> datetime:
    """The one clock: when this attempt was scheduled, which is virtual where time is."""
    return activity.info().current_attempt_scheduled_time


class Activities:
    """The activities of one worker process."""

    def __init__(
        self, database: Database, doorbell: Doorbell, mail: Mail, settings: Settings,
        documents: Documents | None = None, sms: Mapping[str, SmsProvider] | None = None,
    ) -> None:  # fmt: skip
        self.database, self.doorbell = database, doorbell
        self.book, self.ids = Rulebook(nature), Ids()
        self.house = House.of(settings)._replace(documents=documents)
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
            self._beating(kind, self.sender.send if issubclass(effect, Sending) else self._slowly)
            for kind, effect in effects().items()
            if effect.nature == "send"
        ]

    # -- driving -------------------------------------------------------------------------------
    @activity.defn
    async def enter_stage(self, asked: EnterStage) -> Driven:
        """A local activity: it is what a journey does most, and costs no hop of its own."""

        async def enter(runner: Runner) -> Driven:
            return await visits.enter(runner, _copy(asked.progress))

        fail_point("enter_stage.before")
        info = activity.info()
        waited = info.current_attempt_scheduled_time - info.scheduled_time
        driven = await self._on_record(asked.record_id, asked.progress, asked.at + waited, enter)
        fail_point("enter_stage.committed")
        return driven

    @activity.defn
    async def replan(self, asked: Replan) -> Driven:
        async def replan(runner: Runner) -> Driven:
            return await visits.replan(runner, _copy(asked.progress), asked)

        return await self._on_record(asked.record_id, asked.progress, now(), replan)

    @activity.defn
    async def operate(self, asked: Operate) -> Driven:
        async def operate(runner: Runner) -> Driven:
            return await operators.operate(runner, _copy(asked.progress), asked.verb, asked.operation)

        return await self._on_record(asked.record_id, asked.progress, now(), operate)

    async def _on_record(
        self, record_id: int, progress: Progress, at: datetime, work: Callable[[Runner], Awaitable[Driven]]
    ) -> Driven:
        """One transaction; if the database refuses a row, once more with every act by itself."""
        for careful in (False, True):
            try:
                async with self.database.transaction() as tx:
                    locked = await self._locked(tx, record_id, progress)
                    if locked is None:
                        await write(tx, [line(record_id, 0, "ignored", at, reason="no_record")])
                        return Driven(progress=Progress(), gone=True)
                    runner = Runner(locked, self.house, self.ids, at, careful=careful)
                    driven = await work(runner)
                self.doorbell.ring(*runner.bells)
                return driven
            except (IntegrityError, DataError) as error:
                if careful:
                    raise _without_values(error) from None
        raise AssertionError("unreachable")

    async def _locked(self, tx: Transaction, record_id: int, progress: Progress) -> Locked | None:
        known = min((v.visit_no for v in progress.visits), default=progress.visit_no or None)
        locked = await Locked.take(tx, self.book, record_id, known)
        if locked and not progress.visit_no and locked.record.visit_no > 1:
            await locked.reload(await visits.first_to_read(locked))
        return locked

    # -- single acts ---------------------------------------------------------------------------
    def _named(self, kind: str) -> Callable[..., Any]:
        @activity.defn(name=kind)
        async def run(asked: RuleRun) -> Outcome:
            fail_point("act.before")
            outcome = await self._act(asked, now())
            fail_point("act.committed")
            return outcome

        return run

    async def _act(self, asked: RuleRun, at: datetime) -> Outcome:
        run = Run(asked.visit_no, asked.rule, asked.n, asked.turn, asked.due, asked.released)
        for careful in (False, True):
            try:
                async with self.database.transaction() as tx:
                    locked = await Locked.take(tx, self.book, asked.record_id, asked.visit_no)
                    if locked is None or locked.visit(asked.visit_no) is None:
                        await write(
                            tx, [line(asked.record_id, asked.visit_no, "ignored", at, rule=asked.rule)]
                        )
                        return Outcome(result="stale", reason="outrun", at=at)
                    runner = Runner(locked, self.house, self.ids, at, careful=careful)
                    outcome = await act(runner, run)
                    outcome.next = await due_below(runner, run, outcome)
                    await runner.flush()
                    await book(tx, asked.record_id, asked.decisions)
                self.doorbell.ring(*runner.bells)
                return outcome
            except (IntegrityError, DataError) as error:
                if careful:
                    raise _without_values(error) from None
        raise AssertionError("unreachable")

    def _beating(
        self, kind: str, work: Callable[[RuleRun, datetime], Awaitable[Outcome]]
    ) -> Callable[..., Any]:
        @activity.defn(name=kind)
        async def run(asked: RuleRun) -> Outcome:
            beats = asyncio.create_task(_beat())
            try:
                return await work(asked, now())
            finally:
                beats.cancel()

        return run

    async def _slowly(self, asked: RuleRun, at: datetime) -> Outcome:
        """What is no message, but takes its time inside its transaction: a few at once."""
        async with self._slow:
            return await self._act(asked, at)

    # -- the rest ------------------------------------------------------------------------------
    @activity.defn
    async def schedule_steps(self, asked: ScheduleSteps) -> PlannedSteps:
        at = now()
        async with self.database.transaction() as tx:
            since = min(turn.visit_no for turn in asked.turns)
            locked = await Locked.take(tx, self.book, asked.record_id, since)
            if locked is None:
                return PlannedSteps()
            runner = Runner(locked, self.house, self.ids, at)
            found = []
            for turn in asked.turns:
                rule = (await locked.rules(turn.visit_no)).rule(turn.rule)
                due = await plan(runner, rule, turn.turn)
                found.append(PlannedStep(visit_no=turn.visit_no, rule=turn.rule, due=due, at=turn.turn))
            return PlannedSteps(steps=found)

    @activity.defn(name="book")
    async def write_down(self, asked: Book) -> None:
        async with self.database.transaction() as tx:
            await book(tx, asked.record_id, asked.decisions)

    @activity.defn
    async def record_client_activity(self, asked: RecordActivity) -> Moved:
        at, told = now(), asked.activity
        heard = client.Heard(told.id, told.type, told.at or at, record=asked.record_id, source=told.source)
        try:
            async with self.database.transaction() as tx:
                answer = await client.record_activity(tx, self.book, self.ids, self.house, heard, at)
        except Refused:  # the record is gone: a no-op with a line in the journal
            async with self.database.transaction() as tx:
                await write(tx, [line(asked.record_id, 0, "ignored", at, reason="no_record")])
            return Moved(refused=GONE)
        self.doorbell.ring(*answer.bells)
        return Moved()

    @activity.defn
    async def move_record(self, asked: MoveRecord) -> Moved:
        at, bell = now(), None
        async with self.database.transaction() as tx:
            locked = await Locked.take(tx, self.book, asked.record_id)
            if locked is None or locked.record.deleted_at:
                await write(
                    tx, [line(asked.record_id, 0, "ignored", at, reason="no_record", actor=asked.move.by)]
                )
                return Moved(refused=GONE)
            request = {
                "key": f"move/{asked.record_id}/{asked.move.id}",
                "body_hash": "",
                "status": 200,
                "at": at,
            }
            try:
                async with tx.begin_nested():
                    await write(tx, [Rows("request", [request])])
                    bell = await move(locked, asked.move.stage, By(asked.move.by, at))
            except IntegrityError:
                pass  # an earlier attempt of this activity moved it
            except Refused as refused:
                detail = {"why": refused.message, "stage": asked.move.stage}
                await write(
                    tx,
                    [
                        line(
                            asked.record_id,
                            locked.record.visit_no,
                            "not_moved",
                            at,
                            reason=refused.reason,
                            actor=asked.move.by,
                            detail=detail,
                        )
                    ],
                )
                return Moved(visit_no=locked.record.visit_no, refused=refused.reason)
            visit_no = locked.record.visit_no
        self.doorbell.ring(bell)
        return Moved(visit_no=visit_no)


def _copy(progress: Progress) -> Progress:
    """A second attempt begins with the machine as it was."""
    return Progress.model_validate_json(progress.model_dump_json())  # a third of what a deep copy takes


def _without_values(error: IntegrityError | DataError) -> ApplicationError:
    """What Temporal may know of a row the database refused: not what it says."""
    cause = error.orig.__cause__ if error.orig else None
    constraint = getattr(cause, "constraint_name", None) or type(cause).__name__
    return ApplicationError(f"the database refused a row: {constraint}", type="Refused by the database")


async def _beat() -> None:
    """Show that the worker lives, so that its death is noticed before the send's time is out."""
    while True:
        activity.heartbeat()
        await asyncio.sleep(BEAT_EVERY)
