"""What a journey hears: signals. Handlers only record.

There are no updates: a run that is told one in a task that comes late may not replay (decision 0024).
"""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.heard import ClientActivity, Entered, FactsChanged, Heard, HoldsEnded, Move, Operation
    from domain.journey import JourneyState

REMEMBERED = 50  # request ids of signals


class Hearing:
    """The ears of a journey.

    What is heard waits in the inbox, in order, until it has been seen to; with the state it goes on into the
    next run. The same id twice is heard once.
    """

    def __init__(self, state: JourneyState) -> None:
        self._state = state

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

    @workflow.signal
    def operate(self, heard: Operation) -> None:
        self._hear_once(heard.id, Heard(asked=heard))

    def _hear_once(self, request: str, heard: Heard) -> None:
        if request not in self._state.seen:
            self._state.seen = [*self._state.seen[1 - REMEMBERED :], request]
            self._state.inbox.append(heard)
