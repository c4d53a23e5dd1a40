"""The published rule sets, read once a process: a version never changes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection

from pydantic import ValidationError
from sqlalchemy import select
from sqlmodel import col

from db.engine import Transaction
from db.tables import RuleSet as Published
from domain.conditions import follows
from domain.errors import Unreadable
from domain.holds.control import Control
from domain.holds.wait import Wait
from domain.plan import NatureOf, Step, steps
from domain.rule import Rule, RuleSet

_KEPT = 500  # versions held in memory


class Version:
    """One version of the rules of a pipeline; number 0 is the empty one."""

    def __init__(self, rules: RuleSet, nature: NatureOf, owner: str) -> None:
        self.rules, self.owner, self._nature = rules, owner, nature
        self._by_id = {rule.id: rule for listed in rules.stages.values() for rule in listed}
        self._holds: dict[str, Wait | Control] = {}
        self._plans: dict[str, list[Step]] = {}
        self._reads: dict[str, frozenset[str]] = {}
        self.prepared: dict[str, object] = {}  # what others make of a rule, once a version

    def rule(self, rule_id: str) -> Rule:
        """The rule of that id; `KeyError` if this version has none."""
        return self._by_id[rule_id]

    def hold(self, rule_id: str) -> Wait | Control:
        """The parameters of a rule that waits."""
        if rule_id not in self._holds:
            rule = self.rule(rule_id)
            kind = Wait if rule.kind == "wait" else Control
            self._holds[rule_id] = kind.model_validate(rule.params)
        return self._holds[rule_id]

    def plan(self, stage: str) -> list[Step]:
        """Fresh steps for a visit of the stage."""
        if stage not in self._plans:
            self._plans[stage] = steps(self.rules.stages.get(stage, []), self._nature)
        return [step.model_copy() for step in self._plans[stage]]

    def check(self) -> None:
        """Raises `ValueError` or `LookupError` where it cannot be planned by or followed."""
        for stage in self.rules.stages:
            self.plan(stage)
            self.reads(stage)

    def reads(self, stage: str) -> frozenset[str]:
        """The fields and other facts that pending steps and open holds of the stage may follow."""
        if stage not in self._reads:
            found: set[str] = set()
            for rule in self.rules.stages.get(stage, []):
                found |= rule.schedule.reads
                if rule.condition and rule.if_false == "wait":
                    found |= follows(rule.condition)
                if rule.kind in ("wait", "control"):
                    hold = self.hold(rule.id)
                    found |= (hold.until if isinstance(hold, Wait) else hold.deadline).reads
                    if isinstance(hold, Control) and hold.until:
                        found |= follows(hold.until)
            self._reads[stage] = frozenset(found)
        return self._reads[stage]

    def reads_anywhere(self) -> frozenset[str]:
        """The same of all stages."""
        return frozenset[str]().union(*(self.reads(stage) for stage in self.rules.stages))

    def hears_edit(self, changed: Collection[str]) -> bool:
        """Whether a trigger of these rules is for an edit of one of the fields."""
        return any(trigger.hears("field_changed", changed) for trigger in self.rules.triggers)


class Rulebook:
    """All versions this process has met. `nature` tells the nature of a kind."""

    def __init__(self, nature: NatureOf) -> None:
        self._nature = nature
        self._versions: OrderedDict[tuple[str, int], Version] = OrderedDict()

    async def version(self, tx: Transaction, pipeline: str, number: int) -> Version:
        """The version of that number. Raises `Unreadable` if it is not there, or was spoilt."""
        key = (pipeline, number)
        if key in self._versions:
            self._versions.move_to_end(key)
            return self._versions[key]
        found = Version(RuleSet(), self._nature, "")
        if number:
            found = await self._read(tx, pipeline, number)
        self._versions[key] = found
        if len(self._versions) > _KEPT:
            self._versions.popitem(last=False)
        return found

    async def _read(self, tx: Transaction, pipeline: str, number: int) -> Version:
        asked = select(col(Published.stages), col(Published.triggers), col(Published.owner_id)).where(
            col(Published.pipeline_id) == pipeline, col(Published.number) == number
        )
        row = (await tx.execute(asked)).one_or_none()
        if row is None:
            raise Unreadable(pipeline, number, "it is not there")
        try:
            found = Version(RuleSet(stages=row.stages, triggers=row.triggers), self._nature, row.owner_id)
            found.check()
        except (LookupError, TypeError, ValueError) as spoilt:
            raise Unreadable(pipeline, number, _in_short(spoilt)) from None
        return found


def _in_short(error: Exception) -> str:
    """Where it is spoilt, without what stands there."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        return f"{'/'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return f"there is no {error}" if isinstance(error, LookupError) else type(error).__name__
