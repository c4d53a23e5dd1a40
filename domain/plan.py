"""From the rules of a stage to the steps of a visit: chains are cut, inactive rules drop out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from pydantic import BaseModel, JsonValue

from domain.changed_facts import Facts
from domain.rule import Nature, OnExit, Rule, RunIfPrevious
from domain.schedule import Schedule

NatureOf = Callable[[str, Mapping[str, JsonValue]], Nature]
"""The nature of a kind with certain parameters."""


class Step(BaseModel):
    """One rule of a plan: what the machine must know of it, and how far it has come.

    The parameters of the rule are not here: they stay in the rule set version, which is immutable.
    `delay` is the seconds from the basis to the due time, or None where facts decide it (a calendar,
    a date field, a clock time): then the due time is asked for.
    """

    rule: str
    kind: str
    nature: Nature = "database"
    first: bool = False  # starts a chain
    run_if: RunIfPrevious = "any"
    on_exit: OnExit = "cancel"  # of the chain
    blocks: bool = True  # False: an open control or marker, the chain goes on
    moves: bool = False  # a wait that moves the record when its time is out
    delay: int | None = 0

    status: str = "queued"  # planning | armed | due | running | open | expiring | ended
    waiting: str = ""  # for what: condition | value | suspended | watching | retry | spread
    turn: datetime | None = None  # when its turn came
    due: datetime | None = None  # when it acts; of an open hold: when it ends or acts next
    scheduled: datetime | None = None  # when its schedule said, while `due` is when it is tried again
    moved: datetime | None = None  # when a change of facts moved its due time last
    outcome: str = ""
    reason: str = ""
    n: int = 0  # the next act of a hold; 0 is the step itself
    kept: bool = False  # the stage was left, and this goes on
    pinned: bool = False  # rescheduled by a person: follows its facts no more
    released: bool = False  # catch_up was applied
    heard: Facts | None = None  # while an act or a question of it was in flight: it may have read older ones

    @property
    def over(self) -> bool:
        return self.status == "ended"

    @property
    def in_flight(self) -> bool:
        """An act, or the question when it is due, is under way: it may have read facts that were older."""
        return self.status in ("running", "planning")

    @property
    def pending(self) -> bool:
        """It waits for its time, or is an open hold: a person may run, skip or reschedule it."""
        return self.holding or self.status in ("planning", "armed", "due")

    def hears(self, facts: Facts) -> None:
        """Remember facts that changed while it is in flight."""
        self.heard = facts.after(self.heard)

    def runs_now(self, at: datetime) -> None:
        """Its stage was left, and its chain runs at once; what is overdue is so since it was due."""
        self.status, self.due, self.waiting = "due", min(self.due or at, at), ""

    @property
    def holding(self) -> bool:
        """A hold whose row is open, whatever it is doing at the moment."""
        return self.n > 0 and not self.over


def steps(rules: Sequence[Rule], nature: NatureOf) -> list[Step]:
    """The plan of a stage. `nature` tells a kind's (an edit that sets the stage is a
    transition); the chain keeps the `on_exit` of its first rule."""
    plan: list[Step] = []
    on_exit: OnExit = "cancel"
    opens_chain = True
    for rule in rules:
        if not rule.after_previous:
            on_exit, opens_chain = rule.on_exit, True
        if not rule.active:
            continue
        kind = nature(rule.kind, rule.params)
        plan.append(
            Step(
                rule=rule.id,
                kind=rule.kind,
                nature=kind,
                first=opens_chain,
                run_if=rule.run_if_previous,
                on_exit=on_exit,
                blocks=not (kind == "control" or (kind == "wait" and rule.params.get("mode") == "marker")),
                moves=kind == "wait" and isinstance(rule.params.get("on_timeout"), dict),
                delay=delay(rule.schedule),
            )
        )
        opens_chain = False
    return plan


def delay(schedule: Schedule) -> int | None:
    """Seconds from the basis, where they follow from the rule alone; else None."""
    if schedule.immediate:
        return 0
    if schedule.needs_facts:
        return None
    if schedule.after:
        return int(schedule.after.minutes or 0) * 60 + int(schedule.after.hours or 0) * 3600
    return None
