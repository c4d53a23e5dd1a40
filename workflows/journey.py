"""The thin shell around the state machine: what is heard becomes events, what is under way is made so.

After each event `Progress.resume()` says which acts, timers and questions are under way; the shell starts what
is missing and cancels timers that are no longer wanted. It knows no kind of rule: the type of an activity is
the kind. Handlers of signals only record, so that none is lost over continue-as-new.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from domain.events import Arm, Ended, Event, Fired, HoldEnd, HoldEnded, Outcome, Plan, Planned, Run
    from domain.journey import (
        WORKFLOW,
        ActEnded,
        Book,
        ClientActivity,
        Driven,
        EnterStage,
        Entered,
        FactsChanged,
        JourneyState,
        Move,
        Moved,
        MoveRecord,
        Operate,
        Operation,
        PlannedSteps,
        RecordActivity,
        Replan,
        RuleRun,
        ScheduleSteps,
        Shown,
        Turn,
        Verb,
        io_queue,
    )
    from domain.plan import Step
    from workflows.showing import attributes, details

RETRY = RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=10))
DATABASE = timedelta(seconds=10)  # what an activity on the database may take
SEND, BEAT = timedelta(minutes=3), timedelta(seconds=10)
REMEMBERED = 50  # request ids of signals and updates
AT_A_STAGE = 100  # events of a run after which a new stage begins a new run


class _Asked(NamedTuple):
    """What an operator asked for; `answer` is None until it is known."""

    verb: Verb
    operation: Operation


Heard = Event | ClientActivity | FactsChanged | Move | _Asked


@workflow.defn(name=WORKFLOW)
class Journey:
    """Follows one record from its creation to its deletion."""

    @workflow.init
    def __init__(self, state: JourneyState) -> None:
        self._state = state
        self._inbox: list[Heard] = []
        self._timers: dict[tuple[int, str], tuple[datetime, asyncio.Task[None]]] = {}
        self._under_way: dict[tuple[int, str, int], asyncio.Task[None]] = {}
        self._answers: dict[str, str] = {}
        self._asking = 0  # activities the loop itself waits for
        self._gone = False

    # -- what it hears -------------------------------------------------------------------------
    @workflow.signal
    def entered(self, heard: Entered) -> None:
        self._state.wanted = max(self._state.wanted, heard.visit_no)

    @workflow.signal
    def client_activity(self, heard: ClientActivity) -> None:
        self._hear_once(heard.id, heard)

    @workflow.signal
    def facts_changed(self, heard: FactsChanged) -> None:
        self._hear_once(heard.id, heard)

    @workflow.signal
    def move(self, heard: Move) -> None:
        self._hear_once(heard.id, heard)

    @workflow.query
    def state(self) -> Shown:
        """All that the journey knows."""
        waits = self._inbox or self._under_way or self._asking or self._behind() or self._state.progress.unbooked
        return Shown(**dict(self._state), at_rest=not waits)

    @workflow.update
    async def run_now(self, asked: Operation) -> None:
        await self._operate("run_now", asked)

    @workflow.update
    async def skip(self, asked: Operation) -> None:
        await self._operate("skip", asked)

    @workflow.update
    async def reschedule(self, asked: Operation) -> None:
        await self._operate("reschedule", asked)

    @workflow.update
    async def suspend(self, asked: Operation) -> None:
        await self._operate("suspend", asked)

    @workflow.update
    async def resume(self, asked: Operation) -> None:
        await self._operate("resume", asked)

    @run_now.validator
    def _may_run_now(self, asked: Operation) -> None:
        self._pending(asked)

    @skip.validator
    def _may_skip(self, asked: Operation) -> None:
        self._pending(asked)

    @reschedule.validator
    def _may_reschedule(self, asked: Operation) -> None:
        self._pending(asked)
        if asked.due is None:
            raise ApplicationError("to reschedule a step, say when it is due", type="no_due", non_retryable=True)

    @suspend.validator
    def _may_suspend(self, asked: Operation) -> None:
        self._named(asked)

    @resume.validator
    def _may_resume(self, asked: Operation) -> None:
        self._named(asked)

    def _named(self, asked: Operation) -> None:
        if not asked.who.strip():
            raise ApplicationError("say who asks", type="no_name", non_retryable=True)

    def _pending(self, asked: Operation) -> None:
        self._named(asked)
        progress = self._state.progress
        step = progress.step(asked.visit_no or progress.visit_no, asked.rule)
        if step is None or step.over or step.status not in ("armed", "due", "open", "expiring"):
            what = f"{asked.rule!r} is not pending"
            raise ApplicationError(what, type="not_pending", non_retryable=True)

    def _hear_once(self, request: str, heard: Heard) -> bool:
        if request in self._state.seen:
            return False
        self._state.seen = [*self._state.seen[1 - REMEMBERED :], request]
        self._inbox.append(heard)
        return True

    async def _operate(self, verb: Verb, asked: Operation) -> None:
        if not self._hear_once(asked.id, _Asked(verb, asked)):
            return
        await workflow.wait_condition(lambda: asked.id in self._answers)
        if refused := self._answers.pop(asked.id):
            raise ApplicationError(refused, type="refused", non_retryable=True)

    # -- the loop ------------------------------------------------------------------------------
    @workflow.run
    async def run(self, state: JourneyState) -> None:
        self._go_on()
        while not self._finished():
            await workflow.wait_condition(lambda: self._behind() or bool(self._inbox) or self._may_continue_as_new())
            if self._behind():
                if self._events() > AT_A_STAGE and self._calm():
                    self._continue_as_new()
                await self._enter()
            elif self._inbox:
                await self._take(self._inbox.pop(0))
            else:
                self._continue_as_new()
            self._go_on()

    def _behind(self) -> bool:
        progress = self._state.progress
        return not self._gone and max(self._state.wanted, progress.moved_to) > progress.visit_no

    def _calm(self) -> bool:
        return not self._under_way and not self._inbox and workflow.all_handlers_finished()

    def _events(self) -> int:
        return workflow.info().get_current_history_length()

    def _may_continue_as_new(self) -> bool:
        return self._calm() and not self._behind() and self._events() > self._state.most_events

    def _finished(self) -> bool:
        return self._gone and self._calm() and not self._state.progress.unbooked

    def _continue_as_new(self) -> None:
        workflow.continue_as_new(self._state)

    async def _enter(self) -> None:
        """One activity opens the visits that were missed and does what is due; the machine comes back with it."""
        asked = EnterStage(record_id=self._state.record_id, progress=self._state.progress)
        await self._drive("enter_stage", asked, f"visit {max(self._state.wanted, self._state.progress.moved_to)}")
        self._state.wanted = max(self._state.wanted, self._state.progress.visit_no)
        if not self._gone and self._state.progress.visit_no < self._state.wanted:
            self._state.wanted = self._state.progress.visit_no  # there is no such visit (a signal by hand)

    async def _take(self, heard: Heard) -> None:
        record_id, progress = self._state.record_id, self._state.progress
        match heard:
            case FactsChanged():
                replan = Replan(record_id=record_id, progress=progress, at=heard.at, fields=heard.fields)
                await self._drive("replan", replan, ", ".join(heard.fields))
            case _Asked(verb, operation):
                operate = Operate(record_id=record_id, progress=progress, verb=verb, operation=operation)
                self._answers[operation.id] = await self._drive("operate", operate, f"{verb} {operation.rule}")
            case ClientActivity() if heard.recorded:
                ends = [HoldEnded(e.visit_no, HoldEnd.model_validate(e.model_dump(exclude={"visit_no"}))) for e in heard.ends]
                progress.on(*ends)
            case ClientActivity():
                await self._execute("record_client_activity", RecordActivity(record_id=record_id, activity=heard), None)
            case Move():
                moved = await self._execute("move_record", MoveRecord(record_id=record_id, move=heard), Moved)
                self._state.wanted = max(self._state.wanted, moved.visit_no)
            case Ended():
                await self._ended(heard)
            case _:
                progress.on(heard)

    async def _ended(self, ended: Ended) -> None:
        self._under_way.pop((ended.visit_no, ended.rule, ended.n), None)
        if not ended.outcome.changed:
            self._state.progress.on(ended)
            return
        after = ActEnded(visit_no=ended.visit_no, rule=ended.rule, n=ended.n, outcome=ended.outcome)
        replan = Replan(
            record_id=self._state.record_id, progress=self._state.progress, at=ended.outcome.at,
            fields=ended.outcome.changed, after=after,
        )  # fmt: skip
        await self._drive("replan", replan, f"after {ended.rule}")

    async def _drive(self, activity: str, asked: Any, summary: str) -> str:
        """Let an activity drive the machine; what happens meanwhile waits. Answers why it refused."""
        driven: Driven = await self._execute(activity, asked, Driven, summary)
        self._state.progress, self._state.face = driven.progress, driven.face
        self._gone = self._gone or driven.gone
        return driven.refused

    async def _execute(self, activity: str, asked: Any, answer: type | None, summary: str = "") -> Any:
        self._asking += 1
        try:
            return await workflow.execute_activity(
                activity, asked, result_type=answer, start_to_close_timeout=DATABASE, retry_policy=RETRY,
                summary=summary or None,
            )  # fmt: skip
        finally:
            self._asking -= 1

    # -- what is under way ---------------------------------------------------------------------
    def _go_on(self) -> None:
        """Make what is under way what the machine says is under way."""
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
        if self._state.progress.unbooked and not self._behind() and not self._inbox:
            decisions, self._state.progress.unbooked = self._state.progress.unbooked, []
            book = Book(record_id=self._state.record_id, decisions=decisions)
            self._start((0, "book", self._events()), self._book(book))
        self._show()

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
            self._inbox.append(Fired(max(due, workflow.now())))

    def _act(self, run: Run) -> None:
        key = (run.visit_no, run.rule, run.n)
        if key in self._under_way:
            return
        step = self._state.progress.step(run.visit_no, run.rule)
        decisions, self._state.progress.unbooked = self._state.progress.unbooked, []
        asked = RuleRun(record_id=self._state.record_id, visit_no=run.visit_no, rule=run.rule, n=run.n)
        if step:
            asked = RuleRun(
                **asked.model_dump(include={"record_id", "visit_no", "rule", "n"}),
                turn=step.turn, due=step.due, released=step.released, decisions=decisions,
            )  # fmt: skip
        self._start(key, self._rule(run, step, asked))

    async def _rule(self, run: Run, step: Step | None, asked: RuleRun) -> None:
        kind, sends = (step.kind, step.nature == "send") if step else ("control", False)
        try:
            outcome = await workflow.execute_activity(
                kind, asked, result_type=Outcome, retry_policy=RETRY,
                task_queue=io_queue(workflow.info().task_queue) if sends else None,
                start_to_close_timeout=SEND if sends else DATABASE, heartbeat_timeout=BEAT if sends else None,
                summary=f"{run.rule} · visit {run.visit_no}" + (f" · act {run.n}" if run.n else ""),
            )  # fmt: skip
        except ActivityError as error:
            outcome = Outcome(result="failed", reason=type(error.cause).__name__, at=workflow.now())
        self._inbox.append(Ended(run.visit_no, run.rule, run.n, outcome))

    def _turn(self, visit_no: int, rule: str) -> list[Turn]:
        step = self._state.progress.step(visit_no, rule)
        if step is None or step.turn is None or (visit_no, rule, -1) in self._under_way:
            return []
        return [Turn(visit_no=visit_no, rule=rule, turn=step.turn)]

    def _ask(self, turns: list[Turn]) -> None:
        """Have due times computed that follow from facts."""
        task = asyncio.create_task(self._schedule(turns))
        for turn in turns:
            self._under_way[turn.visit_no, turn.rule, -1] = task

    async def _schedule(self, turns: list[Turn]) -> None:
        asked = ScheduleSteps(record_id=self._state.record_id, turns=turns)
        found: PlannedSteps = await self._execute("schedule_steps", asked, PlannedSteps, turns[0].rule)
        for turn in turns:
            self._under_way.pop((turn.visit_no, turn.rule, -1), None)
        self._inbox += [Planned(s.visit_no, s.rule, s.due, s.at) for s in found.steps]

    async def _book(self, book: Book) -> None:
        key = next(k for k, task in self._under_way.items() if task is asyncio.current_task())
        await self._execute("book", book, None)
        self._under_way.pop(key, None)

    def _start(self, key: tuple[int, str, int], work: Coroutine[Any, Any, None]) -> None:
        self._under_way[key] = asyncio.create_task(work)

    def _show(self) -> None:
        """Tell the Web UI: details cost no event, attributes one, so only when they change."""
        workflow.set_current_details(details(self._state))
        if changed := attributes(self._state, workflow.info().typed_search_attributes):
            workflow.upsert_search_attributes(changed)
