"""The generator finds whoever breaks a rule: for each a model that does is told from the right one."""

from __future__ import annotations

from datetime import datetime
from random import Random
from typing import Any

import pytest

from tests.model import scenarios
from tests.model.drive import compared
from tests.model.reference import Model
from tests.model.reference_steps import Step, Visit
from tests.model.reference_values import HOUR
from tests.model.scenarios import FEATURES, random_scenario

Json = dict[str, Any]
SEEDS = range(2000)  # the first that tells them apart is enough, mostly among the first ten


class ActsThoughSuspended(Model):
    def happen(self, event: Json) -> None:
        if event["type"] != "suspend":
            super().happen(event)


class ForgetsCatchUp(Model):
    def resume(self, scope: str) -> None:
        self.covers.discard(scope)
        self.automatic.clear()


class CountsOnAfterResume(Model):
    def resume(self, scope: str) -> None:
        counted = list(self.automatic)
        super().resume(scope)
        self.automatic = counted


class MovesElevenTimes(Model):
    def may_move(self) -> bool:
        hour = [at for at in self.automatic if at > self.now - HOUR]
        return (len(hour) == 10 and not self.covers) or super().may_move()


class RefusesOperators(Model):
    def operate(self, event: Json) -> None:
        return None


class RunsNowThoughSuspended(Model):
    def operate(self, event: Json) -> None:
        covers, self.covers = self.covers, set()
        super().operate(event)
        self.covers = covers


class FollowsFactsThoughRescheduled(Model):
    def follow(self, changed: set[str]) -> None:
        for step in self.alive:
            step.pinned = False
        super().follow(changed)


class IgnoresTheClockInConditions(Model):
    def watch(self, step: Step) -> None:
        return None


class ForgetsTheClockWhenAFieldChanges(Model):
    def wake(self) -> None:
        known = {step: step.turned for step in self.alive if step.state == "unmet"}
        super().wake()
        for step, turned in known.items():
            step.turned = turned if step.state == "unmet" else None


class MovesWhatAChangeLeavesInItsPlace(Model):
    def follow(self, changed: set[str]) -> None:
        for step in self.alive:
            if step.waits and step.schedule.get("basis"):
                step.planned = None
        super().follow(changed)


class EditsFirstAndMovesThen(Model):
    def edit(self, changes: Json, stage: str | None = None) -> None:
        if stage is None or stage in self.stages():
            super().edit(changes)
        if stage in self.stages() and stage != self.stage:
            self.move(stage, person=True)


class EditsNoStage(Model):
    def transit(self, step: Step) -> None:
        if step.kind == "edit_record":
            self.finish(step, "done")
        else:
            super().transit(step)


class OpensMissedVisits(Model):
    def enter(self, stage: str, *, missed: bool = False, **more: Any) -> None:
        super().enter(stage, **more)


class KeepsNothingOfMissedVisits(Model):
    def leave(self, reason: str, changes: Json) -> None:
        if self.visit.missed:
            self.visit.opens = self.now
        super().leave(reason, changes)


class KnowsNoGrace(Model):
    def enter(self, stage: str, *, person: bool = False, **more: Any) -> None:
        super().enter(stage, **more)


class KeepsWhatWasASlip(Model):
    def leave(self, reason: str, changes: Json) -> None:
        self.visit.opens = None
        super().leave(reason, changes)


class ResultsWakeNobody(Model):
    def result(self, step: Step, name: str, value: object) -> None:
        self.results[step.visit.no, f"steps.{step.rule['id']}.{name}"] = value


class ForgetsWhatWasSent(Model):
    def result(self, step: Step, name: str, value: object) -> None:
        if name != "message_id":
            super().result(step, name, value)


class TheStageIsNoField(Model):
    def value(self, reference: str, visit: Visit) -> object:
        return None if reference == "record.stage" else super().value(reference, visit)


class AsksControlsForTheirDeadlineFirst(Model):
    def open(self, step: Step) -> None:
        end = self.due_of(step.limit, self.now)
        word = "if_empty" if end is None else "if_past" if end < self.now else ""
        policy = step.limit.get(word)
        if step.kind == "control" and policy in ("skip", "fail"):
            self.finish(step, "skipped" if policy == "skip" else "failed", word)
        else:
            super().open(step)


class RestoresNothing(Model):
    def happen(self, event: Json) -> None:
        if event["type"] != "restore":
            super().happen(event)


class ForgetsTheClientsOwnActivities(Model):
    def client(self, event: Json) -> None:
        if event.get("bound") != "client":
            super().client(event)


class TriggersNothing(Model):
    def fire(self, *what: Any, **more: Any) -> bool:
        return False


class KnowsNoAbsence(Model):
    def due_of(self, schedule: Json, turn: datetime) -> datetime | None:
        return super().due_of({**schedule, "on_duty": False}, turn)


BROKEN = {
    "suspension": (ActsThoughSuspended, ForgetsCatchUp, CountsOnAfterResume, MovesElevenTimes),
    "operators": (RefusesOperators, FollowsFactsThoughRescheduled),
    "clock_waits": (
        IgnoresTheClockInConditions, ForgetsTheClockWhenAFieldChanges, MovesWhatAChangeLeavesInItsPlace,
    ),
    "together": (EditsFirstAndMovesThen,),
    "stage_edits": (EditsNoStage,),
    "missed": (OpensMissedVisits, KeepsNothingOfMissedVisits),
    "grace": (KnowsNoGrace, KeepsWhatWasASlip),
    "results": (ResultsWakeNobody,),
    "sent": (ForgetsWhatWasSent,),
    "stage_field": (TheStageIsNoField,),
    "settled_controls": (AsksControlsForTheirDeadlineFirst,),
    "restore": (RestoresNothing,),
    "client_bound": (ForgetsTheClientsOwnActivities,),
    "triggers": (TriggersNothing,),
    "people": (KnowsNoAbsence,),
}  # fmt: skip


def told_apart(broken: type[Model], features: frozenset[str]) -> int | None:
    """The first seed whose journal a broken model gets wrong."""
    for seed in SEEDS:
        scenario = random_scenario(Random(seed), features)
        if compared(broken(scenario).run()) != compared(Model(scenario).run()):
            return seed
    return None


@pytest.mark.parametrize(
    ("feature", "broken"), [(feature, model) for feature, models in BROKEN.items() for model in models]
)
def test_whoever_breaks_a_rule_is_found(feature: str, broken: type[Model]) -> None:
    assert told_apart(broken, frozenset({feature})) is not None


def test_running_now_what_is_suspended_is_found() -> None:
    assert told_apart(RunsNowThoughSuspended, frozenset({"suspension", "operators"})) is not None


def test_every_feature_has_a_model_that_breaks_it() -> None:
    assert set(BROKEN) == FEATURES
    assert scenarios.KNOWN <= FEATURES
