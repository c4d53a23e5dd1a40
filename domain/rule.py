"""What an author writes: rules, triggers, rule sets, and the parameters that all rules share."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, model_validator

from domain.conditions import Condition
from domain.period import Period
from domain.schedule import Schedule

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
Nature = Literal["database", "send", "transition", "wait", "control"]
RunIfPrevious = Literal["any", "done_or_skipped", "done"]
OnExit = Literal["cancel", "keep", "run_now"]
EventType = Literal[
    "client_activity",
    "field_changed",
    "responsible_changed",
    "todo_completed",
    "task_completed",
    "webhook",
    "date_reached",
    "idle",
]


class Written(BaseModel):
    """Base of everything an author writes: an unknown field is an error, never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NotWithin(Written):
    """`repeat`: not again before this much time has passed since the rule was last done."""

    not_within: Period


class Rule(Written):
    """A configured instance of a kind in one stage of one pipeline.

    `id` is unique in the pipeline and never reused: results, repeat counts and the keys of effects
    refer to it for ever. `params` are the parameters of the kind and are validated by it.
    """

    id: Slug
    kind: Slug
    title: str = ""
    active: bool = True
    params: dict[str, JsonValue] = {}
    schedule: Schedule = Schedule()
    condition: Condition | None = None
    if_false: Literal["skip", "wait"] = "skip"
    after_previous: bool = False
    run_if_previous: RunIfPrevious = "any"
    on_exit: OnExit = "cancel"
    repeat: Literal["every_visit", "once_per_record", "once_per_pipeline_pass"] | NotWithin = "every_visit"
    retry_for: Period = Period(hours=24)
    acting: Annotated[str, Field(description="`system`, `responsible`, or the id of an employee")] = "system"
    on_unknown: Literal["send_again", "ask"] = "send_again"


class Trigger(Written):
    """Moves a record to `stage` of its pipeline when something happens.

    `names` filters the event: types of client activity, fields (`record.amount`), names of webhooks; an empty
    list means any. `direction` `forward` moves records of the process alone, and only to a later stage.
    `once` says how often a record may be moved by it; `cool_down` is a period in which it is not again. Of
    several that match, those with a `priority` come first, the lowest number before all; then forward before
    backward, in the order of their stages. For what a client did, `records` says which of the client's
    open records in the pipeline it moves: the one created last, or all. `date` is the schedule, from a date
    field, at whose instant a date is reached. A record is idle that is open and has no to-do, task, meeting
    or wait; `idle_for` says how long it has to have been.
    """

    id: Slug
    title: str = ""
    active: bool = True
    event: EventType
    names: list[str] = []
    condition: Condition | None = None
    stage: str
    direction: Literal["forward", "any"] = "forward"
    once: Literal["per_visit", "per_record", "unlimited"] = "unlimited"
    cool_down: Period | None = None
    priority: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    records: Literal["most_recent", "all"] = "most_recent"
    date: Schedule | None = None
    idle_for: Period = Period(minutes=0)

    @model_validator(mode="after")
    def _has_its_date(self) -> Self:
        if self.event == "date_reached" and (self.date is None or self.date.basis == "now"):
            raise ValueError("a date that is reached needs a `date` with a date field as its basis")
        return self

    def hears(self, event: EventType, names: Collection[str]) -> bool:
        """Whether it is about such an event; `names` are those of the event itself."""
        return (
            self.active and self.event == event and (not self.names or not set(self.names).isdisjoint(names))
        )


class RuleSet(Written):
    """All rules of a pipeline, by stage, each stage's in order, and its triggers."""

    stages: dict[str, list[Rule]] = {}
    triggers: list[Trigger] = []

    @model_validator(mode="after")
    def _orders_make_sense(self) -> Self:
        seen: set[str] = set()
        for stage, rules in self.stages.items():
            for place, rule in enumerate(rules):
                where = f"stages/{stage}/{place}"
                if rule.id in seen:
                    raise ValueError(
                        f"{where}: the id {rule.id!r} is used twice; ids are unique in a pipeline"
                    )
                seen.add(rule.id)
                if place == 0 and rule.after_previous:
                    raise ValueError(
                        f"{where}: {rule.id!r} is the first of its stage and cannot follow a previous rule"
                    )
        return self

    @model_validator(mode="after")
    def _triggers_are_told_apart(self) -> Self:
        seen: set[str] = set()
        for place, trigger in enumerate(self.triggers):
            if trigger.id in seen:
                raise ValueError(f"triggers/{place}: the id {trigger.id!r} is used twice")
            seen.add(trigger.id)
        return self

    def rule(self, rule_id: str) -> Rule | None:
        """The rule of that id, in whatever stage."""
        return next((r for rules in self.stages.values() for r in rules if r.id == rule_id), None)
