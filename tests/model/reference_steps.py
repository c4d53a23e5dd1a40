"""What the reference model remembers of one record: its visits, their chains, the steps of these."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from tests.model.reference_values import Json, length_of

TRANSITIONS = {"change_stage", "change_status", "change_pipeline", "delete_record"}


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
    entered: datetime
    opened: datetime  # later than that by the grace
    heard: int  # client activities that had happened before the entry
    opens: datetime | None = None  # a visit that is not open yet; None: it is
    missed: bool = False  # left before its journey heard of it
    chains: list[Chain] = field(default_factory=list)
    triggered: set[str] = field(default_factory=set)  # triggers that moved the record out of it


@dataclass(eq=False)
class Step:
    rule: Json
    visit: Visit
    chain: Chain
    index: int
    state: str = "idle"
    due: datetime | None = None  # of a pending step
    planned: datetime | None = None  # what its schedule last came to; of a hold, when it ends
    since: datetime | None = None  # its turn, or the change of fact that moved it last
    turn: datetime | None = None
    heard: int = 0  # client activities that had happened before it got its due time
    pinned: bool = False  # by a person: it follows its facts no more
    spread: bool = False  # released at a time of its own, which happens once
    overdue: bool = False  # released by a resume after its due time
    turned: datetime | None = None  # when the clock turns the condition that is waited for
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
    def place(self) -> tuple[int, int]:
        return self.visit.no, self.index

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
    def is_transition(self) -> bool:
        return self.kind in TRANSITIONS or (self.kind == "edit_record" and "stage" in self.sets)

    @property
    def sets(self) -> Json:
        """What an `edit_record` sets."""
        return {item["field"].removeprefix("record."): item["value"] for item in self.params["set"]}

    @property
    def acts_last(self) -> bool:
        """A transition, or a wait whose time is out and that moves the record."""
        return self.is_transition or (self.state == "open" and move_of(self, "on_timeout") is not None)

    @property
    def clock(self) -> datetime | None:
        """The next instant at which the clock makes this step act."""
        return self.due if self.state == "pending" else self.end if self.state == "open" else None

    @property
    def waits(self) -> bool:
        """Has its turn come, and has it not acted?"""
        return self.state in ("pending", "no_value", "unmet")

    @property
    def in_progress(self) -> bool:
        """Does this step hold up its chain?"""
        return self.waits or (self.state == "open" and self.blocks)

    @property
    def waited_for(self) -> Json | None:
        """The condition that turns this step when it holds."""
        if self.state == "unmet":
            return self.rule.get("condition")
        return self.params.get("until") if self.state == "open" and self.kind == "control" else None


@dataclass(eq=False)
class Caused:
    """Triggers that a rule's edit may fire: a transition at the place of that rule."""

    place: tuple[int, int]
    changed: set[str]


def move_of(step: Step, word: str) -> str | None:
    """The stage a wait's `on_client` or `on_timeout` moves to."""
    what = step.params.get(word)
    return what.get("move_to") if step.kind == "wait" and isinstance(what, dict) else None


def full(name: str) -> str:
    """A field's reference; the record's own may be written without their owner."""
    return name if "." in name else f"record.{name}"


def listens(step: Step, kind: str) -> bool:
    """Does this wait end on a client activity of that type?"""
    return not step.params.get("ends_on") or kind in step.params["ends_on"]


def repeats(step: Step, done: list[tuple[datetime, Visit]], now: datetime) -> bool:
    """Does `repeat` forbid this step, for what the same rule has done?"""
    repeat = step.rule.get("repeat", "every_visit")
    for at, visit in done if repeat != "every_visit" else ():
        if repeat == "once_per_record":
            return True
        if repeat == "once_per_pipeline_pass" and visit.pass_no == step.visit.pass_no:
            return True
        if isinstance(repeat, dict) and at > now - length_of(repeat["not_within"]):
            return True
    return False
