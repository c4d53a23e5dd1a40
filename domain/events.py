"""What the machine hears and what it asks for. Every event carries its instant (UTC)."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, NamedTuple

from pydantic import BaseModel

from domain.changed_facts import Facts
from domain.plan import Step
from domain.schedule import Due

Result = Literal[
    "done", "skipped", "failed", "cancelled", "stale", "superseded", "unknown", "open", "pending"
]


class Outcome(BaseModel):
    """What came of one act of a step, as the transaction that acted answers it.

    `open`: a hold is (still) open and acts next at `due`, or has no end of its own. `pending`: the
    step has not acted; `waiting` says for what, or `due` when it is tried again. `next`: the due time
    of the rule below, computed in the same transaction. `moved_to`: the visit a transition led to.
    `changed`: the fields, by full reference, that the act wrote; what depends on them follows. `triggers`:
    those that what the act did may fire, by id.
    """

    result: Result
    reason: str = ""
    at: datetime
    due: datetime | None = None
    waiting: str = ""
    moved_to: int = 0
    closing: bool = False  # whoever was told of lateness has to be told how it ended
    next: Due | None = None
    changed: list[str] = []
    triggers: list[str] = []


class Decision(BaseModel):
    """An outcome that no effect stands behind; the journey's next transaction writes it down."""

    visit_no: int
    rule: str
    result: Result
    reason: str
    at: datetime


class HoldEnd(BaseModel):
    """How the transaction that ended an open hold ended it; `ended` says it of a task waited for."""

    rule: str
    result: Result
    reason: str
    at: datetime
    closing: bool = False
    ended: str = ""  # completed | deleted | auto_completed | timeout | person | left


class Closing(BaseModel):
    """The last act of a hold that has ended: it tells how a control ended, or brings what a wait does.

    `waiting`: it met a suspension, and waits for the resume. `heard`: facts that changed while it was in
    flight.
    """

    visit_no: int
    rule: str
    n: int
    waiting: bool = False
    heard: Facts | None = None

    @property
    def key(self) -> tuple[int, str, int]:
        return self.visit_no, self.rule, self.n


class Early(BaseModel):
    """The end of a hold that was heard before its opening was."""

    visit_no: int
    end: HoldEnd


TRIGGER = "trigger:"
"""What stands before the rule that caused it in the name of a trigger's act."""


class Caused(BaseModel):
    """What a rule did may fire triggers: a transition at the `place` of that rule in its list."""

    visit_no: int
    place: int
    rule: str
    n: int
    running: bool = False

    @property
    def key(self) -> tuple[int, str, int]:
        """Of the act that judges the triggers: visit, rule, number."""
        return self.visit_no, TRIGGER + self.rule, self.n

    def superseded(self, at: datetime) -> Decision:
        """Another transition won."""
        visit_no, rule, _ = self.key
        return Decision(visit_no=visit_no, rule=rule, result="superseded", reason="", at=at)


class Left(NamedTuple):
    """The stage of a visit was left; what goes on is in `kept`, how its holds ended in `holds`."""

    visit_no: int
    at: datetime
    reason: str
    kept: list[str]
    holds: list[HoldEnd]
    by: str = ""  # the rule whose transition it was


class Opened(NamedTuple):
    """A visit begins with its plan; `at` is the stage entry. `left`: it was over before it was heard of.

    `opens`: its pipeline has a grace, and nothing of it starts before.
    """

    visit_no: int
    stage: str
    steps: list[Step]
    at: datetime
    left: Left | None = None
    opens: datetime | None = None


class Fired(NamedTuple):
    """A timer went off: everything due by then is due, in its order, whichever timer it was."""

    at: datetime


class Planned(NamedTuple):
    """The due time of a pending step or an open hold, computed from facts."""

    visit_no: int
    rule: str
    due: Due
    at: datetime
    pinned: bool = False


class Again(NamedTuple):
    """What a pending step waits for may have come: it is tried again."""

    visit_no: int
    rule: str
    at: datetime


class Released(NamedTuple):
    """A closing act that met a suspension may act now."""

    visit_no: int
    rule: str
    n: int


class Turned(NamedTuple):
    """The clock makes the condition a step waits for hold at `due`; None: not while facts stay so."""

    visit_no: int
    rule: str
    due: datetime | None
    at: datetime


class Ended(NamedTuple):
    visit_no: int
    rule: str
    n: int
    outcome: Outcome


class HoldEnded(NamedTuple):
    """An open hold was ended from outside: by the client, a condition, a person, its task."""

    visit_no: int
    end: HoldEnd


class Changed(NamedTuple):
    """Facts changed. What depends on them is asked for; what is in flight is judged when it is back."""

    facts: Facts


class Judged(NamedTuple):
    """What these facts mean has been found out: it is in the events beside this one."""

    facts: Facts


Event = Opened | Left | Fired | Planned | Again | Released | Turned | Ended | HoldEnded | Changed | Judged


class Arm(NamedTuple):
    visit_no: int
    rule: str
    due: datetime


class Disarm(NamedTuple):
    visit_no: int
    rule: str


class Plan(NamedTuple):
    """Ask for the due time of a step whose turn has come."""

    visit_no: int
    rule: str


class Run(NamedTuple):
    """Act: n is 0 for the step itself, and counts the further acts of a hold."""

    visit_no: int
    rule: str
    n: int


class Follow(NamedTuple):
    """Find out what changed facts mean for what is pending; nothing starts before that has been `Judged`."""

    facts: Facts


Command = Arm | Disarm | Plan | Run | Decision | Follow
