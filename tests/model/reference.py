"""The reference model: what one record's rules do, told a second time, from the specification alone.

Clear rather than fast, and nothing here comes from the product: the standard library is all it imports,
its calendar arithmetic is its own. `run` takes a scenario (plain JSON) and gives the journal's outcomes.
Time is virtual. Every instant inside is an aware `datetime` in UTC.

How to read it: `Model.run` takes the events one by one; before each, `settle` does what is due; after
each, `settle` does what it made due at once. A step goes

    idle -> pending (turn came) -> ended
                 |-> no_value (its date is empty)       |-> open (a hold) -> ended
                 |-> unmet (condition false, `if_false: wait`)
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

Json = dict[str, Any]

TRANSITIONS = {"change_stage", "change_status", "change_pipeline", "delete_record"}
HOLDS = {"wait", "control"}
WRONG_PIPELINE = "wrong_pipeline"  # the reason of a `change_pipeline` that cannot be
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


# ---------------------------------------------------------------- clocks and calendars


def parse_instant(text: str) -> datetime:
    """An instant with an offset, as UTC."""
    return datetime.fromisoformat(text).astimezone(UTC)


def at_wall(day: date, clock: time, zone: ZoneInfo) -> datetime:
    """The instant of a wall-clock time: one that does not exist moves forward by the gap, of two the first.

    `fold=0` is both: in a gap it takes the offset from before it, of two equal times the first.
    """
    return datetime.combine(day, clock.replace(fold=0), zone).astimezone(UTC)


class Calendar:
    """Working time: `week` by day name, `holidays`, and `exceptions` (a date's own intervals)."""

    def __init__(self, data: Json, zone: str) -> None:
        self.zone = ZoneInfo(data.get("zone") or zone)
        self.week = [data.get("week", {}).get(name, []) for name in WEEKDAYS]
        self.special: dict[str, list[list[str]]] = {day: [] for day in data.get("holidays", [])}
        self.special.update(data.get("exceptions", {}))
        self.known: dict[date, list[tuple[datetime, datetime]]] = {}

    def intervals(self, day: date) -> list[tuple[datetime, datetime]]:
        """The working intervals of a local day, in order, in UTC."""
        if day not in self.known:
            spans = self.special.get(day.isoformat(), self.week[day.weekday()])
            self.known[day] = sorted((self._instant(day, a), self._instant(day, b)) for a, b in spans)
        return self.known[day]

    def _instant(self, day: date, clock: str) -> datetime:
        if clock == "24:00":
            return at_wall(day + DAY, time(0), self.zone)
        return at_wall(day, time.fromisoformat(clock), self.zone)

    def _around(self, at: datetime, sign: int) -> Iterator[tuple[datetime, datetime]]:
        """All intervals that may touch what comes after (sign 1) or before (sign -1) an instant."""
        day = at.astimezone(self.zone).date() - sign * DAY
        for n in range(5 * 366):
            spans = self.intervals(day + sign * n * DAY)
            yield from spans if sign > 0 else reversed(spans)
        raise ValueError("no working time")

    def forward(self, at: datetime) -> datetime:
        """The first working instant from `at` on; both ends of an interval belong to it."""
        return next(max(start, at) for start, end in self._around(at, 1) if at <= end)

    def count_time(self, at: datetime, left: timedelta, sign: int) -> datetime:
        """`left` of working time after (sign 1) or before (sign -1) `at`."""
        for start, end in self._around(at, sign):
            first, last = (max(start, at), end) if sign > 0 else (start, min(end, at))
            if last <= first:
                continue
            if last - first >= left:
                return first + left if sign > 0 else last - left
            left -= last - first
        raise ValueError("no working time")

    def count_days(self, day: date, left: int, sign: int) -> date:
        """The `left`-th working day after (before) a day."""
        while left:
            day += sign * DAY
            left -= bool(self.intervals(day))
        return day


@cache
def calendar_of(text: str, zone: str) -> Calendar:
    return Calendar(json.loads(text), zone)


def read_moment(value: object, zone: ZoneInfo) -> datetime | None:
    """A date field's instant: a bare date is its 00:00 in the zone; None if empty or unreadable."""
    if not isinstance(value, str):
        return None
    try:
        if len(value) == 10:
            return at_wall(date.fromisoformat(value), time(0), zone)
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return at_wall(moment.date(), moment.time(), zone)
    return moment.astimezone(UTC)


def length_of(period: Json) -> timedelta:
    """A period as elapsed time, a day being 24 hours."""
    return timedelta(**period)


# ---------------------------------------------------------------- conditions


def is_empty(value: object) -> bool:
    return value is None or value in ("", [])


def number(value: object) -> Decimal | None:
    if isinstance(value, bool):
        return None
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def order(left: object, right: object, zone: ZoneInfo) -> int:
    """-1, 0 or 1: as numbers, else as instants, else as texts without regard to case."""
    moment = read_moment(left, zone)
    if moment and len(str(left)) == 10:  # a bare date is compared as a date
        left, other = (
            moment.astimezone(zone).date().isoformat(),
            read_moment(right, zone) if isinstance(right, str) else right,
        )
        right = other.astimezone(zone).date().isoformat() if isinstance(other, datetime) else right
        return (left > str(right)) - (left < str(right))
    for read in (number, lambda value: value if isinstance(value, datetime) else read_moment(value, zone)):
        a, b = read(left), read(right)
        if a is not None and b is not None:
            return (a > b) - (a < b)  # type: ignore[operator]  # both were read by the same reader
    text, than = str(left).casefold(), str(right).casefold()
    return (text > than) - (text < than)


def fields_read(tree: Json | None) -> set[str]:
    """The references a condition reads."""
    if not tree:
        return set()
    for word in ("all", "any"):
        if word in tree:
            return set().union(*(fields_read(part) for part in tree[word]))
    if "not" in tree:
        return fields_read(tree["not"])
    value = tree.get("value")
    other = {value["field"]} if isinstance(value, dict) and "field" in value else set()
    return {tree["field"]} | other


# ---------------------------------------------------------------- visits, chains, steps


@dataclass(eq=False)
class Chain:
    on_exit: str
    steps: list[Step] = field(default_factory=list)
    left: bool = False  # the stage was left, and this chain's rest goes on by `on_exit`
    cut: bool = False  # a blocking wait that had not ended stood in a kept chain

    @property
    def run_now(self) -> bool:
        return self.left and self.on_exit == "run_now"


@dataclass(eq=False)
class Visit:
    no: int
    pass_no: int
    pipeline: str


@dataclass(eq=False)
class Step:
    rule: Json
    visit: Visit
    chain: Chain
    index: int
    state: str = "idle"
    due: datetime | None = None  # of a pending step
    turn: datetime | None = None
    opened: datetime | None = None  # of a hold
    end: datetime | None = None  # when an open wait ends, or an open control becomes late
    late: bool = False
    outcome: str = ""

    @property
    def kind(self) -> str:
        return str(self.rule["kind"])

    @property
    def params(self) -> Json:
        return self.rule.get("params") or {}

    @property
    def schedule(self) -> Json:
        return self.rule.get("schedule") or {}

    @property
    def limit(self) -> Json:
        """The schedule of a hold's end."""
        word = {"wait": "until", "control": "deadline"}.get(self.kind)
        return (self.params[word] or {}) if word else {"after": self.params["hold_timeout"]}

    @property
    def waits_for_task(self) -> bool:
        return self.kind == "create_task" and bool(self.params.get("hold_until_closed"))

    @property
    def blocks(self) -> bool:
        return self.waits_for_task or (self.kind == "wait" and self.params.get("mode", "block") == "block")

    @property
    def acts_last(self) -> bool:
        """A transition, or a wait whose time-out moves the record."""
        return self.kind in TRANSITIONS or (self.state == "open" and move_of(self, "on_timeout") is not None)

    @property
    def clock(self) -> datetime | None:
        """The next instant at which the clock concerns this step."""
        return self.due if self.state == "pending" else self.end if self.state == "open" else None

    @property
    def in_progress(self) -> bool:
        """Does this step hold up its chain?"""
        return self.state in ("pending", "no_value", "unmet") or (self.state == "open" and self.blocks)


def move_of(step: Step, word: str) -> str | None:
    """The stage a wait's `on_client` or `on_timeout` moves to."""
    what = step.params.get(word)
    return what.get("move_to") if step.kind == "wait" and isinstance(what, dict) else None


class Model:
    """One record, from its creation to the scenario's `until`."""

    def __init__(self, scenario: Json) -> None:
        self.scenario = scenario
        self.pipelines: dict[str, Json] = scenario["pipelines"]
        self.zone = ZoneInfo(scenario["zone"])
        data = scenario.get("calendar")
        self.calendar = calendar_of(json.dumps(data), scenario["zone"]) if data else None
        record = scenario["record"]
        self.pipeline: str = record["pipeline"]
        self.stage: str = record["stage"]
        self.fields: Json = dict(record.get("fields") or {})
        self.now = datetime.min.replace(tzinfo=UTC)
        self.visit = Visit(0, 1, self.pipeline)
        self.alive: list[Step] = []  # what has no outcome yet: oldest visit first, then as listed
        self.entries: list[list[Any]] = []
        self.done: dict[tuple[str, str], list[tuple[datetime, Visit]]] = {}  # for `repeat`
        self.seen: set[str] = set()  # ids of client activities
        self.automatic: list[datetime] = []
        self.suspended = False
        self.deleted = False

    # ------------------------------------------------------------ events

    def run(self) -> list[list[Any]]:
        for event in self.scenario["events"]:
            at = parse_instant(event["at"])
            self.settle(at)
            self.now = max(self.now, at)
            self.happen(event)
            self.settle(at)
        self.settle(parse_instant(self.scenario["until"]))
        return self.entries

    def happen(self, event: Json) -> None:
        kind = event["type"]
        if kind == "create":
            self.enter(self.stage)
        elif self.deleted or not self.visit.no:
            return
        elif kind == "move":
            stages = [stage["id"] for stage in self.pipelines[self.pipeline]["stages"]]
            if event["stage"] != self.stage and event["stage"] in stages:  # else the call is refused
                self.move(event["stage"])
        elif kind == "change_pipeline":
            landing = self.landing(event["pipeline"], event.get("stage"))
            if landing:
                self.change_pipeline(event["pipeline"], landing)
        elif kind == "client":
            self.client(event)
        elif kind == "task":
            self.close_tasks(event["rule"])
        elif kind == "edit":
            self.edit(event["fields"])
        elif kind == "delete":
            self.delete()

    def client(self, event: Json) -> None:
        """A client activity ends the open waits that list its type; the topmost's move is made with it."""
        if event["id"] in self.seen:
            return
        self.seen.add(event["id"])
        ended = []
        for step in list(self.alive):
            ends_on = step.params.get("ends_on")
            if step.kind == "wait" and step.state == "open" and (not ends_on or event["kind"] in ends_on):
                self.end(step, "done", "client")
                ended.append(step)
        targets = [move_of(step, "on_client") for step in ended]
        target = next((stage for stage in targets if stage and stage != self.stage), None)
        if target and self.may_move():
            self.automatic.append(self.now)
            self.move(target)
        else:
            for step in ended:
                self.go_on(step.chain)

    def close_tasks(self, rule: str) -> None:
        """A person completes the tasks of a rule, one after the other; whose chain waits goes on."""
        for step in [s for s in self.alive if s.rule["id"] == rule and s.waits_for_task]:
            if step in self.alive and step.state == "open":
                self.finish(step, "done")
                self.settle(self.now)

    def edit(self, changes: Json) -> None:
        """New field values: pending steps and open holds follow, conditions are judged again."""
        changed = {f"record.{name}" for name, value in changes.items() if self.fields.get(name) != value}
        self.fields.update(changes)
        if not changed:
            return
        for step in list(self.alive):
            if step.state in ("pending", "no_value", "unmet"):
                if step.schedule.get("basis") in changed and not step.chain.run_now:
                    self.plan(step)
            elif step.kind == "control" and fields_read(step.params.get("until")) & changed:
                self.judge_control(step)
            if step.state == "open" and step.limit.get("basis") in changed and not step.late:
                end = self.due_of(step.limit, step.opened or self.now)
                step.end = end and max(end, self.now)
        for step in list(self.alive):
            condition = step.rule.get("condition")
            if step.state == "unmet" and fields_read(condition) & changed and self.holds(condition):
                step.state, step.due = "pending", self.now

    # ------------------------------------------------------------ the clock

    def settle(self, limit: datetime) -> None:
        """Do all that is due by `limit`, at its time: what acts last when nothing else is due then."""
        while not self.suspended:
            timed = [(s.clock, s) for s in self.alive if s.clock is not None and s.clock <= limit]
            if not timed:
                return
            _, step = min(timed, key=lambda pair: (max(pair[0], self.now), pair[1].acts_last))
            self.now = max(self.now, step.clock or self.now)
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
        elif target and target != self.stage:
            if self.may_move():
                self.automatic.append(self.now)
                self.end(step, "done", "time")
                self.supersede()
                self.move(target)
        else:
            self.finish(step, "done", "" if step.waits_for_task else "time")

    def may_act(self, step: Step) -> bool:
        """`repeat`, then the condition. False: the step was skipped, or waits for its condition."""
        rule = step.rule
        if self.repeats(step):
            self.finish(step, "skipped", "repeat")
        elif not self.holds(rule.get("condition")):
            if rule.get("if_false") == "wait" and not step.chain.run_now:
                step.state, step.due = "unmet", None
            else:
                self.finish(step, "skipped", "condition")
        else:
            return True
        return False

    def repeats(self, step: Step) -> bool:
        """Does `repeat` forbid this step, for what the same rule did in other visits?"""
        repeat = step.rule.get("repeat", "every_visit")
        if repeat == "every_visit":
            return False
        for at, visit in self.done.get((step.visit.pipeline, step.rule["id"]), []):
            if repeat == "once_per_record":
                return True
            if repeat == "once_per_pipeline_pass" and visit.pass_no == step.visit.pass_no:
                return True
            if isinstance(repeat, dict) and at > self.now - length_of(repeat["not_within"]):
                return True
        return False

    def act(self, step: Step) -> None:
        if step.kind in HOLDS or (step.waits_for_task and not step.chain.run_now):
            self.open(step)
        elif step.kind in TRANSITIONS:
            self.transit(step)
        else:
            self.end(step, "done")
            if step.kind == "edit_record":
                sets = step.params["set"]
                self.edit({item["field"].removeprefix("record."): item["value"] for item in sets})
            self.go_on(step.chain)

    # ------------------------------------------------------------ holds

    def open(self, step: Step) -> None:
        """A hold opens, and its end is computed from its opening."""
        end = self.due_of(step.limit, self.now)
        word = "if_empty" if end is None else "if_past" if end < self.now else ""
        policy = step.limit.get(word) or ("wait_for_value" if word == "if_empty" else "run_now")
        if word and policy in ("skip", "fail"):
            return self.finish(step, "skipped" if policy == "skip" else "failed", word)
        step.state, step.opened, step.due = "open", self.now, None
        step.end = self.now if word and policy == "run_now" else end
        if step.kind == "control":
            self.judge_control(step)
        if not step.blocks:
            self.go_on(step.chain)
        return None

    def judge_control(self, step: Step) -> None:
        """An open control ends when its condition holds."""
        if step.state == "open" and step.params.get("until") and self.holds(step.params["until"]):
            self.end(step, "done", "resolved_late" if step.late else "resolved")

    # ------------------------------------------------------------ transitions

    def transit(self, step: Step) -> None:
        """A transition acts: the first that moves or ends the record wins."""
        stage: Any = step.params.get("stage", step.params.get("status"))
        if step.kind == "delete_record":
            self.end(step, "done")
            self.supersede()
            self.delete()
        elif step.kind == "change_pipeline":
            landing = self.landing(step.params["pipeline"], stage)
            if not landing:
                self.finish(step, "failed", WRONG_PIPELINE)
            elif self.may_move():
                self.automatic.append(self.now)
                self.end(step, "done")
                self.supersede()
                self.change_pipeline(step.params["pipeline"], landing)
        elif stage == self.stage:
            self.finish(step, "done")
        elif self.may_move():
            self.automatic.append(self.now)
            self.end(step, "done")
            self.supersede()
            self.move(stage)

    def may_move(self) -> bool:
        """The loop guard: may one more automatic move be made? If not, the record is suspended."""
        hour = sum(at > self.now - HOUR for at in self.automatic)
        week = sum(at > self.now - 7 * DAY for at in self.automatic)
        self.suspended = self.suspended or hour > 10 or week > 50
        return not self.suspended

    def supersede(self) -> None:
        for step in list(self.alive):
            if step.visit is self.visit and step.acts_last and step.clock and step.clock <= self.now:
                self.end(step, "superseded")

    def meaning(self, stage: str) -> str:
        stages = self.pipelines[self.pipeline]["stages"]
        return next(str(found["meaning"]) for found in stages if found["id"] == stage)

    def landing(self, pipeline: str, stage: str | None) -> str | None:
        """Where a pipeline change lands: the given stage, else the first of the same meaning."""
        if pipeline == self.pipeline or pipeline not in self.pipelines:
            return None
        stages = self.pipelines[pipeline]["stages"]
        meaning = self.meaning(self.stage)
        fits = (s["id"] for s in stages if (s["id"] == stage if stage else s["meaning"] == meaning))
        return next(fits, None)

    def move(self, stage: str) -> None:
        closing = self.meaning(self.stage) == "process" and self.meaning(stage) != "process"
        self.leave("closed" if closing else "left_stage")
        self.enter(stage)

    def change_pipeline(self, pipeline: str, stage: str) -> None:
        self.end_all("pipeline_changed")
        self.pipeline = pipeline
        self.enter(stage, new_pass=True)

    def delete(self) -> None:
        self.end_all("record_deleted")
        self.deleted = True

    def end_all(self, reason: str) -> None:
        for step in list(self.alive):
            self.end(step, "cancelled", reason)

    # ------------------------------------------------------------ entering and leaving

    def enter(self, stage: str, new_pass: bool = False) -> None:
        """A visit opens: its rules are cut into chains, and the turn of each chain's first rule comes."""
        self.stage = stage
        self.visit = Visit(self.visit.no + 1, self.visit.pass_no + new_pass, self.pipeline)
        chains: list[Chain] = []
        for index, rule in enumerate(self.pipelines[self.pipeline].get("rules", {}).get(stage, [])):
            if not (chains and rule.get("after_previous")):
                chains.append(Chain(rule.get("on_exit", "cancel")))
            if rule.get("active", True):
                step = Step(rule, self.visit, chains[-1], index)
                chains[-1].steps.append(step)
                self.alive.append(step)
        for chain in chains:
            self.go_on(chain)

    def leave(self, reason: str) -> None:
        """The stage is left for another of the same pipeline; kept steps of older visits are not touched."""
        leaving = [step for step in self.alive if step.visit is self.visit]
        for step in leaving:
            chain = step.chain
            chain.left = True
            if step.kind == "control" and step.state == "open" and not step.params.get("until"):
                self.end(step, "done", "resolved_late" if step.late else "resolved")
            elif step.waits_for_task and step.state == "open":  # the task exists
                chain.cut = chain.cut or chain.on_exit == "keep"
                self.end(step, "done")
            elif chain.on_exit == "cancel" or chain.cut or step.kind in HOLDS or step.kind in TRANSITIONS:
                chain.cut = chain.cut or (step.blocks and chain.on_exit == "keep")
                self.end(step, "cancelled", reason)
            elif chain.run_now and step.in_progress:
                step.state, step.due = "pending", self.now
        for step in leaving:
            self.go_on(step.chain)

    # ------------------------------------------------------------ chains

    def go_on(self, chain: Chain) -> None:
        """The chain arrives at its next rule, unless one of its rules holds it up."""
        while not any(step.in_progress for step in chain.steps):
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
                step.turn = self.now
                self.plan(step)

    def plan(self, step: Step) -> None:
        """Compute a step's due time, as its turn comes or, later, as a fact moves it."""
        if step.chain.run_now:
            step.state, step.due = "pending", self.now
            return
        due = self.due_of(step.schedule, step.turn or self.now)
        word = "if_empty" if due is None else "if_past" if due < self.now else ""
        policy = step.schedule.get(word) or ("wait_for_value" if word == "if_empty" else "run_now")
        if word and policy in ("skip", "fail"):
            self.finish(step, "skipped" if policy == "skip" else "failed", word)
        elif word == "if_empty" and policy == "wait_for_value":
            step.state, step.due = "no_value", None
        else:
            step.state, step.due = "pending", self.now if word else due

    def finish(self, step: Step, outcome: str, reason: str = "") -> None:
        self.end(step, outcome, reason)
        self.go_on(step.chain)

    def end(self, step: Step, outcome: str, reason: str = "") -> None:
        step.state, step.outcome = "ended", outcome
        self.alive.remove(step)
        if outcome == "done":
            key = (step.visit.pipeline, str(step.rule["id"]))
            self.done.setdefault(key, []).append((self.now, step.visit))
        self.note(step, outcome, reason)

    def note(self, step: Step, outcome: str, reason: str) -> None:
        at = self.now.isoformat(timespec="microseconds")
        self.entries.append([at, step.visit.no, step.rule["id"], outcome, reason])

    # ------------------------------------------------------------ schedules and conditions of this record

    def value(self, reference: str) -> object:
        """A field's value; a record of a scenario has no contact and no company."""
        owner, _, name = reference.partition(".")
        return self.fields.get(name) if owner == "record" else None

    def due_of(self, schedule: Json, turn: datetime) -> datetime | None:
        """Basis, offset, clock time, working time; None when the basis is empty or unreadable."""
        calendar = self.calendar if schedule.get("working_time") else None
        zone = calendar.zone if calendar else self.zone
        basis = schedule.get("basis") or "now"
        at = turn if basis == "now" else read_moment(self.value(basis), zone)
        if at is None:
            return None
        sign = -1 if schedule.get("before") else 1
        period = schedule.get("before") or schedule.get("after") or {}
        unit, amount = next(((u, n) for u, n in period.items() if n), ("", 0))
        clock = schedule.get("at")
        local = at.astimezone(zone)
        day = local.date()
        if unit == "days":
            day = calendar.count_days(day, amount, sign) if calendar else day + sign * amount * DAY
            at = at_wall(day, time.fromisoformat(clock) if clock else local.time(), zone)
        elif unit and calendar:
            at = calendar.count_time(at, timedelta(**{unit: amount}), sign)
        elif unit:
            at += sign * timedelta(**{unit: amount})
        elif clock:
            at = at_wall(day, time.fromisoformat(clock), zone)
            if basis == "now" and at < turn:
                at = at_wall(day + DAY, time.fromisoformat(clock), zone)
        return calendar.forward(at) if calendar else at

    def holds(self, tree: Json | None) -> bool:
        """Judge a condition now."""
        if not tree:
            return True
        if "all" in tree:
            return all(self.holds(part) for part in tree["all"])
        if "any" in tree:
            return any(self.holds(part) for part in tree["any"])
        if "not" in tree:
            return not self.holds(tree["not"])
        return self.compare(tree["op"], self.value(tree["field"]), self.operand(tree.get("value")))

    def operand(self, value: object) -> object:
        if not isinstance(value, dict):
            return value
        if "field" in value:
            return self.value(value["field"])
        word, period = next(iter(value.items()))
        local = self.now.astimezone(self.zone)
        days = int((period or {}).get("days", 0)) * DAY
        rest = length_of({unit: n for unit, n in (period or {}).items() if unit != "days"})
        clock = time(0) if word == "today" else local.time()
        at = at_wall(local.date() + days, clock, self.zone) if days or word == "today" else self.now
        return at + rest

    def compare(self, op: str, left: object, right: object) -> bool:
        if op in ("is_empty", "is_not_empty"):
            return is_empty(left) == (op == "is_empty")
        if is_empty(left) or is_empty(right):
            return False
        listed: list[Any] = right if isinstance(right, list) else [right]
        if op in ("in", "not_in"):
            return any(order(left, one, self.zone) == 0 for one in listed) == (op == "in")
        if op in ("contains", "not_contains"):
            if isinstance(left, list):
                found = any(order(one, right, self.zone) == 0 for one in left)
            else:
                found = str(right).casefold() in str(left).casefold()
            return found == (op == "contains")
        if op == "starts_with":
            return str(left).casefold().startswith(str(right).casefold())
        if op == "between":
            return order(left, listed[0], self.zone) >= 0 and order(left, listed[1], self.zone) <= 0
        sense = order(left, right, self.zone)
        return {
            "equal": sense == 0, "not_equal": sense != 0, "greater": sense > 0,
            "greater_or_equal": sense >= 0, "less": sense < 0, "less_or_equal": sense <= 0,
        }[op]  # fmt: skip


def run(scenario: Json) -> list[list[Any]]:
    """A scenario's outcomes as decided: [instant (ISO, UTC), visit_no, rule, outcome, reason]."""
    return Model(scenario).run()
