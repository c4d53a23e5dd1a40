"""The thin shell around the state machine: what is heard becomes events, what is under way is made so.

After each event `Progress.resume()` says which acts, timers and questions are under way; the shell starts
what is missing and cancels timers that are no longer wanted. It knows no kind of rule: the type of an
activity is the kind. Handlers of signals only record, so that none is lost over continue-as-new.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

from workflows.hearing import Asked, Heard, Hearing
from workflows.showing import attributes, details

with workflow.unsafe.imports_passed_through():
    from domain.events import TRIGGER, Arm, Ended, Fired, Outcome, Plan, Planned, Run
    from domain.journey import (
        GONE,
        WORKFLOW,
        ActEnded,
        Book,
        ClientActivity,
        Driven,
        EnterStage,
        FactsChanged,
        HoldsEnded,
        JourneyState,
        Move,
        Moved,
        MoveRecord,
        Operate,
        PlannedSteps,
        RecordActivity,
        Replan,
        RuleRun,
        ScheduleSteps,
        Turn,
        for_results,
        hold_ends,
        io_queue,
    )
    from domain.plan import Step

RETRY = RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=10))
DATABASE = timedelta(seconds=10)  # what an activity on the database may take
SEND, BEAT = timedelta(minutes=3), timedelta(seconds=10)
AT_A_STAGE = 200  # events of a run after which a new stage begins a new run


@workflow.defn(name=WORKFLOW)
class Journey(Hearing):
    """Follows one record from its creation to its deletion."""

    @workflow.init
    def __init__(self, state: JourneyState) -> None:
        super().__init__(state)
        self._timers: dict[tuple[int, str], tuple[datetime, asyncio.Task[None]]] = {}
        self._under_way: dict[tuple[int, str, int], asyncio.Task[None]] = {}
        self._asking = 0  # activities the loop itself waits for
        self._gone = False

    # -- the loop ------------------------------------------------------------------------------
    @workflow.run
    async def run(self, state: JourneyState) -> None:
        self._state.wanted = max(self._state.wanted, 1)  # whoever started it by hand need not know
        self._go_on()
        while not self._finished():
            await workflow.wait_condition(
                lambda: (
                    self._behind() or bool(self._inbox) or self._unjudged()
                    or self._may_continue_as_new() or self._finished()
                )
            )  # fmt: skip
            if self._finished():
                break
            if self._behind():
                if self._events() > AT_A_STAGE and self._calm():
                    self._continue_as_new()
                await self._enter()
            elif self._unjudged():
                await self._judge()
            elif self._inbox:
                await self._take(self._inbox.pop(0))
            else:
                self._continue_as_new()
            self._go_on()
        if self._state.wanted > self._state.progress.visit_no:  # restored while it wound up
            self._continue_as_new()

    def _busy(self) -> bool:
        waits = self._inbox or self._under_way or self._asking or self._behind() or self._unjudged()
        return bool(waits or self._state.progress.unbooked)

    def _unjudged(self) -> bool:
        """Whether an act is back that may have read too early what was heard beside it."""
        return bool(self._state.progress.unjudged)

    def _behind(self) -> bool:
        progress = self._state.progress
        return not self._gone and max(self._state.wanted, progress.moved_to) > progress.visit_no

    def _calm(self) -> bool:
        at_work = self._under_way or self._inbox or self._unjudged()
        return not at_work and workflow.all_handlers_finished()

    def _events(self) -> int:
        return workflow.info().get_current_history_length()

    def _may_continue_as_new(self) -> bool:
        return self._calm() and not self._behind() and self._events() > self._state.most_events

    def _finished(self) -> bool:
        return self._gone and self._calm() and not self._state.progress.unbooked

    def _continue_as_new(self) -> None:
        workflow.continue_as_new(self._state)

    async def _enter(self) -> None:
        """One activity opens the visits that were missed, does what is due, and hands the machine back."""
        led = self._state.progress.moved_to
        wanted = max(self._state.wanted, led)
        self._state.wanted = 0  # what is heard of meanwhile is to be opened yet
        asked = EnterStage(record_id=self._state.record_id, progress=self._state.progress)
        await self._drive("enter_stage", asked, f"visit {wanted}")
        progress = self._state.progress
        self._state.wanted = max(self._state.wanted, progress.visit_no)
        if progress.moved_to == led:  # else a transition of this very drive leads on
            progress.moved_to = min(led, progress.visit_no)  # there is no such visit, or it is open

    async def _take(self, heard: Heard) -> None:
        record_id, progress = self._state.record_id, self._state.progress
        match heard:
            case FactsChanged():
                replan = Replan(record_id=record_id, progress=progress, at=heard.at, fields=heard.fields)
                await self._drive("replan", replan, ", ".join(heard.fields))
            case Asked(verb, operation):
                operate = Operate(record_id=record_id, progress=progress, verb=verb, operation=operation)
                said = f"{verb} {operation.rule}"
                self._answers[operation.id] = await self._drive("operate", operate, said)
            case HoldsEnded() | ClientActivity(recorded=True):
                if heard.changed:  # something waits for the results
                    await self._drive("replan", for_results(heard, record_id, progress), "results")
                else:
                    progress.on(*hold_ends(heard.ends))
            case ClientActivity():
                asked = RecordActivity(record_id=record_id, activity=heard)
                self._moved(await self._execute("record_client_activity", asked, Moved))
            case Move():
                moving = MoveRecord(record_id=record_id, move=heard)
                self._moved(await self._execute("move_record", moving, Moved))
            case Ended():
                await self._ended(heard)
            case _:
                progress.on(heard)

    async def _judge(self) -> None:
        """Acts are back beside which facts changed: what these mean for what is pending is found out."""
        record_id, progress = self._state.record_id, self._state.progress
        replan = Replan(record_id=record_id, progress=progress, at=progress.unjudged[0].at, fields=[])
        await self._drive("replan", replan, "what was heard meanwhile")

    def _moved(self, moved: Moved) -> None:
        """What came of a request; a record that is gone is looked at, whatever visit it was in."""
        gone = self._state.progress.visit_no + 1 if moved.refused == GONE and not self._gone else 0
        self._state.wanted = max(self._state.wanted, moved.visit_no, gone)

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
        """Make what is under way what the machine says is under way.

        While it is behind, nothing is begun: the next thing is to open a visit, which may call it off.
        """
        if self._behind():
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
        if self._state.progress.unbooked and not self._inbox:
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
        own = {"record_id": self._state.record_id, "visit_no": run.visit_no, "rule": run.rule, "n": run.n}
        asked = RuleRun.model_validate(own | {"decisions": decisions})
        if step:
            asked.turn, asked.due, asked.released = step.turn, step.due, step.released
        self._start(key, self._rule(run, step, asked))

    async def _rule(self, run: Run, step: Step | None, asked: RuleRun) -> None:
        kind, sends = (step.kind, step.nature == "send") if step else ("control", False)
        kind = "trigger" if run.rule.startswith(TRIGGER) else kind
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
