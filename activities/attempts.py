"""One attempt of an activity: a transaction on a record, and once more act by act if need be."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime

from sqlalchemy.exc import DataError, IntegrityError
from temporalio.exceptions import ApplicationError

from activities import visits
from activities.catalogue import nature
from activities.follow import bring_on
from activities.house import House
from activities.runner import Run, Runner
from activities.steps import act
from db.doorbell import Doorbell
from db.engine import Database, Transaction
from db.journal import book, line
from db.locked import Locked
from db.rows import Ids, write
from db.rulebook import Rulebook
from domain.events import Outcome
from domain.journey import Driven, RuleRun
from domain.progress import Progress


class Attempts:
    """What the activities of one process have in common: the database, the rules, the bells."""

    def __init__(self, database: Database, doorbell: Doorbell, house: House) -> None:
        self.database, self.doorbell, self.house = database, doorbell, house
        self.book, self.ids = Rulebook(nature), Ids()

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
                    await bring_on(runner, run, outcome)
                    await runner.flush()
                    await book(tx, asked.record_id, asked.decisions)
                self.doorbell.ring(*runner.bells)
                return outcome
            except (IntegrityError, DataError) as error:
                if careful:
                    raise _without_values(error) from None
        raise AssertionError("unreachable")


def _without_values(error: IntegrityError | DataError) -> ApplicationError:
    """What Temporal may know of a row the database refused: not what it says."""
    cause = error.orig.__cause__ if error.orig else None
    constraint = getattr(cause, "constraint_name", None) or type(cause).__name__
    return ApplicationError(f"the database refused a row: {constraint}", type="Refused by the database")
