"""Draws the events of random scenarios: what people, clients and time do to a record."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random

from tests.model.scenario_rules import FIELD_TYPES, Json, RuleMaker

CLIENT_KINDS = ("call", "email", "form", "payment")
EVENTS = {"move": 32, "client": 22, "edit": 30, "todo": 4, "change_pipeline": 3, "delete": 1}
MORE_EVENTS = {
    "restore": {"restore": 2},
    "suspension": {"suspend": 6, "resume": 10},
    "operators": {"operate": 20},
    "people": {"responsible": 3, "absence": 4},
}


class EventMaker(RuleMaker):
    """Draws events; it has to know the rules, to name some of them."""

    def __init__(self, rng: Random, features: frozenset[str]) -> None:
        super().__init__(rng, features)
        self.rule_ids: dict[str, list[str]] = {}  # of each pipeline
        self.scopes = ["record"]  # that were suspended
        self.here = "p1-s1"  # where the record may be: only rules move it elsewhere

    def event(self, at: datetime, number: int, pipeline: str) -> Json:
        more = [weights for feature, weights in MORE_EVENTS.items() if feature in self.features]
        kind = self.weighted(EVENTS | {name: weight for weights in more for name, weight in weights.items()})
        if kind == "delete" and self.chance(40 if "restore" in self.features else 80):
            kind = "todo"
        made: Json = {"at": at.isoformat(), "type": kind}
        if "missed" in self.features and kind in ("move", "change_pipeline", "delete") and self.chance(12):
            made["through"] = [self.pick(self.stages[pipeline])["id"] for _ in range(self.pick((1, 1, 2)))]
        if kind == "move":
            return made | {"stage": self.pick(self.stages[pipeline])["id"]}
        if kind == "change_pipeline":
            target = self.pick(list(self.stages))
            return made | {"pipeline": target, "stage": self.pick([None, self.stages[target][0]["id"]])}
        if kind == "client":
            doubled = number > 1 and self.chance(8)  # told twice, to be recorded once
            made |= {"kind": self.pick(CLIENT_KINDS), "id": f"client-{number - doubled}"}
            return made | ({"bound": "client"} if self.may("client_bound", 30) else {})
        if kind == "edit":
            names = list(FIELD_TYPES)
            chosen = {self.pick(names) for _ in range(2 if self.chance(10) else 1)}
            values = {name: None if self.chance(10) else self.field_value(name) for name in sorted(chosen)}
            stage = {"stage": self.pick(self.stages[pipeline])["id"]} if self.may("together", 20) else {}
            return made | {"fields": values} | stage
        return made | self.surgery(kind, at, pipeline)

    def surgery(self, kind: str, at: datetime, pipeline: str) -> Json:
        """What people do to steps, to automation and to employees."""
        if kind == "suspend":
            rules = self.rule_ids[pipeline]
            scope = self.pick(("record", "record", "record", f"pipeline:{pipeline}", "rule"))
            scope = (
                f"rule:{self.pick(rules)}" if scope == "rule" and rules else scope.replace("rule", "record")
            )
            self.scopes.append(scope)
            return {"scope": scope}
        if kind == "resume":
            return {"scope": self.pick(self.scopes[-2:])}
        if kind == "operate" and self.rule_ids[pipeline]:
            here = [rule for rule in self.rule_ids[pipeline] if rule.startswith(self.here)]
            made = {
                "verb": self.pick(("run_now", "skip", "reschedule", "reschedule")),
                "rule": self.pick(here if here and self.chance(80) else self.rule_ids[pipeline]),
            }
            if made["verb"] == "reschedule":
                made["due"] = (at + timedelta(minutes=self.pick((0, 30, 60, 120, 1440, 2880)))).isoformat()
            return made | ({"visit": 1 + self.rng.randrange(4)} if self.chance(20) else {})
        if kind == "operate":
            return {"type": "todo"}
        if kind == "responsible":
            return {"who": self.pick(("ann", "ben"))}
        if kind == "absence":
            begins = self.moment()
            ends = begins + timedelta(minutes=self.pick((60, 1440, 2880, 10080)))
            return {"who": self.pick(("ann", "ben")), "from": begins.isoformat(), "to": ends.isoformat()}
        return {}

    def people(self) -> Json:
        """Two employees: one with the zone and calendar of the pipelines, one with a zone of their own."""
        first = self.surgery("absence", self.start, "")
        second = self.surgery("absence", self.start, "")
        zone: Json = self.pick(({}, {"zone": "Asia/Kolkata"}, {"zone": "Europe/London"}))
        return {
            "ann": {"absences": [[first["from"], first["to"]]]},
            "ben": {"absences": [[second["from"], second["to"]]]} | zone,
        }

    def events(self) -> list[Json]:
        at, made = self.start, [{"at": self.start.isoformat(), "type": "create"}]
        pipeline = "p1"
        for number in range(1, 5 + self.rng.randrange(46)):
            if self.chance(60):
                at += timedelta(minutes=self.pick((30, 60, 60, 90, 120, 1440, 2880)))
            event = self.event(at, number, pipeline)
            pipeline = event.get("pipeline", pipeline)
            self.here = event.get("stage") or self.here
            made.append(event)
        return made
