"""What a journey hears: signals, queries, and the updates of operators. Handlers only record."""

from __future__ import annotations

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from domain.heard import (
        Asked,
        ClientActivity,
        Entered,
        FactsChanged,
        Heard,
        HoldsEnded,
        Move,
        Operation,
        Verb,
    )
    from domain.journey import JourneyState, Shown

REMEMBERED = 50  # request ids of signals, and answers to operators
ABANDON = workflow.HandlerUnfinishedPolicy.ABANDON  # who asks again is answered by the next run


class Hearing:
    """The ears of a journey.

    What is heard waits in the inbox, in order, until it has been seen to; with the state it goes on into the
    next run. The same id twice is heard once.
    """

    def __init__(self, state: JourneyState) -> None:
        self._state = state

    def _busy(self) -> bool:
        """Whether anything is under way but timers."""
        raise NotImplementedError

    @workflow.signal
    def entered(self, heard: Entered) -> None:
        self._state.wanted = max(self._state.wanted, heard.visit_no)

    @workflow.signal
    def client_activity(self, heard: ClientActivity) -> None:
        self._hear_once(heard.id, Heard(activity=heard))

    @workflow.signal
    def facts_changed(self, heard: FactsChanged) -> None:
        self._hear_once(heard.id, Heard(facts=heard))

    @workflow.signal
    def hold_ended(self, heard: HoldsEnded) -> None:
        self._hear_once(heard.id, Heard(holds=heard))

    @workflow.signal
    def move(self, heard: Move) -> None:
        self._hear_once(heard.id, Heard(move=heard))

    @workflow.query
    def state(self) -> Shown:
        """All that the journey knows, save what it has yet to see to."""
        known = dict(self._state) | {"inbox": [], "answers": {}}
        return Shown(**known, at_rest=not self._busy())

    @workflow.update(unfinished_policy=ABANDON)
    async def run_now(self, asked: Operation) -> None:
        await self._operate("run_now", asked)

    @workflow.update(unfinished_policy=ABANDON)
    async def skip(self, asked: Operation) -> None:
        await self._operate("skip", asked)

    @workflow.update(unfinished_policy=ABANDON)
    async def reschedule(self, asked: Operation) -> None:
        await self._operate("reschedule", asked)

    @workflow.update(unfinished_policy=ABANDON)
    async def suspend(self, asked: Operation) -> None:
        await self._operate("suspend", asked)

    @workflow.update(unfinished_policy=ABANDON)
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
        if self._known(asked):  # asked again, perhaps in a later run
            return
        progress = self._state.progress
        step = progress.step(asked.visit_no or progress.visit_no, asked.rule)
        if step is None or not step.pending:
            what = f"{asked.rule!r} is not pending"
            raise ApplicationError(what, type="not_pending", non_retryable=True)

    def _hear_once(self, request: str, heard: Heard) -> None:
        if request not in self._state.seen:
            self._state.seen = [*self._state.seen[1 - REMEMBERED :], request]
            self._state.inbox.append(heard)

    def _known(self, asked: Operation) -> bool:
        waiting = (heard.asked.operation.id for heard in self._state.inbox if heard.asked)
        return asked.id in self._state.answers or asked.id in waiting

    async def _operate(self, verb: Verb, asked: Operation) -> None:
        if not self._known(asked):
            self._state.inbox.append(Heard(asked=Asked(verb=verb, operation=asked)))
        await workflow.wait_condition(lambda: asked.id in self._state.answers)
        if refused := self._state.answers[asked.id]:
            raise ApplicationError(refused, type="refused", non_retryable=True)

    def _answer(self, asked: Operation, refused: str) -> None:
        """Say what came of it: `refused` is why not. It is remembered for who asks again."""
        latest = [*self._state.answers.items()][1 - REMEMBERED :]
        self._state.answers = dict(latest) | {asked.id: refused}
