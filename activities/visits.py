"""Opens visits and drives the state machine in one transaction; the journey goes on with what comes back.

`enter_stage` opens every visit the journey has not heard of, and does what is due and touches only the
database. What sends stays `running` in the state that is handed back: that is how it asks the workflow.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from activities.follow import changed_at, follow, plan
from activities.rebuilding import begin_anew
from activities.results import waited_for
from activities.runner import Run, Runner
from activities.steps import act
from activities.triggers import client_edited
from db.facts import VisitRow
from db.journal import book, line
from db.locked import Locked
from db.outbox import face_of
from db.rows import Change as Written
from domain import events as e
from domain.events import Command, Ended, Event, Fired, HoldEnd, Left, Opened, Planned
from domain.journey import CLIENT_EDITED, Driven, Replan, hold_ends
from domain.progress import Progress
from domain.schedule import Due

MOVED = ("record.stage", "record.pipeline", "record.entered_at")
"""What every entry changes; kept steps of older visits may wait for it."""


class Drive:
    """The machine of one record, driven until rest inside a transaction."""

    def __init__(self, runner: Runner, progress: Progress) -> None:
        self.runner, self.progress = runner, progress

    async def feed(self, *events: Event, asked: Sequence[Command] = ()) -> None:
        """What happens at one instant, and all it makes due at once; with what was `asked` for before."""
        todo: deque[Command] = deque([*asked, *self.progress.on(*events)])
        while todo:
            match todo.popleft():
                case e.Plan(visit_no, rule):
                    todo.extend(self.progress.on(await self._planned(visit_no, rule)))
                case e.Run(visit_no, rule, n):
                    todo.extend(await self._run(visit_no, rule, n))
                case e.Follow(facts) if facts in self.progress.unjudged:
                    meant = await follow(self.runner, self.progress, facts.fields, facts.at)
                    todo.extend(self.progress.on(e.Judged(facts), *meant))

    async def _planned(self, visit_no: int, rule: str) -> Planned:
        step = self.progress.step(visit_no, rule)
        written = (await self.runner.locked.rules(visit_no)).rule(rule)
        turn = step.turn if step and step.turn else self.runner.now
        found = await plan(self.runner, visit_no, written, turn) if step else Due(at=turn)
        return Planned(visit_no, rule, found, self.runner.not_before_opening(visit_no, turn))

    async def _run(self, visit_no: int, rule: str, n: int) -> list[Command]:
        step = self.progress.step(visit_no, rule)
        if step and step.nature == "send":
            return []
        run = Run(
            visit_no, rule, n, step.turn if step else None, step.due if step else None,
            step.released if step else False,
        )  # fmt: skip
        outcome = await act(self.runner, run)
        fields = [*outcome.changed, *await waited_for(self.runner.locked, visit_no, rule)]
        return self.progress.on(Ended(visit_no, rule, n, outcome), *changed_at(outcome.at, fields))

    async def finish(self, *changes: Written) -> None:
        """Write what is left to write, with what the machine decided by itself."""
        self.runner.add(*changes)
        await self.runner.flush()
        await book(self.runner.locked.tx, self.runner.locked.record.id, self.progress.unbooked)
        self.progress.unbooked = []


async def enter(runner: Runner, progress: Progress) -> Driven:
    """Open what is to be opened, run what is due; a journey that begins anew goes on where it was."""
    locked, record = runner.locked, runner.locked.record
    drive = Drive(runner, progress)
    before = None if progress.visit_no or not record.journey_visit else await begin_anew(runner, progress)
    behind = progress.visit_no < record.visit_no
    missed = await _missed(locked, progress)
    fields = [*(MOVED if behind else ()), *await _ended_with(locked, missed)]
    changed = changed_at(record.entered_at, fields)
    if before:
        await drive.feed(*missed, *changed, *before.events, asked=before.commands)
    else:
        await drive.feed(*missed, *changed)
    if (next_due := progress.next_due) and next_due <= runner.now:
        await drive.feed(Fired(runner.now))
    gone = locked.record.deleted_at is not None
    if gone:  # perhaps by a rule of this very drive: what is left of its visit ends, each step with its line
        await drive.feed(*await _missed(locked, progress))
    if gone and record.journey_visit >= record.visit_no:  # its journey had ended, and was rung again
        runner.add(line(record.id, record.visit_no, "ignored", runner.now, reason="record_deleted"))
    opened = {"id": record.id, "at": runner.now, "visit_no": progress.visit_no}
    await drive.finish(*(Written(sql, opened) for sql in (_OPENED, _HEARD) if behind))
    face = face_of(locked.record, suspended=locked.suspended())
    return Driven(progress=progress, face=face, gone=gone)


async def replan(runner: Runner, progress: Progress, asked: Replan) -> Driven:
    """Facts changed: what is pending follows them, as of the instant at which they did."""
    drive = Drive(runner, progress)
    after = asked.after
    ended: list[Event] = [Ended(after.visit_no, after.rule, after.n, after.outcome)] if after else []
    ended += hold_ends(asked.ends)
    for at, fields in [(asked.at, asked.fields), *((more.at, more.fields) for more in asked.more)]:
        await drive.feed(*ended, *changed_at(at, fields))
        ended = []
        if CLIENT_EDITED in fields and (bell := await client_edited(runner, fields, at)):
            runner.bells.append(bell)
    await drive.finish()
    locked = runner.locked
    return Driven(progress=progress, face=face_of(locked.record, suspended=locked.suspended()))


async def _missed(locked: Locked, progress: Progress) -> list[Event]:
    """How known visits were left, and the visits that were not heard of, in order."""
    events: list[Event] = []
    for visit in locked.visits:
        left = _left(locked, progress, visit)
        if visit.visit_no <= progress.visit_no:
            if left and any(v.visit_no == visit.visit_no and not v.left for v in progress.visits):
                events.append(left)
            continue
        steps = (await locked.rules(visit.visit_no)).plan(visit.stage_id)
        begins = Opened(visit.visit_no, visit.stage_id, steps, visit.entered_at, left, visit.opens_at)
        events.append(begins)
    return events


async def _ended_with(locked: Locked, missed: Sequence[Event]) -> list[str]:
    """The results that came with the leaving of stages; what was kept may wait for them."""
    lefts = [event.left if isinstance(event, Opened) else event for event in missed]
    return [
        name
        for left in lefts
        if isinstance(left, Left)
        for name in await waited_for(locked, left.visit_no, *(end.rule for end in left.holds))
    ]


def _left(locked: Locked, progress: Progress, visit: VisitRow) -> Left | None:
    if visit.left_at is None:
        return None
    holds = [
        HoldEnd.model_validate(
            {
                "rule": row.rule,
                "result": row.outcome,
                "reason": row.reason,
                "at": row.ended_at,
                "closing": row.closing,
            }
        )
        for row in locked.holds.values()
        if row.visit_no == visit.visit_no
        and row.outcome
        and row.ended_at
        and _open(progress, row.visit_no, row.rule)
    ]
    return Left(
        visit.visit_no, visit.left_at, visit.left_reason or "left_stage", visit.kept, holds, visit.left_by
    )


def _open(progress: Progress, visit_no: int, rule: str) -> bool:
    """Whether the machine has not heard of the end of a hold yet."""
    step = progress.step(visit_no, rule)
    return step is None or not step.over


_OPENED = """
update visit set opened_at = cast(:at as timestamptz)
where record_id = :id and visit_no <= :visit_no and opened_at is null
"""
_HEARD = "update record set journey_visit = :visit_no where id = :id and journey_visit < :visit_no"
