"""What a journey hears: signals, queries, and the updates of operators. Handlers only record."""

from __future__ import annotations

from typing import NamedTuple

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from domain.events import Event
    from domain.journey import (
        ClientActivity,
        Entered,
        FactsChanged,
        HoldsEnded,
        JourneyState,
        Move,
        Operation,
        Shown,
        Verb,
    )

REMEMBERED = 50  # request ids of signals and updates


class Asked(NamedTuple):
    """What an operator asked for."""

    verb: Verb
    operation: Operation


Heard = Event | ClientActivity | FactsChanged | HoldsEnded | Move | Asked


class Hearing:
    """The ears of a journey. What is heard waits in the inbox, in order; the same id twice is heard once."""

    def __init__(self, state: JourneyState) -> None:
        self._state = state
        self._inbox: list[Heard] = []
        self._answers: dict[str, str] = {}  # why an operation was refused, by its id

    def _busy(self) -> bool:
        """Whether anything is under way but timers."""
        raise NotImplementedError

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
    def hold_ended(self, heard: HoldsEnded) -> None:
        self._hear_once(heard.id, heard)

    @workflow.signal
    def move(self, heard: Move) -> None:
        self._hear_once(heard.id, heard)

    @workflow.query
    def state(self) -> Shown:
        """All that the journey knows."""
        return Shown(**dict(self._state), at_rest=not self._busy())

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
            raise ApplicationError(
                "to reschedule a step, say when it is due", type="no_due", non_retryable=True
            )

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
        if asked.id in self._state.seen:  # asked again after continue-as-new: it has been done
            return
        progress = self._state.progress
        step = progress.step(asked.visit_no or progress.visit_no, asked.rule)
        if step is None or not step.pending:
            what = f"{asked.rule!r} is not pending"
            raise ApplicationError(what, type="not_pending", non_retryable=True)

    def _hear_once(self, request: str, heard: Heard) -> bool:
        if request in self._state.seen:
            return False
        self._state.seen = [*self._state.seen[1 - REMEMBERED :], request]
        self._inbox.append(heard)
        return True

    async def _operate(self, verb: Verb, asked: Operation) -> None:
        if not self._hear_once(asked.id, Asked(verb, asked)):
            return
        await workflow.wait_condition(lambda: asked.id in self._answers)
        if refused := self._answers.pop(asked.id):
            raise ApplicationError(refused, type="refused", non_retryable=True)
