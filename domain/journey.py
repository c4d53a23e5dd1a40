"""The contract of a journey: the one workflow that follows a record from creation to deletion.

Ids and instants, never what a record says: Temporal keeps nothing personal. Fields are only ever added, with
defaults, so that old histories and old clients stay valid. So is a default never changed: what equals its
default is left out of payloads.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pydantic import AwareDatetime, BaseModel

from domain.events import Decision, HoldEnd, HoldEnded, Outcome
from domain.progress import Progress
from domain.schedule import Due

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


class JourneyState(BaseModel):
    """All that a journey knows; what it starts with and what continue-as-new carries.

    `wanted` is the highest visit it has heard of, `seen` the request ids of the latest signals and updates.
    """

    record_id: int
    wanted: int = 0
    progress: Progress = Progress()
    face: Face = Face()
    seen: list[str] = []
    most_events: int = 400  # of one run; then it continues as new


class Shown(JourneyState):
    """What a journey answers when it is asked. `at_rest`: nothing is under way but timers."""

    at_rest: bool = False


# -- signals ---------------------------------------------------------------------------------------
class Entered(BaseModel):
    """The record entered a stage; the visit itself is read from the database."""

    id: str
    visit_no: int


class EndedHold(HoldEnd):
    """How an open hold was ended by a transaction outside the journey."""

    visit_no: int


class ClientActivity(BaseModel):
    """The client did something. `id` is its external id: the same id twice is one act.

    `at` is when it happened, by default when the journey hears of it. `recorded` says that a transaction
    has written it already, `ends` which holds that transaction ended, `changed` which results, by full
    reference, something waits for.
    """

    id: str
    type: str = ""
    at: AwareDatetime | None = None
    source: str = ""
    recorded: bool = False
    ends: list[EndedHold] = []
    changed: list[str] = []


class HoldsEnded(BaseModel):
    """Holds that a transaction outside the journey ended: a task that a chain waited for is done with.

    `changed`: the results, by full reference, that something waits for.
    """

    id: str
    ends: list[EndedHold]
    changed: list[str] = []


def hold_ends(ends: Sequence[EndedHold]) -> list[HoldEnded]:
    """What the machine hears of them."""
    told = [HoldEnd.model_validate(end.model_dump(exclude={"visit_no"})) for end in ends]
    return [HoldEnded(end.visit_no, hold) for end, hold in zip(ends, told, strict=True)]


CLIENT_EDITED = "client"
"""Among the fields that changed: they are of a client, and were edited elsewhere."""


class FactsChanged(BaseModel):
    """Fields, by full reference, that something pending may depend on; also `zone`, `calendar`, `absence`."""

    id: str
    at: AwareDatetime
    fields: list[str]


class Move(BaseModel):
    """A request to move the record to another stage of its pipeline. `by`: an employee, or `api`."""

    id: str
    stage: str
    by: str = "api"


# -- updates ---------------------------------------------------------------------------------------
Verb = Literal["run_now", "skip", "reschedule", "suspend", "resume"]


class Operation(BaseModel):
    """What an operator asks for: of one step (`run_now`, `skip`, `reschedule`) or the record (`suspend`,
    `resume`). `who` stands in the journal, and so does the reason, which PostgreSQL keeps under the `id`
    (`db.reasons`). `due` is for `reschedule`."""

    id: str
    who: str
    visit_no: int = 0
    rule: str = ""
    due: AwareDatetime | None = None


# -- activities ------------------------------------------------------------------------------------
class EnterStage(BaseModel):
    """Open every visit the journey has not opened, and do what is due at once."""

    record_id: int
    progress: Progress


class Replan(BaseModel):
    """Facts changed: pending steps and open holds follow. `after`: the act that changed them, `ends`: the
    holds that ended and whose results they are."""

    record_id: int
    progress: Progress
    at: datetime
    fields: list[str]
    after: ActEnded | None = None
    ends: list[EndedHold] = []


def for_results(heard: HoldsEnded | ClientActivity, record_id: int, progress: Progress) -> Replan:
    """Judge what waits for the results of holds that ended, together with their ends."""
    at, fields = heard.ends[0].at, heard.changed
    return Replan(record_id=record_id, progress=progress, at=at, fields=fields, ends=heard.ends)


class ActEnded(BaseModel):
    """An act and what came of it."""

    visit_no: int
    rule: str
    n: int
    outcome: Outcome


class Operate(BaseModel):
    """Do what an operator asks for."""

    record_id: int
    progress: Progress
    verb: Verb
    operation: Operation


class Driven(BaseModel):
    """What an activity that drove the machine hands back. `gone`: there is nothing left to follow."""

    progress: Progress
    face: Face = Face()
    gone: bool = False
    refused: str = ""  # why an operation was not done


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


class PlannedStep(BaseModel):
    """The due time of a step, computed at `at`."""

    visit_no: int
    rule: str
    due: Due
    at: datetime


class PlannedSteps(BaseModel):
    steps: list[PlannedStep] = []


class Book(BaseModel):
    """Write down what the machine decided without an effect."""

    record_id: int
    decisions: list[Decision]


class RecordActivity(BaseModel):
    """Record a client activity that the journey was told of directly."""

    record_id: int
    activity: ClientActivity


class MoveRecord(BaseModel):
    """Move the record through the write path."""

    record_id: int
    move: Move


GONE = "gone"


class Moved(BaseModel):
    """The visit a record is in after a request; `refused`: why nothing was done (`GONE`: it is no more)."""

    visit_no: int = 0
    refused: str = ""
