"""`control`: watches that the team is not late, and tells who has to know."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from domain.conditions import Condition
from domain.period import Period
from domain.rule import Written
from domain.schedule import Schedule


class Repeat(Written):
    """The last level of an escalation, again and again: every so often, at most so many times."""

    every: Period
    at_most: Annotated[int, Field(ge=1, le=1000)]


class Level(Written):
    """One level of an escalation; `after` counts from the deadline."""

    after: Period
    recipients: list[str] = []
    repeat: Repeat | None = None


class Control(Written):
    """Watches that the team is not late, and never holds up its chain.

    At the `deadline`, a schedule that follows its facts, the record is flagged late and the `recipients` (the
    supervisor) get the `message`. It ends in time, or late, when the condition `until` holds; without one,
    when the stage is left. `escalate` lists whom else to tell, how long `after` the deadline (in working time
    if the deadline counts working time); its last level may `repeat` `every` so often, `at_most` so many
    times. A notice that falls outside working time is given at the next working instant. Whoever was told
    that it is late is told how it ended. If there is nobody to tell, that is a failure of the rule.
    Its results are its `state` and `late_by`, in minutes.
    """

    deadline: Schedule
    until: Condition | None = None
    message: str = ""
    recipients: list[str] = ["supervisor"]
    escalate: list[Level] = []
