"""The thin shell around the state machine: what is heard becomes events, what is under way is made so.

Handlers of signals only record. The loop sees to one thing after the other: it opens visits first, then
takes what was heard in its order. A run ends when it has had its events; all it knows, and what
it has yet to see to, goes on with the state.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any, Final

from temporalio import workflow
from temporalio.exceptions import ActivityError

from workflows.under_way import UnderWay

with workflow.unsafe.imports_passed_through():
    from domain.events import Ended, Fired, Planned
    from domain.heard import (
        ActEnded,
        ClientActivity,
        FactsChanged,
        Heard,
        HoldsEnded,
        Move,
        Operation,
        hold_ends,
    )
    from domain.journey import (
        GONE,
        WORKFLOW,
        Driven,
        EnterStage,
        JourneyState,
        Moved,
        MoveRecord,
        Operate,
        RecordActivity,
        Replan,
        Shown,
        for_results,
    )

AT_A_STAGE: Final = 200  # events of a run after which a new stage begins a new run
PATIENCE: Final = 4
"""So many times its events a run may have while something hangs."""
HANGS: Final = timedelta(seconds=10)
AT_LEAST: Final = 10
"""So much a run sees to, however much was heard before it began."""
CARRIED: Final = 2000
"""So much that was heard goes on into the next run; with more than that the run goes on."""
CROWD, TOGETHER = 100, 25
"""Where so much waits, so many of a kind are seen to together."""


@workflow.defn(name=WORKFLOW)
class Journey(UnderWay):
    """Follows one record from its creation to its deletion."""

    @workflow.init
    def __init__(self, state: JourneyState) -> None:
        super().__init__(state)
        self._driving: datetime | None = None  # since when the loop waits for what it sees to
        self._seen_to = 0

    @workflow.query
    def state(self) -> Shown:
        """All that the journey knows, save what it has yet to see to."""
        known = dict(self._state) | {"inbox": []}
        return Shown(**known, at_rest=not self._busy())

    # -- the loop ------------------------------------------------------------------------------
    @workflow.run
    async def run(self, state: JourneyState) -> None:
        self._state.wanted = max(self._state.wanted, 1)  # whoever started it by hand need not know
        self._go_on()
        while not self._finished():
            await workflow.wait_condition(
                lambda: self._may_work() or self._ripe() or self._overripe() or self._finished()
            )
            if self._ripe():
                self._continue_as_new()
            if self._overripe():
                self._call_off()
            elif self._may_work():
                await self._see_to_one()
            self._go_on()
        if self._state.wanted > self._state.progress.visit_no:  # restored while it wound up
            self._continue_as_new()

    def _has_work(self) -> bool:
        return self._behind() or self._unjudged() or bool(self._state.inbox)

    def _may_work(self) -> bool:
        return self._has_work() and not (self._called_off and self._may_carry())

    def _busy(self) -> bool:
        waits = self._has_work() or self._acting or self._driving
        return bool(waits or self._state.progress.unbooked)

    def _unjudged(self) -> bool:
        """Whether an act is back that may have read too early what was heard beside it."""
        return bool(self._state.progress.unjudged)

    def _finished(self) -> bool:
        under_way = self._acting or self._has_work() or self._state.progress.unbooked
        return self._gone and not under_way and workflow.all_handlers_finished()

    # -- the end of a run ----------------------------------------------------------------------
    def _ripe(self) -> bool:
        """Whether the next run may begin: this one has had its events, nothing is under way but timers."""
        if self._acting or not self._may_carry():
            return False
        if self._called_off:
            return True
        most = min(self._state.most_events, AT_A_STAGE) if self._behind() else self._state.most_events
        events = workflow.info().get_current_history_length()
        return events > most and (self._seen_to >= AT_LEAST or not self._has_work())

    def _overripe(self) -> bool:
        """Whether the run has far too many events to wait for something that hangs, or is tried again."""
        events = workflow.info().get_current_history_length()
        if self._called_off or not self._may_carry() or events <= PATIENCE * self._state.most_events:
            return False
        since = [begun.at for begun in self._acting.values()] + ([self._driving] if self._driving else [])
        return any(workflow.now() - at > HANGS for at in since)

    def _may_carry(self) -> bool:
        return not self._gone and len(self._state.inbox) <= CARRIED

    def _continue_as_new(self) -> None:
        self._state.progress.unbooked = self._given_back + self._state.progress.unbooked
        workflow.continue_as_new(self._state)

    # -- seeing to it --------------------------------------------------------------------------
    async def _see_to_one(self) -> None:
        """See to what is first, unless the run has to end before that is done: then the next run does it."""
        self._driving = workflow.now()
        work = asyncio.create_task(self._one())
        await workflow.wait_condition(lambda: work.done() or self._overripe())
        if not work.done():
            self._call_off()
            work.cancel()
        try:
            await work
        except ActivityError as error:
            if not self._was_called_off(error):
                raise
        finally:
            self._driving = None
        self._seen_to += 1

    async def _one(self) -> None:
        if self._behind():
            await self._enter()
        elif self._unjudged():
            await self._judge()
        else:
            alike = self._alike()
            await self._take(*alike)
            done = {id(heard) for heard in alike}
            self._state.inbox = [heard for heard in self._state.inbox if id(heard) not in done]

    def _alike(self) -> list[Heard]:
        """What is first in the inbox; in a crowd together with more of its kind.

        Facts and what the client did may pass each other, for neither changes what the other means.
        """
        inbox = self._state.inbox
        alike = inbox[:1]
        if len(inbox) < CROWD:
            return alike
        for heard in inbox[1:CROWD]:
            if _of_a_kind(heard, inbox[0]) and len(alike) < TOGETHER:
                alike.append(heard)
            elif not (_may_pass(heard) and _may_pass(inbox[0])):
                break
        return alike

    async def _enter(self) -> None:
        """One activity opens the visits that were missed, does what is due, and hands the machine back."""
        led = self._state.progress.moved_to
        wanted = max(self._state.wanted, led)
        self._state.wanted = 0  # what is heard of meanwhile is to be opened yet
        asked = EnterStage(record_id=self._state.record_id, progress=self._state.progress)
        try:
            await self._drive("enter_stage", asked, f"visit {wanted}")
        except ActivityError:
            self._state.wanted = max(self._state.wanted, wanted)
            raise
        progress = self._state.progress
        self._state.wanted = max(self._state.wanted, progress.visit_no)
        if progress.moved_to == led:  # else a transition of this very drive leads on
            progress.moved_to = min(led, progress.visit_no)  # there is no such visit, or it is open

    async def _judge(self) -> None:
        """Acts are back beside which facts changed: what these mean for what is pending is found out."""
        record_id, progress = self._state.record_id, self._state.progress
        replan = Replan(record_id=record_id, progress=progress, at=progress.unjudged[0].at, fields=[])
        await self._drive("replan", replan, "what was heard meanwhile")

    async def _take(self, heard: Heard, *more: Heard) -> None:
        """See to what was heard first, and to more of its kind if there is more."""
        record_id, progress = self._state.record_id, self._state.progress
        match heard:
            case Heard(fired=at) if at:
                progress.on(Fired(at))
            case Heard(ended=ActEnded() as act):
                await self._ended(act)
            case Heard(planned=step) if step:
                self._returned.discard((step.visit_no, step.rule, -1))
                progress.on(Planned(step.visit_no, step.rule, step.due, step.at))
            case Heard(holds=HoldsEnded() as told) | Heard(activity=ClientActivity(recorded=True) as told):
                if told.changed:  # something waits for the results
                    await self._drive("replan", for_results(told, record_id, progress), "results")
                else:
                    progress.on(*hold_ends(told.ends))
            case Heard(facts=FactsChanged() as facts):
                replan = Replan(record_id=record_id, progress=progress, at=facts.at, fields=facts.fields)
                replan.more = [one.facts for one in more if one.facts]
                await self._drive("replan", replan, ", ".join(facts.fields) + _and_more(more))
            case Heard(activity=ClientActivity() as activity):
                record = RecordActivity(record_id=record_id, activity=activity)
                record.more = [one.activity for one in more if one.activity]
                self._moved(await self._execute("record_client_activity", record, Moved))
            case Heard(move=Move() as move):
                moves = MoveRecord(record_id=record_id, move=move)
                moves.more = [one.move for one in more if one.move]
                self._moved(await self._execute("move_record", moves, Moved))
            case Heard(asked=Operation() as asked):
                operate = Operate(record_id=record_id, progress=progress, operation=asked)
                await self._drive("operate", operate, f"{asked.verb} {asked.rule}")

    def _moved(self, moved: Moved) -> None:
        """What came of a request; a record that is gone is looked at, whatever visit it was in."""
        gone = self._state.progress.visit_no + 1 if moved.refused == GONE and not self._gone else 0
        self._state.wanted = max(self._state.wanted, moved.visit_no, gone)

    async def _ended(self, act: ActEnded) -> None:
        if act.outcome.changed:
            replan = Replan(
                record_id=self._state.record_id, progress=self._state.progress, at=act.outcome.at,
                fields=act.outcome.changed, after=act,
            )  # fmt: skip
            await self._drive("replan", replan, f"after {act.rule}")
        else:
            self._state.progress.on(Ended(act.visit_no, act.rule, act.n, act.outcome))
        self._returned.discard((act.visit_no, act.rule, act.n))

    async def _drive(self, activity: str, asked: Any, summary: str) -> None:
        """Let an activity drive the machine; what happens meanwhile waits."""
        driven: Driven = await self._execute(activity, asked, Driven, summary)
        self._state.progress, self._state.face = driven.progress, driven.face
        self._gone = self._gone or driven.gone
        self._called_off = self._called_off and not self._gone  # there is no next run


def _may_pass(heard: Heard) -> bool:
    return bool(heard.facts or (heard.activity and not heard.activity.recorded))


def _of_a_kind(one: Heard, other: Heard) -> bool:
    """Whether one activity may see to both."""
    if one.move and other.move:
        return True
    return _may_pass(one) and _may_pass(other) and bool(one.facts) == bool(other.facts)


def _and_more(more: tuple[Heard, ...]) -> str:
    return f" and {len(more)} more" if more else ""
