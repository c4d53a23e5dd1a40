"""The reference model: what one record's rules do, told a second time, from the specification alone.

Clear rather than fast, and nothing here comes from the product: the standard library and its two other parts
are all it imports, `reference_steps` (what it remembers) and `reference_values` (what it computes with).
`run` takes a scenario (plain JSON, described in `scenarios.py`) and gives the journal's outcomes.
Time is virtual. Every instant is an aware `datetime` in UTC.

How to read it: `Model.run` takes the events one by one; before each, `settle` does what is due; after
each, `settle` does what it made due at once. A step goes

    idle -> pending (turn came) -> ended
                 |-> no_value (its date is empty)       |-> open (a hold) -> ended
                 |-> unmet (condition false, `if_false: wait`)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from tests.model import reference_values as values
from tests.model.reference_steps import Caused, Chain, Step, Visit, full, listens, move_of, repeats
from tests.model.reference_values import DAY, HOUR, Calendar, Json, length_of, parse_instant

HOLDS = {"wait", "control"}
RESULTS = {"add_comment": "id", "create_todo": "id", "generate_code": "code", "send_email": "message_id"}
EVERYWHERE = {"record", "everything"}

Next = tuple[datetime, int, datetime, tuple[int, int], Callable[[], None]]


class Model:
    """One record, from its creation to the scenario's `until`."""

    def __init__(self, scenario: Json) -> None:
        self.scenario = scenario
        self.pipelines: dict[str, Json] = scenario["pipelines"]
        self.people: dict[str, Json] = scenario.get("people") or {}
        record = scenario["record"]
        self.pipeline: str = record["pipeline"]
        self.stage: str = record["stage"]
        self.responsible: str = record.get("responsible", "")
        self.absences = {who: list(data.get("absences", [])) for who, data in self.people.items()}
        self.fields: Json = {full(name): value for name, value in (record.get("fields") or {}).items()}
        self.results: dict[tuple[int, str], object] = {}  # of this visit's rules, by visit and reference
        self.now = datetime.min.replace(tzinfo=UTC)
        self.visit = Visit(0, 1, self.pipeline, self.now, self.now, 0)
        self.alive: list[Step] = []  # what has no outcome yet: oldest visit first, then as listed
        self.caused: list[Caused] = []
        self.entries: list[list[Any]] = []
        self.done: dict[tuple[str, str], list[tuple[datetime, Visit]]] = {}  # for `repeat`
        self.seen: set[str] = set()  # ids of client activities
        self.activities: list[tuple[datetime, str]] = []  # when, of what type
        self.fired: dict[str, datetime] = {}  # when a trigger last moved the record
        self.automatic: list[datetime] = []
        self.covers: set[str] = set()
        self.deleted = self.leaving = self.ending = False

    # ------------------------------------------------------------ events

    def run(self) -> list[list[Any]]:
        for event in self.scenario["events"]:
            self.settle(at := parse_instant(event["at"]))
            self.now = max(self.now, at)
            self.happen(event)
            self.settle(at)
        self.settle(parse_instant(self.scenario["until"]))
        return self.entries

    def happen(self, event: Json) -> None:
        kind = event["type"]
        if kind == "create":
            self.enter(self.stage)
        elif kind == "restore" and self.deleted:
            self.deleted = False
            self.enter(self.stage)
        elif self.visit.no and (not self.deleted or ":" in event.get("scope", "") or kind == "absence"):
            self.happen_to_record(kind, event)  # absences and others' covers are not the record's own

    def happen_to_record(self, kind: str, event: Json) -> None:
        match kind:
            case "move" | "change_pipeline" | "delete":
                self.transfer(event)
            case "client":
                self.client(event)
            case "task":
                self.close_tasks(event["rule"])
            case "edit":
                self.edit(event["fields"], event.get("stage"))
            case "suspend":
                self.covers.add(event.get("scope", "record"))
            case "resume":
                self.resume(event.get("scope", "record"))
            case "operate":
                self.operate(event)
            case "responsible":
                self.responsible = event["who"]
                self.follow({"responsible"})
            case "absence":
                self.absences.setdefault(event["who"], []).append([event["from"], event["to"]])
                self.follow(set())

    def transfer(self, event: Json) -> None:
        """A person moves the record: `through` some stages of which its journey hears too late."""
        way: list[str] = []
        for stage in (*event.get("through", ()), *([event["stage"]] if event["type"] == "move" else ())):
            if stage != (way[-1] if way else self.stage) and stage in self.stages():
                way.append(stage)  # else the call is refused, or changes nothing
        landing = None
        if event["type"] == "change_pipeline":
            landing = self.landing(event["pipeline"], event.get("stage"), way[-1] if way else self.stage)
        goes_on = bool(landing) or event["type"] == "delete"
        self.ending = goes_on  # of what is left on the way nothing goes on over a deletion or pipeline change
        for n, stage in enumerate(way, 1):
            self.move(stage, person=True, missed=goes_on or n < len(way))
        self.ending = False
        if landing:
            self.change_pipeline(event["pipeline"], landing)
        elif goes_on:
            self.delete()

    def client(self, event: Json) -> None:
        """A client activity ends the open waits that list its type; then triggers, then a wait's move."""
        if event["id"] in self.seen:
            return
        self.seen.add(event["id"])
        kind = event["kind"]
        self.activities.append((self.now, kind))
        ended = [s for s in self.alive if s.kind == "wait" and s.state == "open" and listens(s, kind)]
        self.leaving = True  # if a move comes with it
        for step in ended:
            self.end(step, "done", "client")
        open_record = event.get("bound") != "client" or self.meaning(self.stage) == "process"
        chosen = self.choose("client_activity", {kind}) if open_record else None
        mover = next((s for s in ended if (move_of(s, "on_client") or self.stage) != self.stage), None)
        moved = self.fire(chosen) if chosen else False
        if not chosen and mover and not self.covered(mover):
            moved = self.may_move() and self.move_by_itself(str(move_of(mover, "on_client")))
        self.leaving = False
        if not moved:
            self.follow({f"steps.{step.rule['id']}.ended" for step in ended})
            for step in ended:
                self.go_on(step.chain)

    def close_tasks(self, rule: str) -> None:
        """A person completes the tasks of a rule, one after the other; whose chain waits goes on."""
        for step in [s for s in self.alive if s.rule["id"] == rule and s.waits_for_task]:
            if step.state == "open":
                self.finish(step, "done")
                self.settle(self.now)

    def edit(self, changes: Json, stage: str | None = None) -> None:
        """New field values, and a new stage with them: then they are facts of the stage entered."""
        if stage is not None and stage not in self.stages():
            return
        changed = self.changed(changes)
        if stage is not None and stage != self.stage:
            self.move(stage, person=True, changes=changes)
            return
        facts = self.fields | {full(name): value for name, value in changes.items()}
        if not self.fire(self.choose("field_changed", changed, facts), changes):
            self.set_fields(changes)

    def changed(self, changes: Json) -> set[str]:
        return {full(n) for n, value in changes.items() if self.fields.get(full(n)) != value}

    def set_fields(self, changes: Json) -> None:
        changed = self.changed(changes)
        self.fields.update({full(name): value for name, value in changes.items()})
        if changed:
            self.follow(changed)

    # ------------------------------------------------------------ facts

    def follow(self, changed: set[str]) -> None:
        """Facts have changed: pending steps and open holds follow, conditions are judged again.

        What comes out as it was has not been moved. Only an open control asks which fact it was: what
        the clock does to it has its own turn.
        """
        for step in list(self.alive):
            follows = step.waits and not step.pinned and not step.chain.run_now
            if follows and self.planned(step, step.since or self.now) != ("", step.planned):
                self.plan(step, self.now)
            if step.kind == "control" and changed & values.reads(step.params.get("until")):
                self.judge_control(step)
            if step.state == "open" and not (step.late or step.pinned or step.waits_for_task):
                end = self.due_of(step.limit, step.opened or self.now)
                if end != step.planned:
                    step.planned, step.end = end, end and max(end, self.now)
        self.wake()

    def wake(self) -> None:
        """Judge again whatever waits for a condition, and see when the clock will turn it."""
        for step in () if self.leaving else list(self.alive):
            if step.state == "unmet" and self.holds(step.rule.get("condition"), step.visit):
                self.pend(step, self.now)
            self.watch(step)

    def watch(self, step: Step) -> None:
        """The first instant, this one or to come, at which the clock makes true what a step waits for."""
        tree, step.turned = step.waited_for, None
        by_clock = [one for one in values.comparisons(tree) if values.by_the_clock(one.get("value"))]
        zone, found = self.where()[0], set()
        for one in by_clock:
            found |= values.turns(self.value(one["field"], step.visit), one["value"], zone)
        coming = (at for at in sorted(found) if at >= self.now and self.holds(tree, step.visit, at))
        step.turned = next(coming, None)

    def turn(self, step: Step) -> None:
        """The clock has turned the condition of a step; a control ends by it, suspended or not."""
        if step.state == "unmet":
            self.pend(step, self.now)
        else:
            self.judge_control(step)
        self.watch(step)

    # ------------------------------------------------------------ suspension and people

    @property
    def suspended(self) -> bool:
        return bool(self.covers & (EVERYWHERE | {f"pipeline:{self.pipeline}"}))

    def covered(self, step: Step) -> bool:
        return self.suspended or f"rule:{step.rule['id']}" in self.covers

    def resume(self, scope: str) -> None:
        """What queued goes on, each step by its `catch_up`; a resumed record's moves are counted anew."""
        if scope not in self.covers:
            return
        queued = [s for s in self.alive if s.state == "pending" and self.covered(s)]
        self.covers.discard(scope)
        self.automatic = [] if scope == "record" else self.automatic
        for step in queued:
            step.overdue = max(step.due or self.now, step.visit.opened) < self.now and not self.covered(step)

    def catch_up(self, step: Step) -> bool:
        """An overdue step comes to act: is it dropped, or put off?"""
        policy, late = (
            step.schedule.get("catch_up", "run"),
            self.now - max(step.due or self.now, step.visit.opened),
        )
        step.overdue = False
        if dropped := "drop_if_late" in policy and late > length_of(policy["drop_if_late"]):
            self.finish(step, "skipped", "too_late")
        elif put_off := "spread_over" in policy and not step.spread:
            name = f"{self.scenario.get('workflow_id', 'deal-1')}/{step.rule['id']}"
            self.pend(step, self.now + length_of(policy["spread_over"]) * values.share_of(name))
            step.spread = True
        return dropped or put_off

    def operate(self, event: Json) -> None:
        """A person runs a pending step now, skips it, reschedules it; or ends a hold with these words."""
        visit_no, verb = event.get("visit") or self.visit.no, event["verb"]
        for step in [s for s in self.alive if s.rule["id"] == event["rule"] and s.visit.no == visit_no]:
            open_wait = step.state == "open" and (step.kind == "wait" or step.waits_for_task)
            if verb == "run_now" and self.covered(step):
                continue
            if verb == "reschedule":
                step.pinned = step.pinned or step.waits or (step.state == "open" and not step.late)
                if step.waits:
                    self.pend(step, parse_instant(event["due"]))
                elif step.state == "open" and not step.late:
                    step.end = parse_instant(event["due"])
            elif open_wait:
                self.finish(step, "done", "" if step.waits_for_task else "person")
            elif verb == "skip" and (step.waits or (step.state == "open" and step.kind == "control")):
                self.finish(step, "skipped", "operator")
            elif verb == "run_now" and step.waits:
                self.pend(step, self.now)
                step.pinned = True

    # ------------------------------------------------------------ the clock

    def settle(self, limit: datetime) -> None:
        """Do all that is due by `limit`, at its time: what acts last when nothing else is due then."""
        while True:
            due = (one for one in self.coming() if one[0] <= limit)
            coming: list[Next] = [(max(one[0], self.now), *one[1:]) for one in due]
            if not coming:
                return
            first = min(coming, key=lambda one: one[:-1])
            self.now = first[0]
            first[-1]()

    def coming(self) -> Iterator[Next]:
        """What the clock will do: when, in which order of what comes at one instant, and what.

        A visit opens and a condition turns (as a field changes) before what is due then; of that the
        earliest due, the older visit's, the topmost first; then of the transitions the topmost.
        """
        none = datetime.min.replace(tzinfo=UTC)
        if self.visit.opens and not self.deleted:
            yield self.visit.opens, 0, none, (self.visit.no, 0), self.open_visit
        for caused in self.caused:
            yield self.now, 3, none, caused.place, partial(self.fire_caused, caused)
        for step in self.alive:
            if step.clock and not self.covered(step):
                rank, first = (3, none) if step.acts_last else (2, step.clock)
                yield step.clock, rank, first, step.place, partial(self.take, step)
            if step.turned:  # an open control at its deadline is late before its condition holds
                rank = 1 if step.state == "unmet" else 2
                yield step.turned, rank, step.turned, step.place, partial(self.turn, step)

    def take(self, step: Step) -> None:
        if step.state == "open":
            self.time_out(step)
        elif self.may_act(step):
            self.act(step)

    def time_out(self, step: Step) -> None:
        """The end of an open wait, or the deadline of an open control, has come."""
        target = move_of(step, "on_timeout")
        if step.kind == "control":
            step.late, step.end = True, None
            self.note(step, "late", "")
            self.result(step, "state", "late")
        elif target and target != self.stage:
            if self.may_move():
                self.leaving = True
                self.end(step, "done", "time")
                self.supersede()
                self.move_by_itself(target)
        else:
            self.finish(step, "done", "" if step.waits_for_task else "time")

    def may_act(self, step: Step) -> bool:
        """`catch_up`, `repeat`, the condition. False: the step was skipped, or waits for its condition."""
        if step.overdue and self.catch_up(step):
            return False
        if repeats(step, self.done.get((step.visit.pipeline, step.rule["id"]), []), self.now):
            self.finish(step, "skipped", "repeat")
        elif not self.holds(step.rule.get("condition"), step.visit):
            if step.rule.get("if_false") == "wait" and not step.chain.run_now:
                step.state, step.due = "unmet", None
                self.watch(step)
            else:
                self.finish(step, "skipped", "condition")
        else:
            return True
        return False

    def act(self, step: Step) -> None:
        if step.kind in HOLDS or (step.waits_for_task and not step.chain.run_now):
            self.open(step)
        elif step.is_transition:
            self.transit(step)
        else:
            self.end(step, "done")
            if step.kind == "edit_record":
                self.set_by_rule(step)
            self.go_on(step.chain)

    def set_by_rule(self, step: Step) -> None:
        changes = {name: value for name, value in step.sets.items() if name != "stage"}
        changed = self.changed(changes)
        self.set_fields(changes)
        if changed and self.pipelines[self.pipeline].get("triggers"):
            self.caused.append(Caused(step.place, changed))

    # ------------------------------------------------------------ holds

    def open(self, step: Step) -> None:
        """A hold opens, and its end is computed from its opening; what has ended it already ends it."""
        was_due, until = step.due or self.now, step.params.get("until") if step.kind == "control" else None
        end, resolved = self.due_of(step.limit, self.now), bool(until) and self.holds(until, step.visit)
        ends_by, first = values.by_policy(step.limit, end, self.now)
        if ends_by and not resolved:
            return self.finish(step, "skipped" if step.limit[ends_by] == "skip" else "failed", ends_by)
        step.state, step.opened, step.due, step.turned = "open", self.now, None, None
        step.pinned, step.planned, step.end = False, end, first
        if resolved:
            return self.finish(step, "done", "resolved")
        if step.kind == "control":
            self.result(step, "state", "watching")
        since = self.activities[step.heard :] if step.kind == "wait" else []
        if any(at >= was_due and listens(step, kind) for at, kind in since):
            return self.finish(step, "done", "client")  # too late for its move
        self.watch(step)
        return None if step.blocks else self.go_on(step.chain)

    def judge_control(self, step: Step) -> None:
        """An open control ends when its condition holds."""
        if step.state == "open" and step.params.get("until") and self.holds(step.params["until"], step.visit):
            self.end(step, "done", "resolved_late" if step.late else "resolved")

    # ------------------------------------------------------------ transitions

    def transit(self, step: Step) -> None:
        """A transition acts: the first that moves or ends the record wins."""
        changes = dict(step.sets) if step.kind == "edit_record" else {}
        stage: Any = changes.pop("stage", step.params.get("stage", step.params.get("status")))
        if step.kind == "delete_record":
            self.end(step, "done")
            self.supersede()
            self.delete()
        elif step.kind == "change_pipeline":
            landing = self.landing(step.params["pipeline"], stage, self.stage)
            if not landing:
                self.finish(step, "failed", "wrong_pipeline")
            elif self.may_move():
                self.automatic.append(self.now)
                self.end(step, "done")
                self.supersede()
                self.change_pipeline(step.params["pipeline"], landing)
        elif stage == self.stage:
            self.end(step, "done")
            if changes:
                self.set_by_rule(step)
            self.go_on(step.chain)
        elif self.may_move():
            self.end(step, "done")
            self.supersede()
            self.move_by_itself(stage, changes)

    def may_move(self) -> bool:
        """The loop guard: may one more automatic move be made? If not, the record is suspended."""
        hour = sum(at > self.now - HOUR for at in self.automatic)
        week = sum(at > self.now - 7 * DAY for at in self.automatic)
        if hour >= 10 or week >= 50:
            self.covers.add("record")
            return False
        return True

    def move_by_itself(self, stage: str, changes: Json | None = None) -> bool:
        self.automatic.append(self.now)
        self.move(stage, changes=changes)
        return True

    def supersede(self) -> None:
        for step in list(self.alive):
            if step.visit is self.visit and step.acts_last and step.clock and step.clock <= self.now:
                self.end(step, "superseded")

    # ------------------------------------------------------------ triggers

    def choose(self, on: str, what: set[str], facts: Json | None = None) -> Json | None:
        """Of the triggers that match the one that moves: by stage order, forward before backward."""
        stages, kept = self.stages(), self.fields
        self.fields = facts or kept
        ranked = []
        for n, trigger in enumerate(self.pipelines[self.pipeline].get("triggers", [])):
            place, here = stages.index(trigger["stage"]), stages.index(self.stage)
            only, once = (
                {full(w) if on == "field_changed" else w for w in trigger.get("only", ())},
                trigger.get("once"),
            )
            forward = self.meaning(self.stage) == "process" and place > here
            past = self.fired.get(trigger["id"])
            if (
                trigger["on"] == on
                and (only & what if only else what)
                and place != here
                and (forward or trigger.get("direction", "forward") == "any")
                and not (once == "per_visit" and trigger["id"] in self.visit.triggered)
                and not (once == "per_record" and past)
                and not (
                    past and trigger.get("cool_down") and past > self.now - length_of(trigger["cool_down"])
                )
                and self.holds(trigger.get("condition"), self.visit)
            ):
                ranked.append((place < here, place, n, trigger))
        self.fields = kept
        return min(ranked)[-1] if ranked else None

    def fire(self, trigger: Json | None, changes: Json | None = None, by_rule: bool = False) -> bool:
        """A trigger moves the record, with what was edited, unless that is suspended, or is now."""
        if not trigger or self.suspended or not self.may_move():
            return False
        self.fired[trigger["id"]] = self.now
        self.visit.triggered.add(trigger["id"])
        if by_rule:
            self.supersede()
        return self.move_by_itself(trigger["stage"], changes)

    def fire_caused(self, caused: Caused) -> None:
        """The triggers of a rule's edit, when nothing else is due."""
        self.caused.remove(caused)
        self.fire(self.choose("field_changed", caused.changed), by_rule=True)

    # ------------------------------------------------------------ pipelines, deletion

    def stages(self) -> list[str]:
        return [str(stage["id"]) for stage in self.pipelines[self.pipeline]["stages"]]

    def meaning(self, stage: str) -> str:
        stages = self.pipelines[self.pipeline]["stages"]
        return next(str(found["meaning"]) for found in stages if found["id"] == stage)

    def landing(self, pipeline: str, stage: str | None, from_stage: str) -> str | None:
        """Where a pipeline change lands: the given stage, else the first of the same meaning."""
        if pipeline == self.pipeline or pipeline not in self.pipelines:
            return None
        stages = self.pipelines[pipeline]["stages"]
        meaning = self.meaning(from_stage)
        fits = (s["id"] for s in stages if (s["id"] == stage if stage else s["meaning"] == meaning))
        return next(fits, None)

    def move(
        self, stage: str, *, person: bool = False, missed: bool = False, changes: Json | None = None
    ) -> None:
        closing = self.meaning(self.stage) == "process" and self.meaning(stage) != "process"
        self.leave("closed" if closing else "left_stage", changes or {})
        self.enter(stage, person=person, missed=missed)

    def change_pipeline(self, pipeline: str, stage: str) -> None:
        self.end_all("pipeline_changed")
        self.pipeline = pipeline
        self.enter(stage, new_pass=True)

    def delete(self) -> None:
        self.end_all("record_deleted")
        self.deleted = True

    def end_all(self, reason: str) -> None:
        self.caused.clear()
        self.leaving = True
        while self.alive:
            self.end(self.alive[0], "cancelled", reason)
        self.leaving = False

    # ------------------------------------------------------------ entering and leaving

    def enter(
        self, stage: str, *, person: bool = False, missed: bool = False, new_pass: bool = False
    ) -> None:
        """A visit begins: its rules are cut into chains. It opens at once, or after the grace, or never."""
        self.stage = stage
        no, pass_no, heard = self.visit.no + 1, self.visit.pass_no + new_pass, len(self.activities)
        self.visit = visit = Visit(no, pass_no, self.pipeline, self.now, self.now, heard)
        for index, rule in enumerate(self.pipelines[self.pipeline].get("rules", {}).get(stage, [])):
            if not (visit.chains and rule.get("after_previous")):
                visit.chains.append(Chain(rule.get("on_exit", "cancel")))
            if rule.get("active", True):
                step = Step(rule, visit, visit.chains[-1], index)
                step.chain.steps.append(step)
                self.alive.append(step)
        grace = length_of(self.pipelines[self.pipeline].get("grace") or {}) if person else timedelta(0)
        visit.missed, visit.opens = missed, self.now + grace if grace else None
        self.follow({"record.stage", "record.pipeline", "record.entered_at"})
        if not missed and not grace:
            self.open_visit()

    def open_visit(self) -> None:
        """The turn of each chain's first rule comes, as of the stage entry."""
        self.visit.opens, self.visit.opened = None, self.now
        for chain in self.visit.chains:
            self.go_on(chain)

    def leave(self, reason: str, changes: Json) -> None:
        """The stage is left for another of the same pipeline; kept steps of older visits are not touched.

        `changes` are set with the move: nothing that ends here sees them, what goes on does.
        """
        visit, leaving = self.visit, [step for step in self.alive if step.visit is self.visit]
        self.caused.clear()
        self.leaving = True
        for step in leaving:
            chain = step.chain
            chain.left = True
            if visit.opens:  # a slip of the hand
                self.end(step, "stale", "left_before_start")
            elif step.kind == "control" and step.state == "open" and not step.params.get("until"):
                self.end(step, "done", "resolved_late" if step.late else "resolved")
            elif step.waits_for_task and step.state == "open":  # the task exists
                chain.cut = chain.cut or chain.on_exit == "keep"
                self.end(step, "done")
            elif chain.on_exit == "cancel" and visit.missed:
                self.end(step, "stale", "left_before_start")
            elif chain.on_exit == "cancel" or chain.cut or step.kind in HOLDS or step.is_transition:
                chain.cut = chain.cut or (step.blocks and chain.on_exit == "keep")
                self.end(step, "cancelled", reason)
            elif chain.run_now and step.in_progress:
                self.pend(step, min(step.due or self.now, self.now))  # what has queued is late all the same
        self.leaving = False
        self.set_fields(changes)
        for chain in visit.chains:
            self.go_on(chain)

    # ------------------------------------------------------------ chains

    def go_on(self, chain: Chain) -> None:
        """The chain arrives at its next rule, unless one of its rules holds it up."""
        while not self.ending and not any(step.in_progress for step in chain.steps):
            place = next((n for n, step in enumerate(chain.steps) if step.state == "idle"), None)
            if place is None:
                return
            step, above = chain.steps[place], chain.steps[place - 1] if place else None
            asked = step.rule.get("run_if_previous", "any")
            had = above and (above.outcome or "done")  # an open control or marker counts as done
            fine = {"any": (had,), "done": ("done",), "done_or_skipped": ("done", "skipped")}[asked]
            if above and had not in fine:
                self.end(step, "skipped", "run_if_previous")
            else:
                step.turn = self.now if above else step.visit.entered
                self.plan(step, step.turn)
                step.heard = step.heard if above else step.visit.heard

    def plan(self, step: Step, since: datetime) -> None:
        """Compute a step's due time, as its turn comes or, later, as a fact moves it (`since`)."""
        if step.chain.run_now:
            return self.pend(step, self.now)
        step.since, (ends_by, step.planned) = since, self.planned(step, since)
        if ends_by:
            return self.finish(step, "skipped" if step.schedule[ends_by] == "skip" else "failed", ends_by)
        if step.planned is None:
            step.state, step.due, step.turned = "no_value", None, None
            return None
        return self.pend(step, step.planned)

    def planned(self, step: Step, since: datetime) -> tuple[str, datetime | None]:
        """`if_past` or `if_empty`, if that ends the step; its due time, None while it has no value."""
        return values.by_policy(step.schedule, self.due_of(step.schedule, step.turn or self.now), since)

    def pend(self, step: Step, due: datetime) -> None:
        """A step has got a due time."""
        step.state, step.due, step.overdue, step.turned = "pending", due, False, None
        step.heard = len(self.activities)

    def finish(self, step: Step, outcome: str, reason: str = "") -> None:
        self.end(step, outcome, reason)
        self.go_on(step.chain)

    def end(self, step: Step, outcome: str, reason: str = "") -> None:
        step.state, step.outcome, step.turned = "ended", outcome, None
        self.alive.remove(step)
        if outcome == "done":
            key = (step.visit.pipeline, str(step.rule["id"]))
            self.done.setdefault(key, []).append((self.now, step.visit))
        self.note(step, outcome, reason)
        if step.kind == "control" and step.opened:
            self.result(step, "state", reason if outcome == "done" else "given_up")
        elif step.kind == "wait" and step.opened:
            self.result(step, "ended", reason if outcome == "done" else "cancelled")
        elif outcome == "done" and step.kind in RESULTS:
            self.result(step, RESULTS[step.kind], "something")

    def result(self, step: Step, name: str, value: object) -> None:
        """A result of a rule: a changed field for what waits in its visit, unless that is just being left."""
        self.results[step.visit.no, f"steps.{step.rule['id']}.{name}"] = value
        for other in () if self.leaving else list(self.alive):
            read = values.reads(other.params.get("until")) if other.kind == "control" else set()
            if f"steps.{step.rule['id']}.{name}" in read:
                self.judge_control(other)
        self.wake()

    def note(self, step: Step, outcome: str, reason: str) -> None:
        at = self.now.isoformat(timespec="microseconds")
        self.entries.append([at, step.visit.no, step.rule["id"], outcome, reason])

    # ------------------------------------------------------------ schedules and conditions of this record

    def value(self, reference: str, visit: Visit) -> object:
        """A field's value."""
        own = {"stage": self.stage, "pipeline": self.pipeline, "entered_at": self.visit.entered.isoformat()}
        if reference.startswith("steps."):
            return self.results.get((visit.no, reference))
        return self.fields.get(reference, own.get(reference.removeprefix("record.")))

    def where(self) -> tuple[ZoneInfo, Calendar | None]:
        """Zone and working time: the responsible's, else the scenario's, each calendar in its own zone."""
        one, company = self.people.get(self.responsible, {}), self.scenario["zone"]
        zone = one.get("zone") or company
        data = one.get("calendar") or self.scenario.get("calendar")
        its = zone if one.get("calendar") else company
        return ZoneInfo(zone), values.calendar_of(json.dumps(data), its) if data else None

    def due_of(self, schedule: Json, turn: datetime) -> datetime | None:
        """What a schedule comes to with the facts of this moment; None when its date is empty."""
        zone, calendar = self.where()
        basis = schedule.get("basis") or "now"
        written = None if basis == "now" else self.value(basis, self.visit)
        return values.due_of(schedule, turn, written, zone, calendar, self.absences.get(self.responsible, []))

    def holds(self, tree: Json | None, visit: Visit, at: datetime | None = None) -> bool:
        """Judge a condition now, or as it will be at an instant if no field changes."""
        if not tree:
            return True
        if "all" in tree:
            return all(self.holds(part, visit, at) for part in tree["all"])
        if "any" in tree:
            return any(self.holds(part, visit, at) for part in tree["any"])
        if "not" in tree:
            return not self.holds(tree["not"], visit, at)
        zone, right = self.where()[0], tree.get("value", "")
        if values.by_the_clock(right):
            right = values.clock_operand(right, at or self.now, zone)
        elif isinstance(right, dict):
            right = self.value(right["field"], visit)
        return values.compare(tree["op"], self.value(tree["field"], visit), right, zone)


def run(scenario: Json) -> list[list[Any]]:
    """A scenario's outcomes as decided: [instant (ISO, UTC), visit_no, rule, outcome, reason]."""
    return Model(scenario).run()
