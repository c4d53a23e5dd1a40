"""What a journey hears, and keeps until it has seen to it: signals, and what came of its own acts.

Fields are only ever added, with defaults, and a default never changes, as in `domain/journey.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pydantic import AwareDatetime, BaseModel

from domain.events import HoldEnd, HoldEnded, Outcome
from domain.schedule import Due


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


Verb = Literal["run_now", "skip", "reschedule", "suspend", "resume"]


class Operation(BaseModel):
    """What an operator asks for: of one step (`run_now`, `skip`, `reschedule`) or the record (`suspend`,
    `resume`). `who` stands in the journal, and so does the reason, which PostgreSQL keeps under the `key`
    (`db.operations`), with what came of it; without a key it is done, and only the journal says so. `due` is
    for `reschedule`, `at` is when it was asked for."""

    id: str
    verb: Verb
    who: str
    visit_no: int = 0
    rule: str = ""
    due: AwareDatetime | None = None
    at: AwareDatetime | None = None
    key: str = ""


# -- its own -----------------------------------------------------------------------------------------
class ActEnded(BaseModel):
    """An act and what came of it."""

    visit_no: int
    rule: str
    n: int
    outcome: Outcome


class PlannedStep(BaseModel):
    """The due time of a step, computed at `at`."""

    visit_no: int
    rule: str
    due: Due
    at: datetime


class Heard(BaseModel):
    """One thing that was heard: exactly one of these is there, and its name says what it is.

    `fired`: the instant (UTC) at which a timer went off. `activity` to `asked` came from outside.
    """

    fired: datetime | None = None
    ended: ActEnded | None = None
    planned: PlannedStep | None = None
    activity: ClientActivity | None = None
    facts: FactsChanged | None = None
    holds: HoldsEnded | None = None
    move: Move | None = None
    asked: Operation | None = None

    @property
    def kind(self) -> str:
        """Which of them it is."""
        return next(name for name, there in self if there is not None)
