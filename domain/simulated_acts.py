"""What the transactions of acts decide, in memory: effects always succeed and cost no time."""

from __future__ import annotations

from collections.abc import Callable

from domain.changed_facts import WATCHING
from domain.conditions import judge
from domain.events import HoldEnd, Outcome
from domain.hold import Hold, earlier, how_it_ended
from domain.holds.control import Control
from domain.holds.wait import MoveTo, Wait
from domain.judge import came_to_hold, holds_from, refusal, repeats
from domain.period import Period, zone_named
from domain.plan import Step
from domain.rule import Rule
from domain.schedule import catch_up_at, due
from domain.simulated_facts import FollowingWorld


class ActingWorld(FollowingWorld):
    """A world in which steps act."""

    # -- acts ----------------------------------------------------------------------------------
    def _run(self, visit_no: int, step: Step, n: int) -> Outcome:
        rule, now = self.rules[visit_no][step.rule], self.now
        if n == 0 and not self._passes(visit_no, rule.id):
            return Outcome(result="stale", reason="outrun", at=now)
        if n and (ended := self._comes_to_hold(visit_no, step)):
            return ended
        if self._covered(rule.id):
            return self._queues(visit_no, step, n)
        if n:
            return self._hold_acts(visit_no, step)
        if late := self._late(visit_no, rule, step):
            return late
        pipeline, pass_no = self.pipeline_of[visit_no]
        if repeats(rule, self.past.get((pipeline, rule.id), []), pass_no, now):
            return Outcome(result="skipped", reason="repeat", at=now)
        leaving = step.kept and step.on_exit == "run_now"
        refused, _ = refusal(rule, self._values(visit_no), now, self.zone, leaving=leaving)
        if refused:
            return refused
        match step.nature:
            case "wait" | "control":
                return self._open(visit_no, step, rule)
            case "transition":
                return self._transit(step, rule)
        if rule.params.get("hold_until_closed") and not (step.kept and step.on_exit == "run_now"):
            until = Period.model_validate(rule.params["hold_timeout"]).add(now, zone_named(self.zone))
            self.holds[visit_no, rule.id] = Hold(rule=rule.id, kind="task", since=now, due=until)
            return Outcome(result="open", due=until, at=now)
        changed = self._edit(self._sets(rule)) if rule.kind == "edit_record" else []
        self._bring(visit_no, rule.id, self.gives.get(rule.kind, {}))
        return Outcome(result="done", at=now, changed=changed)

    def _sets(self, rule: Rule) -> dict[str, object]:
        """What a rule that edits the record sets, by full reference."""
        pairs = rule.params.get("set")
        listed = [pair for pair in pairs if isinstance(pair, dict)] if isinstance(pairs, list) else []
        raw = {f"record.{str(pair['field']).removeprefix('record.')}": pair["value"] for pair in listed}
        return {field: self.typed(field, value) for field, value in raw.items()}

    def _late(self, visit_no: int, rule: Rule, step: Step) -> Outcome | None:
        """What `catch_up` makes of a step that a suspension held up."""
        opens = self.visits[visit_no].opens
        due = max(step.due, opens) if step.due and opens else step.due
        if due is None or step.released or self.now <= due:
            return None
        at = catch_up_at(rule.schedule.catch_up, due, self.now, f"{self.key}/{rule.id}")
        if at is None:
            return Outcome(result="skipped", reason="too_late", at=self.now)
        return Outcome(result="pending", waiting="spread", due=at, at=self.now) if at > self.now else None

    def _open(self, visit_no: int, step: Step, rule: Rule) -> Outcome:
        params, values = self._params(visit_no, rule.id), self._values(visit_no)
        until = params.until if isinstance(params, Control) else None
        if until is not None and judge(until, values, self.now, self.zone).holds:
            self._bring(visit_no, rule.id, {"state": "resolved", "late_by": 0})
            return Outcome(result="done", reason="resolved", at=self.now)
        limit = params.until if isinstance(params, Wait) else params.deadline
        ends = due(limit, self.now, self.now, self._facts(limit.basis))
        if ends.verdict in ("skip", "fail"):
            return Outcome(
                result="skipped" if ends.verdict == "skip" else "failed", reason=ends.reason, at=self.now
            )
        if isinstance(params, Wait) and self._client_was_quicker(visit_no, step, params):
            self._bring(visit_no, rule.id, {"ended": "client", "at": self.now})
            return Outcome(result="done", reason="client", at=self.now)
        at = earlier(ends.at, holds_from(until, values, self.now, self.zone)) if until else ends.at
        if isinstance(params, Control):
            self._bring(visit_no, rule.id, {"state": "watching"})
        self.holds[visit_no, rule.id] = Hold(
            rule=rule.id,
            kind="wait" if step.nature == "wait" else "control",
            since=self.now,
            due=at,
            deadline=ends.at if isinstance(params, Control) else None,
            conditional=until is not None,
            moves=step.moves,
        )
        return Outcome(result="open", due=at, at=self.now)

    def _queues(self, visit_no: int, step: Step, n: int) -> Outcome:
        """What a suspension keeps back; the clock may resolve a control all the same."""
        params = self._params(visit_no, step.rule) if n and step.nature == "control" else None
        if not isinstance(params, Control) or params.until is None:
            return Outcome(result="pending", waiting="suspended", due=step.due, at=self.now)
        turn = holds_from(params.until, self._values(visit_no), self.now, self.zone)
        return Outcome(result="pending", waiting=WATCHING, due=turn, at=self.now)

    def _comes_to_hold(self, visit_no: int, step: Step) -> Outcome | None:
        """The clock has turned a control's condition, which ends it when it happened; late it was before."""
        rule = step.rule
        hold = self.holds[visit_no, rule]
        params = self._params(visit_no, rule) if hold.kind == "control" else None
        if not isinstance(params, Control) or params.until is None or hold.due is None:
            return None
        since = max(hold.due, step.due or hold.due)  # it was looked at before that, while it was suspended
        at = came_to_hold(params.until, self._values(visit_no), since, self.now, self.zone)
        if at is None:
            return None
        if not hold.late and hold.deadline and hold.deadline <= at and not self._covered(rule):
            self._flag(visit_no, hold)
            hold.due = at
            return Outcome(result="open", due=at, at=self.now)
        end = self._resolve(visit_no, hold, at)
        return Outcome(result="done", reason=end.reason, at=at)

    def _watch(self, visit_no: int, hold: Hold) -> Outcome:
        """A control at its deadline, or at a turn of its condition that does not make it hold."""
        params = self._params(visit_no, hold.rule)
        until = params.until if isinstance(params, Control) else None
        if hold.deadline and hold.deadline <= self.now:
            self._flag(visit_no, hold)
        turn = holds_from(until, self._values(visit_no), self.now, self.zone) if until else None
        hold.due = earlier(None if hold.late else hold.deadline, turn)
        return Outcome(result="open", due=hold.due, at=self.now)

    def _client_was_quicker(self, visit_no: int, step: Step, wait: Wait) -> bool:
        """Whether the client acted between the time it was due to open and its opening.

        At one instant the order decides: what came before the step had that due time is no such act.
        """
        _, before = self.dues.get((visit_no, step.rule), (None, self.before[visit_no]))
        due = step.due or self.now
        return any(at >= due and wait.ended_by(kind) for at, kind in self.client[before:])

    def _remember_dues(self) -> None:
        """What the client had done as a wait got the time at which it is due to open.

        Of the first rule of a chain that is the entry, however much later its visit is opened.
        """
        for visit in self.progress.visits:
            due = [s for s in visit.steps if s.status not in ("queued", "planning", "ended")]
            for step in [s for s in due if s.nature == "wait" and not s.holding]:
                key = visit.visit_no, step.rule
                if key not in self.dues and step.first:
                    self.dues[key] = step.due, self.before[visit.visit_no]
                elif key not in self.dues or self.dues[key][0] != step.due:
                    self.dues[key] = step.due, len(self.client)

    def _hold_acts(self, visit_no: int, step: Step) -> Outcome:
        hold = self.holds[visit_no, step.rule]
        if hold.due is None or self.now < hold.due:
            return Outcome(result="open", due=hold.due, at=self.now)
        if hold.kind == "control":
            return self._watch(visit_no, hold)
        if hold.kind == "task":
            end = HoldEnd(rule=step.rule, result="done", reason="", at=self.now, ended="timeout")
            self._end_hold(visit_no, end)
            return Outcome(result="done", at=self.now)
        follow = self._wait(visit_no, step.rule).on_timeout
        if isinstance(follow, MoveTo) and follow.move_to != self.stage:
            return self._move_by(step.rule, lambda: self._moved(follow.move_to, by=step.rule), "time")
        self._end_hold(visit_no, HoldEnd(rule=step.rule, result="done", reason="time", at=self.now))
        return Outcome(result="done", reason="time", at=self.now)

    def _edit_and_move(self, rule: Rule) -> Outcome:
        """Fields and the stage in one; what the loop guard or the pipeline refuses changes nothing."""
        sets = self._sets(rule)
        target = str(sets.pop("record.stage"))
        if target != self.stage and target not in self.pipelines[self.pipeline].stages:
            return Outcome(result="failed", reason="wrong_stage", at=self.now)
        if target == self.stage:
            return Outcome(result="done", at=self.now, changed=self._edit(sets))
        if not self._may_move():
            return Outcome(result="pending", waiting="suspended", due=self.now, at=self.now)
        changed = self._edit(sets)
        moved = self._move_by(rule.id, lambda: self._moved(target, by=rule.id))
        return moved.model_copy(update={"changed": changed})

    def _transit(self, step: Step, rule: Rule) -> Outcome:
        if rule.kind == "edit_record":
            return self._edit_and_move(rule)
        target = str(rule.params.get("stage") or rule.params.get("status") or "") or None
        if rule.kind == "delete_record":
            return self._moves(step.rule, lambda: self._deleted(step.rule))
        if rule.kind == "change_pipeline":
            pipeline = str(rule.params["pipeline"])
            landing = self._landing(pipeline, target)
            if landing is None:
                return Outcome(result="failed", reason="wrong_pipeline", at=self.now)
            return self._move_by(step.rule, lambda: self._piped(pipeline, landing, step.rule))
        if target is None or target == self.stage:
            return Outcome(result="done", at=self.now)
        return self._move_by(step.rule, lambda: self._moved(target, by=step.rule))

    def _move_by(self, rule: str, make: Callable[[], None], reason: str = "") -> Outcome:
        """An automatic move, unless the loop guard stops the record."""
        if not self._may_move():
            return Outcome(result="pending", waiting="suspended", due=self.now, at=self.now)
        self.moves.append(self.now)
        if hold := self.holds.pop((self.visit_no, rule), None):
            end = HoldEnd(rule=rule, result="done", reason=reason, at=self.now)
            self._bring(self.visit_no, rule, how_it_ended(hold.kind, None, end, "")[1])
        return self._moves(rule, make, reason)

    def _moves(self, rule: str, make: Callable[[], None], reason: str = "") -> Outcome:
        make()
        return Outcome(result="done", reason=reason, at=self.now, moved_to=self.visit_no)
