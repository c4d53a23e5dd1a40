"""From step to outcome, one way for one step and for many: key, fence, what may act, what it ended as.

The record is locked and its ledger was read after the lock was had, so a key that is not there cannot
appear: what acts is decided in memory, and what it leaves (keys, rows, journal) is written with one
statement. The effect itself is carried out by `activities/acting.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from activities.again import next_attempt
from activities.effect import Done
from activities.house import House
from activities.past import past
from activities.trial import Key, Trial
from db.facts import LedgerRow
from db.journal import key, line
from db.locked import Locked
from db.outbox import Bell
from db.rows import Change, Ids, Rows, write
from db.rulebook import Version
from domain.conditions import Verdict
from domain.errors import NotNow
from domain.events import Outcome
from domain.judge import Past, refusal, repeats
from domain.rule import Rule
from domain.schedule import catch_up_at


class Run(NamedTuple):
    """One act that is due: `turn` and `due` are the step's, UTC."""

    visit_no: int
    rule: str
    n: int = 0
    turn: datetime | None = None
    due: datetime | None = None
    released: bool = False

    @property
    def key(self) -> Key:
        """Which act of the record it is."""
        return Key(self.visit_no, self.rule, self.n)


class Admitted(NamedTuple):
    """A step that may act: its rule, the version it stands in, and what its condition said."""

    rule: Rule
    version: Version
    verdict: Verdict | None


class Runner:
    """The acts of one transaction on one record. `now` is the one clock; call `flush` before the commit.

    `trial`: how the attempt goes about it.
    """

    def __init__(
        self, locked: Locked, house: House, ids: Ids, now: datetime, *, trial: Trial | None = None
    ) -> None:
        self.locked, self.house, self.ids, self.now, self.trial = locked, house, ids, now, trial or Trial()
        self._rows: list[Rows | Change] = []
        self.bells: list[Bell] = []  # of records born meanwhile, to be rung after the commit

    @property
    def careful(self) -> bool:
        """Whether every act is written by itself, so that what goes wrong fails its own step alone."""
        return self.trial.careful

    # -- writing -------------------------------------------------------------------------------
    def add(self, *rows: Rows | Change) -> None:
        """Have rows and changes written with the next flush."""
        self._rows += rows

    async def flush(self) -> None:
        """Write what the acts so far have left."""
        rows, self._rows = self._rows, []
        await write(self.locked.tx, rows)

    def on_time(self, due: datetime | None) -> datetime:
        """The instant an act is booked at: its due time if it is on time, else now."""
        return due if due is not None and self.now <= due + self.house.punctual else self.now

    def released(self, run: Run) -> datetime | None:
        """When an act may be made: when it is due, and not before its visit is opened."""
        return run.due and self.not_before_opening(run.visit_no, run.due)

    def not_before_opening(self, visit_no: int, at: datetime) -> datetime:
        """An instant of a visit, or when it is opened if that is later, as its pipeline's `grace` says."""
        visit = self.locked.visit(visit_no)
        return max(at, visit.opens_at) if visit and visit.opens_at else at

    def end(
        self, run: Run, outcome: Outcome, done: Done | None = None, error: str = "",
        verdict: Verdict | None = None, actor: str = "system",
    ) -> Outcome:  # fmt: skip
        """Claim the key with what the act ended as, and say so in the journal."""
        record_id, found = self.locked.record.id, done or Done()
        row = LedgerRow(
            visit_no=run.visit_no, rule=run.rule, n=run.n, outcome=outcome.result, reason=outcome.reason,
            at=outcome.at, moved_to=outcome.moved_to, results=found.results,
            changed=outcome.changed, triggers=outcome.triggers,
        )  # fmt: skip
        self.locked.ledger[run.visit_no, run.rule, run.n] = row
        detail: dict[str, object] = {"results": found.results} if found.results else {}
        if error:
            detail["error"] = error
        self.add(key(record_id, row, error), *found.rows, self.said(run, outcome, detail, verdict, actor))
        return outcome

    def said(
        self, run: Run, outcome: Outcome, detail: Mapping[str, object], verdict: Verdict | None = None,
        actor: str = "system",
    ) -> Rows:  # fmt: skip
        """The line of the journal for an outcome; a step that stays pending says what it waits for."""
        told = dict(detail)
        if verdict:
            told["condition"] = verdict.model_dump(mode="json")
        if outcome.due:
            told["due"] = outcome.due
        pending = outcome.result == "pending"
        event, reason = ("waits", outcome.waiting) if pending else (outcome.result, outcome.reason)
        return line(
            self.locked.record.id, run.visit_no, event, outcome.at,
            rule=run.rule, n=run.n, reason=reason, actor=actor, detail=told,
        )  # fmt: skip

    # -- deciding ------------------------------------------------------------------------------
    def stored(self, run: Run) -> Outcome | None:
        """What this act ended as before; an act that was done is not done again."""
        row = self.locked.stored(run.visit_no, run.rule, run.n)
        if row is None or not row.outcome:
            return None
        hold = self.locked.holds.get((run.visit_no, run.rule))
        if hold and not hold.outcome:
            return Outcome(result="open", due=hold.due_at, at=row.at)
        found: dict[str, object] = {"result": row.outcome, "reason": row.reason, "at": row.at}
        if hold and (run.n or row.outcome == "open"):
            found = {
                "result": hold.outcome,
                "reason": hold.reason,
                "at": hold.ended_at,
                "closing": hold.closing,
            }
        more = {"moved_to": row.moved_to, "changed": row.changed, "triggers": row.triggers}
        return Outcome.model_validate(found | more)

    def passes(self, run: Run) -> bool:
        """The fence: the visit is the present one, or its leaving marked the rule."""
        record, visit = self.locked.record, self.locked.visit(run.visit_no)
        if record.deleted_at or visit is None:
            return False
        return visit.visit_no == record.visit_no or run.rule in visit.kept

    async def admit(self, run: Run) -> Admitted | Outcome:
        """Everything between the key and the effect; if the step does not act, that is written down."""
        found = await self.judge(run)
        if isinstance(found, Admitted):
            return found
        refused, verdict = found
        if refused.result != "pending":
            return self.end(run, refused, verdict=verdict)
        self.add(self.said(run, refused, {}, verdict))
        return refused

    async def judge(self, run: Run) -> Admitted | tuple[Outcome, Verdict | None]:
        """The same, and nothing is written."""
        if not self.passes(run):
            return Outcome(result="stale", reason="outrun", at=self.now), None
        version = await self.locked.rules(run.visit_no)
        rule = version.rule(run.rule)
        refused, verdict = await self._may_act(run, rule, version)
        return Admitted(rule, version, verdict) if refused is None else (refused, verdict)

    async def _may_act(self, run: Run, rule: Rule, version: Version) -> tuple[Outcome | None, Verdict | None]:
        if self.locked.suspended(run.rule):
            return Outcome(result="pending", waiting="suspended", due=run.due, at=self.now), None
        if late := self._catch_up(run, rule):
            return late, None
        at = self.on_time(self.released(run))
        if rule.repeat != "every_visit" and repeats(rule, await self._past(rule), self._pass(run), at):
            return Outcome(result="skipped", reason="repeat", at=at), None
        leaving = self.leaving(run, version)
        return refusal(rule, self.locked.values(run.visit_no), at, self.locked.zone, leaving=leaving)

    def leaving(self, run: Run, version: Version) -> bool:
        """Whether the stage was left and the rest of the chain is run at once."""
        visit = self.locked.visit(run.visit_no)
        left = version.plan(visit.stage_id) if visit and visit.left_at else []
        return any(step.rule == run.rule and step.on_exit == "run_now" for step in left)

    def _catch_up(self, run: Run, rule: Rule) -> Outcome | None:
        """What `catch_up` makes of a step that is overdue at its release, which is now."""
        due = self.released(run)
        if due is None or run.released or self.now <= due + self.house.punctual:
            return None
        at = catch_up_at(rule.schedule.catch_up, due, self.now, self.locked.key(run.rule))
        if at is None:
            return Outcome(result="skipped", reason="too_late", at=self.now)
        return Outcome(result="pending", waiting="spread", due=at, at=self.now) if at > self.now else None

    def _pass(self, run: Run) -> int:
        visit = self.locked.visit(run.visit_no)
        return visit.pass_no if visit else 0

    async def _past(self, rule: Rule) -> list[Past]:
        await self.flush()
        return await past(self.locked, rule.id)

    # -- endings ----------------------------------------------------------------------------------
    async def put_off(self, run: Run, rule: Rule, met: NotNow, verdict: Verdict | None) -> Outcome | None:
        """What it met may pass: it is tried again, its key free, behind the fence; None if it is too late."""
        attempt = await next_attempt(self.locked, run.visit_no, rule, run.n, self.now)
        if attempt is None:
            return None
        detail = attempt.told(met.message, verdict)
        own = self.locked.record.id, run.visit_no
        self.add(line(*own, "retry", self.now, rule=run.rule, n=run.n, detail=detail))
        return Outcome(result="pending", waiting="retry", due=attempt.due, at=self.now)

    async def undo(self) -> None:
        """What the effect wrote was undone; so is what it left in memory."""
        self._rows = []
        await self.locked.reload()

    async def fail(
        self, run: Run, at: datetime, reason: str, message: str, verdict: Verdict | None = None
    ) -> Outcome:
        """The step failed; the owner of the rule set is told."""
        outcome = Outcome(result="failed", reason=reason, at=at)
        self.end(run, outcome, error=message, verdict=verdict)
        if owner := await self.owner(run.visit_no):
            said = f"Rule {run.rule!r} of {self.locked.record.title!r} failed: {message}"
            self.add(self.notice(run, owner, said, at))
        return outcome

    async def owner(self, visit_no: int) -> str:
        """The owner of the rule set a visit runs on; empty where there is none."""
        return (await self.locked.rules(visit_no)).owner or self.locked.around.pipeline.owner_id or ""

    def notice(self, run: Run, employee: str, body: str, at: datetime, sender: str = "system") -> Rows:
        """A notification, by default of the system itself."""
        row = {
            "employee_id": employee, "record_id": self.locked.record.id, "visit_no": run.visit_no,
            "rule": run.rule, "n": run.n, "sender": sender, "body": body, "at": at,
        }  # fmt: skip
        return Rows("notification", [row])

