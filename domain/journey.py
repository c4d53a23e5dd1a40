"""The contract of a journey: the one workflow that follows a record from creation to deletion.

Ids and instants, never what a record says: Temporal keeps nothing personal. Fields are only ever added, with
defaults, so that old histories and old clients stay valid. So is a default never changed: what equals its
default is left out of payloads.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel

from domain.events import Decision
from domain.heard import (
    CLIENT_EDITED,
    ActEnded,
    ClientActivity,
    EndedHold,
    Entered,
    FactsChanged,
    Heard,
    HoldsEnded,
    Move,
    Operation,
    PlannedStep,
    Verb,
    hold_ends,
)
from domain.progress import Progress

__all__ = [  # with what it hears, which is a part of it
    "CLIENT_EDITED", "GONE", "SEARCH_ATTRIBUTES", "TASK_QUEUE", "WORKFLOW", "ActEnded", "Book",
    "ClientActivity", "Driven", "EndedHold", "EnterStage", "Entered", "Face", "FactsChanged", "Flag", "Heard",
    "HoldsEnded", "JourneyState", "Move", "MoveRecord", "Moved", "Operate", "Operation", "PlannedStep",
    "PlannedSteps", "RecordActivity", "Replan", "RuleRun", "ScheduleSteps", "Shown", "Turn", "Verb",
    "for_results", "hold_ends", "io_queue", "workflow_id",
]  # fmt: skip

WORKFLOW = "Journey"
TASK_QUEUE = "jalon"
SEARCH_ATTRIBUTES = {
    "JalonRecordType": "Keyword",
    "JalonPipeline": "Keyword",
    "JalonStage": "Keyword",
    "JalonResponsible": "Keyword",
    "JalonFlags": "KeywordList",
    "JalonNextDue": "Datetime",
}
Flag = Literal["waiting_client", "late", "failed", "suspended"]


def workflow_id(record_type: str, record_id: int) -> str:
    """`deal-17`, `lead-4`."""
    return f"{record_type}-{record_id}"


def io_queue(task_queue: str) -> str:
    """The queue of what is slow: mail, SMS, documents. It belongs to the queue of the journeys."""
    return f"{task_queue}-io"


class Face(BaseModel):
    """What administrators see of a record in the Temporal Web UI."""

    record_type: str = ""
    pipeline: str = ""
    stage: str = ""
    responsible: str = ""
    suspended: bool = False


class Visible(BaseModel):
    """The search attributes of a journey, as it has set them. `next_due` is in whole milliseconds (UTC)."""

    record_type: str = ""
    pipeline: str = ""
    stage: str = ""
    responsible: str = ""
    flags: list[str] = []
    next_due: datetime | None = None

    @classmethod
    def at_start(cls, face: Face) -> Visible:
        """Those that a journey is started with."""
        return cls.model_validate(face.model_dump(exclude={"suspended"}))


class JourneyState(BaseModel):
    """All that a journey knows; what it starts with and what continue-as-new carries.

    `wanted` is the highest visit it has heard of, `seen` the request ids of the latest signals. `inbox` is
    what it has yet to see to, the oldest first. `visible` is what it has told of itself; None: only what it
    was started with.
    """

    record_id: int
    wanted: int = 0
    progress: Progress = Progress()
    face: Face = Face()
    seen: list[str] = []
    most_events: int = 400  # of one run; then it continues as new
    inbox: list[Heard] = []
    visible: Visible | None = None


class Shown(JourneyState):
    """What a journey answers when it is asked, without inbox. `at_rest`: nothing is under way but timers."""

    at_rest: bool = False


# -- activities ------------------------------------------------------------------------------------
class EnterStage(BaseModel):
    """Open every visit the journey has not opened, and do what is due at once."""

    record_id: int
    progress: Progress


class Replan(BaseModel):
    """Facts changed: pending steps and open holds follow. `after`: the act that changed them, `ends`: the
    holds that ended and whose results they are.

    `more` are further changes, heard one after the other.
    """

    record_id: int
    progress: Progress
    at: datetime
    fields: list[str]
    after: ActEnded | None = None
    ends: list[EndedHold] = []
    more: list[FactsChanged] = []


def for_results(heard: HoldsEnded | ClientActivity, record_id: int, progress: Progress) -> Replan:
    """Judge what waits for the results of holds that ended, together with their ends."""
    at, fields = heard.ends[0].at, heard.changed
    return Replan(record_id=record_id, progress=progress, at=at, fields=fields, ends=heard.ends)


class Operate(BaseModel):
    """Do what an operator asks for."""

    record_id: int
    progress: Progress
    operation: Operation


class Driven(BaseModel):
    """What an activity that drove the machine hands back. `gone`: there is nothing left to follow."""

    progress: Progress
    face: Face = Face()
    gone: bool = False


class RuleRun(BaseModel):
    """One act of one step. The activity's type is the kind of the rule.

    `turn` and `due` are the step's (UTC); `released` says that `catch_up` was applied to it before.
    `decisions` of the machine are written down in the same transaction.
    """

    record_id: int
    visit_no: int
    rule: str
    n: int = 0
    turn: datetime | None = None
    due: datetime | None = None
    released: bool = False
    decisions: list[Decision] = []


class Turn(BaseModel):
    """A step whose turn has come and whose due time follows from facts."""

    visit_no: int
    rule: str
    turn: datetime


class ScheduleSteps(BaseModel):
    """Ask for the due times of steps whose turn has come."""

    record_id: int
    turns: list[Turn]


class PlannedSteps(BaseModel):
    steps: list[PlannedStep] = []


class Book(BaseModel):
    """Write down what the machine decided without an effect."""

    record_id: int
    decisions: list[Decision]


class RecordActivity(BaseModel):
    """Record client activities that the journey was told of directly, one after the other."""

    record_id: int
    activity: ClientActivity
    more: list[ClientActivity] = []


class MoveRecord(BaseModel):
    """Move the record through the write path, as often as was asked."""

    record_id: int
    move: Move
    more: list[Move] = []


GONE = "gone"


class Moved(BaseModel):
    """The visit a record is in after a request; `refused`: why nothing was done (`GONE`: it is no more)."""

    visit_no: int = 0
    refused: str = ""
