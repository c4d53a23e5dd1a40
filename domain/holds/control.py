"""`control`: watches that the team is not late, and tells who has to know."""

from __future__ import annotations

from domain.conditions import Condition
from domain.period import Period
from domain.rule import Written
from domain.schedule import Schedule


class Repeat(Written):
    """The last level of an escalation, again and again: every so often, at most so many times."""

    every: Period
    at_most: int


class Level(Written):
    """One level of an escalation; `after` counts from the deadline."""

    after: Period
    recipients: list[str] = []
    repeat: Repeat | None = None


class Control(Written):
    """Parameters of a control. Without `until` it ends when the stage is left."""

    deadline: Schedule
    until: Condition | None = None
    message: str = ""
    recipients: list[str] = ["supervisor"]
    escalate: list[Level] = []
