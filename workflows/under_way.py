"""What a journey has under way: acts, timers, questions. It is made what the machine says is under way.

What is missing is started, what is no longer wanted is cancelled (decision 0007). No kind of rule is known
here: the type of an activity is the kind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, is_cancelled_exception

from workflows.hearing import Hearing
from workflows.showing import changed, details, visible

with workflow.unsafe.imports_passed_through():
    from domain.events import TRIGGER, Arm, Decision, Outcome, Plan, Run
    from domain.heard import ActEnded, Heard
    from domain.journey import (
        Book,
        JourneyState,
        PlannedSteps,
        RuleRun,
        ScheduleSteps,
        Turn,
        Visible,
        io_queue,
    )
    from domain.plan import Step

RETRY = RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=10))
DATABASE = timedelta(seconds=10)  # what an activity on the database may take
SEND, BEAT = timedelta(minutes=3), timedelta(seconds=10)
AT_ONCE = workflow.ActivityCancellationType.TRY_CANCEL
"""What is called off is left to itself: whoever does it again waits for its lock, and finds what it did."""
AT_ITS_END = workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED
"""An attempt that has handed something over is waited for; one that waits for its next attempt is not."""
Key = tuple[int, str, int]


class Begun(NamedTuple):
    """An activity that is under way, since when."""

    task: asyncio.Task[None]
    at: datetime


class UnderWay(Hearing):
    """Acts, timers and questions of one run."""

    def __init__(self, state: JourneyState) -> None:
        super().__init__(state)
        # not those of `workflow.info()`: these depend on which types the server knows at that moment
        self._visible = state.visible or Visible.at_start(state.face)
        self._timers: dict[tuple[int, str], tuple[datetime, asyncio.Task[None]]] = {}
        self._acting: dict[Key, Begun] = {}
        self._returned: set[Key] = set()  # what has come back and waits in the inbox
        self._called_off = False
        self._gone = False  # there is no record to follow any more
        self._given_back: list[Decision] = []  # what was to be written down by what was called off
        for heard in state.inbox:
            if heard.ended:
                self._returned.add((heard.ended.visit_no, heard.ended.rule, heard.ended.n))
            if heard.planned:
                self._returned.add((heard.planned.visit_no, heard.planned.rule, -1))

    def _behind(self) -> bool:
        """Whether there is a visit to be opened."""
        progress = self._state.progress
        return not self._gone and max(self._state.wanted, progress.moved_to) > progress.visit_no

    def _go_on(self) -> None:
        """Make what is under way what the machine says is under way.

        While it is behind, nothing is begun: the next thing is to open a visit, which may call it off.
        """
        if self._behind() or self._called_off:
            return
        wanted: dict[tuple[int, str], datetime] = {}
        turns: list[Turn] = []
        for command in self._state.progress.resume():
            match command:
                case Arm(visit_no, rule, due):
                    wanted[visit_no, rule] = due
                case Run():
                    self._act(command)
                case Plan(visit_no, rule):
                    turns += self._turn(visit_no, rule)
        self._keep_timers(wanted)
        if turns:
            self._ask(turns)
        if (self._given_back or self._state.progress.unbooked) and not self._state.inbox:
            book = Book(record_id=self._state.record_id, decisions=self._to_book())
            self._start((0, "book", workflow.info().get_current_history_length()), self._book(book))
        self._show()

    def _call_off(self) -> None:
        """Begin nothing more, and have what is under way end: the next run begins it anew."""
        self._called_off = True
        for begun in dict.fromkeys(self._acting.values()):
            begun.task.cancel()

    def _was_called_off(self, error: ActivityError) -> bool:
        return self._called_off and is_cancelled_exception(error)

    # -- timers --------------------------------------------------------------------------------
    def _keep_timers(self, wanted: dict[tuple[int, str], datetime]) -> None:
        for key in [k for k, (due, _) in self._timers.items() if wanted.get(k) != due]:
            self._timers.pop(key)[1].cancel()
        for key, due in wanted.items():
            if key not in self._timers:
                self._timers[key] = due, asyncio.create_task(self._timer(key, due))

    async def _timer(self, key: tuple[int, str], due: datetime) -> None:
        left = (due - workflow.now()).total_seconds()
        if left > 0:
            step = self._state.progress.step(*key)
            await workflow.sleep(left, summary=f"{step.kind} {step.rule}" if step else key[1])
        if self._timers.get(key, (None, None))[0] == due:  # a cancellation can be lost
            self._state.inbox.append(Heard(fired=max(due, workflow.now())))

    # -- acts ----------------------------------------------------------------------------------
    def _act(self, run: Run) -> None:
        key = (run.visit_no, run.rule, run.n)
        if key in self._acting or key in self._returned:
            return
        step = self._state.progress.step(run.visit_no, run.rule)
        own = {"record_id": self._state.record_id, "visit_no": run.visit_no, "rule": run.rule, "n": run.n}
        asked = RuleRun.model_validate(own | {"decisions": self._to_book()})
        if step:
            asked.turn, asked.due, asked.released = step.turn, step.due, step.released
        self._start(key, self._rule(run, step, asked))

    async def _rule(self, run: Run, step: Step | None, asked: RuleRun) -> None:
        kind, sends = (step.kind, step.nature == "send") if step else ("control", False)
        kind = "trigger" if run.rule.startswith(TRIGGER) else kind
        key = (run.visit_no, run.rule, run.n)
        try:
            outcome = await workflow.execute_activity(
                kind, asked, result_type=Outcome, retry_policy=RETRY,
                task_queue=io_queue(workflow.info().task_queue) if sends else None,
                start_to_close_timeout=SEND if sends else DATABASE, heartbeat_timeout=BEAT if sends else None,
                cancellation_type=AT_ITS_END if sends else AT_ONCE,
                summary=f"{run.rule} · visit {run.visit_no}" + (f" · act {run.n}" if run.n else ""),
            )  # fmt: skip
        except ActivityError as error:
            if self._was_called_off(error):
                self._given_back += asked.decisions
                return
            outcome = Outcome(result="failed", reason=type(error.cause).__name__, at=workflow.now())
        finally:
            self._acting.pop(key, None)
        self._returned.add(key)
        ended = ActEnded(visit_no=run.visit_no, rule=run.rule, n=run.n, outcome=outcome)
        self._state.inbox.append(Heard(ended=ended))

    # -- questions -----------------------------------------------------------------------------
    def _turn(self, visit_no: int, rule: str) -> list[Turn]:
        step, key = self._state.progress.step(visit_no, rule), (visit_no, rule, -1)
        if step is None or step.turn is None or key in self._acting or key in self._returned:
            return []
        return [Turn(visit_no=visit_no, rule=rule, turn=step.turn)]

    def _ask(self, turns: list[Turn]) -> None:
        """Have due times computed that follow from facts."""
        begun = Begun(asyncio.create_task(self._schedule(turns)), workflow.now())
        for turn in turns:
            self._acting[turn.visit_no, turn.rule, -1] = begun

    async def _schedule(self, turns: list[Turn]) -> None:
        asked = ScheduleSteps(record_id=self._state.record_id, turns=turns)
        try:
            found: PlannedSteps = await self._execute("schedule_steps", asked, PlannedSteps, turns[0].rule)
        except ActivityError as error:
            if self._was_called_off(error):
                return
            raise
        finally:
            for turn in turns:
                self._acting.pop((turn.visit_no, turn.rule, -1), None)
        self._returned.update((step.visit_no, step.rule, -1) for step in found.steps)
        self._state.inbox += [Heard(planned=step) for step in found.steps]

    # -- decisions -----------------------------------------------------------------------------
    def _to_book(self) -> list[Decision]:
        decisions = self._given_back + self._state.progress.unbooked
        self._given_back, self._state.progress.unbooked = [], []
        return decisions

    async def _book(self, book: Book) -> None:
        key = next(k for k, begun in self._acting.items() if begun.task is asyncio.current_task())
        try:
            await self._execute("book", book, None)
        except ActivityError as error:
            if not self._was_called_off(error):
                raise
            self._given_back += book.decisions
        finally:
            self._acting.pop(key, None)

    # -- how -----------------------------------------------------------------------------------
    async def _execute(self, activity: str, asked: Any, answer: type | None, summary: str = "") -> Any:
        """Do something on the database, however often it has to be tried."""
        return await workflow.execute_activity(
            activity, asked, result_type=answer, start_to_close_timeout=DATABASE, retry_policy=RETRY,
            cancellation_type=AT_ONCE, summary=summary or None,
        )  # fmt: skip

    def _start(self, key: Key, work: Coroutine[Any, Any, None]) -> None:
        self._acting[key] = Begun(asyncio.create_task(work), workflow.now())

    def _show(self) -> None:
        """Tell the Web UI: details cost no event, attributes one, so only when they change."""
        workflow.set_current_details(details(self._state))
        now = visible(self._state)
        if updates := changed(self._visible, now):
            self._visible = self._state.visible = now
            workflow.upsert_search_attributes(updates)
