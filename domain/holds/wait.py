"""`wait`: until the client acts, or the time is out, or somebody ends it."""

from __future__ import annotations

from typing import Literal

from domain.rule import Written
from domain.schedule import Schedule


class MoveTo(Written):
    """The record moves to another stage of its pipeline."""

    move_to: str


Follow = Literal["nothing", "notify", "todo"] | MoveTo


class Wait(Written):
    """Waits until the client does something, its time is out, or a person ends it.

    `until` is the schedule of its end: minutes, hours, days, or a date field, which it follows. Meanwhile the
    record shows the `instruction`. `ends_on` lists the types of client activity that end it; an empty list
    means every type. In the `mode` `block` (the default) what stands below waits too, with `marker` the chain
    goes on. `on_client` and `on_timeout` say what its end brings: `nothing`, `notify` (the responsible),
    `todo`, or a move, written `{"move_to": "<stage>"}`. Its results are how it `ended` (`client`, `time`,
    `person`, or `cancelled`), `by` whom or what, and `at` which instant.
    """

    until: Schedule
    instruction: str = ""
    ends_on: list[str] = []
    mode: Literal["block", "marker"] = "block"
    on_client: Follow = "nothing"
    on_timeout: Follow = "nothing"

    def ended_by(self, activity: str) -> bool:
        return not self.ends_on or activity in self.ends_on
