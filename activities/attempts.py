"""One attempt of an activity on a record: a transaction under its lock, as often as need be."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

from activities.catalogue import nature
from activities.follow import bring_on, plan
from activities.house import House
from activities.rebuilding import first_to_read
from activities.runner import Run, Runner
from activities.steps import act
from activities.strikes import Strikes
from activities.trial import Trial
from db.doorbell import Doorbell
from db.engine import Database, Transaction
from db.journal import book, line
from db.locked import Locked
from db.rows import Ids, write
from db.rulebook import Rulebook
from domain.events import Outcome
from domain.journey import Driven, PlannedStep, PlannedSteps, RuleRun, ScheduleSteps
from domain.progress import Progress

QUICK: Final = 8.5
"""Seconds after which the acts of an activity on the database have to be through; it has 10."""


class Attempts:
    """What the activities of one process have in common: the database, the rules, the bells."""

    def __init__(self, database: Database, doorbell: Doorbell, house: House) -> None:
        self.database, self.doorbell, self.house = database, doorbell, house
        self.book, self.ids, self.strikes = Rulebook(nature), Ids(), Strikes(database)

    async def _on_record(
        self, record_id: int, progress: Progress, at: datetime, work: Callable[[Runner], Awaitable[Driven]]
    ) -> Driven:
        """Drive the machine of a record."""

        async def attempt(trial: Trial) -> Driven:
            async with self.database.transaction() as tx:
                locked = await self._locked(tx, record_id, progress)
                if locked is None:
                    await write(tx, [line(record_id, 0, "ignored", at, reason="no_record")])
                    return Driven(progress=Progress(), gone=True)
                runner = Runner(locked, self.house, self.ids, at, trial=trial)
                driven = await work(runner)
            self.doorbell.ring(*runner.bells)
            return driven

        return await self.strikes.attempt(record_id, at, attempt, seconds=QUICK)

    async def _locked(self, tx: Transaction, record_id: int, progress: Progress) -> Locked | None:
        under_way = [v.visit_no for v in progress.visits] + [c.visit_no for c in progress.closing]
        known = min(under_way, default=progress.visit_no or None)
        locked = await Locked.take(tx, self.book, record_id, known)
        if locked and not progress.visit_no and locked.record.visit_no > 1:
            await locked.reload(await first_to_read(locked))
        return locked

    async def _act(self, asked: RuleRun, at: datetime, *, seconds: float | None = QUICK) -> Outcome:
        """Do one act of a record."""
        run = Run(asked.visit_no, asked.rule, asked.n, asked.turn, asked.due, asked.released)

        async def attempt(trial: Trial) -> Outcome:
            async with self.database.transaction() as tx:
                locked = await Locked.take(tx, self.book, asked.record_id, asked.visit_no)
                if locked is None or locked.visit(asked.visit_no) is None:
                    await write(tx, [line(asked.record_id, asked.visit_no, "ignored", at, rule=asked.rule)])
                    return Outcome(result="stale", reason="outrun", at=at)
                runner = Runner(locked, self.house, self.ids, at, trial=trial)
                outcome = await act(runner, run)
                await bring_on(runner, run, outcome)
                await runner.flush()
                await book(tx, asked.record_id, asked.decisions)
            self.doorbell.ring(*runner.bells)
            return outcome

        return await self.strikes.attempt(asked.record_id, at, attempt, seconds=seconds)

    async def _planned(self, asked: ScheduleSteps, at: datetime) -> PlannedSteps:
        """Compute due times that follow from facts."""
        since = min(turn.visit_no for turn in asked.turns)

        async def attempt(trial: Trial) -> PlannedSteps:
            async with self.database.transaction() as tx:
                locked = await Locked.take(tx, self.book, asked.record_id, since)
                if locked is None:
                    return PlannedSteps()
                runner = Runner(locked, self.house, self.ids, at, trial=trial)
                found = []
                for turn in asked.turns:
                    rule = (await locked.rules(turn.visit_no)).rule(turn.rule)
                    due = await plan(runner, turn.visit_no, rule, turn.turn)
                    plans_at = runner.not_before_opening(turn.visit_no, turn.turn)
                    found.append(PlannedStep(visit_no=turn.visit_no, rule=turn.rule, due=due, at=plans_at))
                return PlannedSteps(steps=found)

        return await self.strikes.attempt(asked.record_id, at, attempt, seconds=QUICK)
