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
    """Parameters of a wait. `ends_on` lists types of client activity; an empty list means every type."""

    until: Schedule
    instruction: str = ""
    ends_on: list[str] = []
    mode: Literal["block", "marker"] = "block"
    on_client: Follow = "nothing"
    on_timeout: Follow = "nothing"

    def ended_by(self, activity: str) -> bool:
        return not self.ends_on or activity in self.ends_on
