"""What an author writes: rules, rule sets, and the parameters that all rules share."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, model_validator

from domain.conditions import Condition
from domain.period import Period
from domain.schedule import Schedule

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
Nature = Literal["database", "send", "transition", "wait", "control"]
RunIfPrevious = Literal["any", "done_or_skipped", "done"]
OnExit = Literal["cancel", "keep", "run_now"]


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


class RuleSet(Written):
    """All rules of a pipeline, by stage, each stage's in order."""

    stages: dict[str, list[Rule]] = {}

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

    def rule(self, rule_id: str) -> Rule | None:
        """The rule of that id, in whatever stage."""
        return next((r for rules in self.stages.values() for r in rules if r.id == rule_id), None)
