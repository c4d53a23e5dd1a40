"""Scenarios by chance: small pipelines, offsets so small that much falls on one instant, every feature.

A scenario is plain JSON, so that one text drives the reference model, the pure engine and the whole stack.
One thing is kept out on purpose: a move that has neither a delay nor a condition.

    {"zone", "calendar": {"week", "holidays", "exceptions"} or null,
     "workflow_id": "deal-1", of which `spread_over` takes its share (left out: that one),
     "people": {name: {"absences": [[from, to], ...], "zone"?, "calendar"?}}, left out without `people`,
     "pipelines": {name: {"stages": [{"id", "meaning"}], "rules": {stage: [rule as it is published]},
                          "grace": period, "triggers": [trigger]}}, the last two optional,
     "record": {"pipeline", "stage", "fields", "responsible"?}, "events": [event], "until": instant}

A trigger is `{"id", "on": "client_activity" | "field_changed", "only": [types or fields], "condition"?,
"stage", "direction": "forward" | "any", "once"?: "per_visit" | "per_record", "cool_down"?: period}`.

An event is `{"at": instant, "type": ...}` and, by its type, what stands here. Which of them are drawn, and
what rules may say, follows from the features (in brackets).

- `create`: the first event.
- `move` with `stage`: a person moves the record. A stage of another pipeline is refused.
- `change_pipeline` with `pipeline` and `stage`, or null for one of the same meaning: a person does.
- `client` with `id` and `kind`: a client activity of the record, recorded once. With `"bound": "client"`
  (`client_bound`) one of its client, and so of all open records of it.
- `edit` with `fields`: a person edits the record. With `stage` (`together`) its stage in the same edit, which
  is refused as a whole if the record's pipeline has no such stage.
- `delete`: a person deletes the record, which hears of nothing till `restore` (`restore`) undoes it.
- `move`, `change_pipeline` and `delete` with `through`, a list of stages (`missed`): just before, at the same
  instant, a person moves the record to these, and its journey hears of nothing before all is over.
- `todo`: people's to-dos; no rule hears of them.
- `task` with `rule`: a person completes the open tasks of a rule, the oldest first (`with_tasks`).
- `suspend`, `resume` with `scope`, which is `record`, `pipeline:<name>` or `rule:<id>` (`suspension`): a
  cover is laid, or taken away if it lies there.
- `operate` with `verb`, `rule` and `visit` (the present one, if left out) (`operators`): a person does
  `run_now`, `skip` or `reschedule` (with `due`) to a pending step. The first two also end an open wait,
  `skip` an open control. All else is refused.
- `responsible` with `who` (`people`): a person changes the responsible.
- `absence` with `who`, `from`, `to` (`people`): an absence of an employee is noted.

The other features: `clock_waits` (a condition that is waited for, or a control's, may look at `now` and
`today`), `results` (conditions may read `steps.*`), `sent` (those of e-mails too; nobody promises that one is
sent before the next rule of that instant acts), `stage_field` (and `record.stage`), `stage_edits` (a rule may
edit fields and the stage in one), `settled_controls` (`if_past` and `if_empty` of a control that has a
condition), and `grace` and `triggers` of pipelines.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random

from hypothesis import strategies as st

from tests.model.scenario_events import EventMaker
from tests.model.scenario_rules import FIELD_TYPES, Json

__all__ = ["FEATURES", "FIELD_TYPES", "KNOWN", "random_scenario", "scenarios"]

FEATURES = frozenset({
    "clock_waits", "client_bound", "grace", "missed", "operators", "people", "restore", "results", "sent",
    "settled_controls", "stage_edits", "stage_field", "suspension", "together", "triggers",
})  # fmt: skip
KNOWN = frozenset({
    "client_bound", "clock_waits", "grace", "missed", "operators", "people", "restore", "results", "sent",
    "settled_controls", "stage_edits", "stage_field", "suspension", "together",
})  # fmt: skip
"""What the engine and its driver know; the default of the generator."""


class Maker(EventMaker):
    """Draws one scenario."""

    def add_loop(self, rules: Json, stages: list[Json]) -> None:
        """Two stages that send the record to each other at once: the guard must stop them."""
        first, second = stages[0]["id"], stages[1]["id"]
        always = {"not": {"field": "record.city", "op": "equal", "value": "Nowhere"}}
        for stage, other in ((first, second), (second, first)):
            move = {"id": f"{stage}-loop", "kind": "change_stage", "params": {"stage": other}}
            rules[stage].append(move | {"condition": always})

    def scenario(self) -> Json:
        pipelines: Json = {}
        for pipeline, stages in self.stages.items():
            rules = {}
            for stage in stages:
                ids = [f"{stage['id']}-r{n}" for n in range(self.rng.randrange(8))]
                self.above = []
                rules[stage["id"]] = [self.rule(pipeline, name, name == ids[0]) for name in ids]
            self.above = []
            self.rule_ids[pipeline] = [rule["id"] for listed in rules.values() for rule in listed]
            pipelines[pipeline] = {"stages": stages, "rules": rules}
            if self.may("grace", 12):
                pipelines[pipeline]["grace"] = self.pick(({"minutes": 5}, {"minutes": 30}, {"hours": 1}))
            if "triggers" in self.features:
                pipelines[pipeline]["triggers"] = [
                    self.trigger(pipeline, n) for n in range(self.rng.randrange(4))
                ]
            if self.chance(12 if "suspension" in self.features else 4):
                self.add_loop(rules, stages)
        fields = {name: self.field_value(name) for name in FIELD_TYPES if self.chance(80)}
        events = self.events()
        until = datetime.fromisoformat(events[-1]["at"]) + timedelta(hours=self.pick((0, 48, 24 * 30)))
        people: Json = {}
        if "people" in self.features:
            people = {"people": self.people()}
        made: Json = {
            "zone": self.pick(("Europe/Amsterdam", "Europe/Amsterdam", "America/New_York", "UTC")),
            "calendar": self.calendar,
            "pipelines": pipelines,
            "record": {"pipeline": "p1", "stage": "p1-s1", "fields": fields},
            "events": events,
            "until": until.isoformat(),
        }
        if people:
            made["record"]["responsible"] = "ann"
        return made | people


def random_scenario(rng: Random, features: frozenset[str] = KNOWN) -> Json:
    """A scenario from a source of chance; the same seed and features give the same scenario."""
    return Maker(rng, features).scenario()


def scenarios() -> st.SearchStrategy[Json]:
    """Scenarios for Hypothesis: each draw is one of its own, so that a failing one shrinks."""
    return st.randoms(use_true_random=False).map(random_scenario)
