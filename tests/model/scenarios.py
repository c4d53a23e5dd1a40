"""Scenarios by chance: small pipelines, offsets so small that much falls on one instant, every feature.

A scenario is plain JSON (`reference.run` says what it holds), so that one text drives the reference model,
the pure engine and the whole stack. Two things are kept out on purpose: a comparison with `now` or `today`
where a condition is waited for, and a move that has neither a delay nor a condition.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, TypeVar

from hypothesis import strategies as st

Json = dict[str, Any]
T = TypeVar("T")

# the record's fields and their types
FIELD_TYPES = {
    "amount": "number",
    "city": "text",
    "tags": "multiple",
    "due_on": "date",
    "meet_at": "datetime",
}

AMOUNTS = ("0", "99.50", "1000", "20000")
CITIES = ("Utrecht", "utrecht", "Leiden", "Den Haag")
TAGS: tuple[list[str], ...] = (["red"], ["red", "blue"], ["Blue"], [])
CLIENT_KINDS = ("call", "email", "form", "payment")
PERIODS: tuple[Json, ...] = (
    {"minutes": 30}, {"minutes": 60}, {"hours": 1}, {"hours": 2}, {"hours": 24}, {"days": 1}, {"days": 2},
)  # fmt: skip

CLOCKS = ("00:00", "09:00", "10:30", "12:00", "18:00", "02:30")
STARTS = (
    datetime(2025, 3, 28, 23, 30, tzinfo=UTC),  # the night before the clocks go forward is near
    datetime(2025, 10, 24, 8, 0, tzinfo=UTC),  # and here, before they go back
    datetime(2025, 12, 23, 15, 0, tzinfo=UTC),
    datetime(2026, 2, 2, 8, 0, tzinfo=UTC),
    datetime(2026, 2, 6, 16, 30, tzinfo=UTC),
)
WORKDAYS = ("mon", "tue", "wed", "thu", "fri")
SPLIT_DAY = [["09:00", "12:00"], ["14:00", "18:00"]]
CALENDARS: tuple[Json | None, ...] = (
    None,
    {"week": dict.fromkeys(WORKDAYS, SPLIT_DAY), "holidays": ["2025-12-25", "2025-12-26", "2026-01-01"]},
    {
        "week": {day: [["08:00", "17:00"]] for day in (*WORKDAYS, "sat")},
        "holidays": ["2025-03-31", "2026-02-03"],
        "exceptions": {"2025-12-24": [["09:00", "12:00"]], "2026-02-08": [["10:00", "12:00"]]},
    },
)
KINDS = {
    "add_comment": 24, "create_todo": 8, "notify": 6, "send_email": 6, "edit_record": 10, "wait": 18,
    "control": 14, "change_stage": 12, "change_pipeline": 3, "delete_record": 1,
}  # fmt: skip
EVENTS = {"move": 32, "client": 22, "edit": 30, "todo": 4, "change_pipeline": 3, "delete": 1}
PLAIN = {
    "add_comment": {"text": "a word"},
    "create_todo": {"subject": "look at it"},
    "notify": {"text": "look"},
    "send_email": {"subject": "news", "text": "there is news"},
    "delete_record": {},
}


class Maker:
    """Draws the parts of one scenario."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.start = self.pick(STARTS)
        self.calendar = self.pick(CALENDARS)
        self.stages = {f"p{n}": self.stage_list(f"p{n}") for n in range(1, self.pick((3, 4)))}

    def pick(self, options: Sequence[T]) -> T:
        return options[self.rng.randrange(len(options))]

    def chance(self, percent: int) -> bool:
        return self.rng.randrange(100) >= 100 - percent

    def weighted(self, weights: dict[str, int]) -> str:
        return self.pick([name for name, weight in weights.items() for _ in range(weight)])

    def stage_list(self, pipeline: str) -> list[Json]:
        """One or two process stages, the success stage, one failure stage."""
        meanings = ["process"] * self.pick((2, 1)) + ["success", "failure"]
        return [{"id": f"{pipeline}-s{n}", "meaning": meaning} for n, meaning in enumerate(meanings, 1)]

    def moment(self) -> datetime:
        return self.start + timedelta(minutes=30 * self.rng.randrange(2 * 24 * 4))

    def field_value(self, name: str) -> Any:
        if name == "amount":
            return self.pick(AMOUNTS)
        if name == "city":
            return self.pick(CITIES)
        if name == "tags":
            return self.pick(TAGS)
        if name == "due_on":
            return self.moment().date().isoformat()
        return self.moment().isoformat()

    def condition(self, clock: bool, depth: int = 0) -> Json:
        """A condition; with `clock` it may look at the time of day it is judged."""
        if depth < 2 and self.chance(25):
            word = self.pick(("all", "any", "not"))
            if word == "not":
                return {"not": self.condition(clock, depth + 1)}
            return {word: [self.condition(clock, depth + 1) for _ in range(self.pick((2, 1, 3)))]}
        name = self.pick(("amount", "amount", "city", "tags", "due_on", "meet_at"))
        op, value = self.comparison(name, clock)
        return {"field": f"record.{name}", "op": op} | ({} if value is None else {"value": value})

    def comparison(self, name: str, clock: bool) -> tuple[str, Any]:
        if self.chance(12):
            return self.pick(("is_empty", "is_not_empty")), None
        orders = ("greater", "greater_or_equal", "less", "less_or_equal", "equal", "not_equal")
        if name == "amount":
            if self.chance(30):
                return self.pick((("between", [99.5, 1000]), ("in", [0, 20000]), ("not_in", [1000])))
            return self.pick(orders), self.pick((1000, 0, 99.5, 5000))
        if name == "city":
            listed = (("in", ["leiden", "Utrecht"]), ("not_in", ["Leiden"]), ("starts_with", "ut"))
            texts = (
                ("contains", "HAAG"),
                ("not_contains", "e"),
                ("equal", "UTRECHT"),
                ("not_equal", "Leiden"),
            )
            return self.pick(listed + texts)
        if name == "tags":
            return self.pick(("contains", "not_contains")), self.pick(("red", "blue"))
        if clock and self.chance(50):
            return self.pick(orders[:4]), {self.pick(("now", "today")): self.pick(PERIODS)}
        if self.chance(30):
            return self.pick(orders[:4]), {
                "field": "record.due_on" if name == "meet_at" else "record.meet_at"
            }
        return self.pick(orders[:4]), self.field_value(name)

    def schedule(self, must_delay: bool = False) -> Json:
        """A schedule of one to five of its parts."""
        made: Json = {}
        if must_delay and self.chance(30):
            return {"after": {"minutes": 60}}
        if self.chance(25):
            made["basis"] = self.pick(("record.due_on", "record.meet_at"))
            if self.chance(40):
                made["if_past"] = self.pick(("run_now", "skip", "fail"))
            if self.chance(40):
                made["if_empty"] = self.pick(("wait_for_value", "skip", "run_now", "fail"))
        if must_delay or self.chance(70):
            made["before" if "basis" in made and self.chance(50) else "after"] = self.pick(PERIODS)
        period = made.get("before") or made.get("after") or {"days": 0}
        if "days" in period and self.chance(30):
            made["at"] = self.pick(CLOCKS)
        if self.calendar and self.chance(25):
            made["working_time"] = True
        return made

    def wait_params(self, pipeline: str) -> Json:
        params: Json = {"until": self.schedule(must_delay=True), "mode": self.pick(("block", "marker"))}
        params["ends_on"] = self.pick(([], ["call"], ["email", "form"]))
        for word in ("on_client", "on_timeout"):
            move = {"move_to": self.pick(self.stages[pipeline])["id"]}
            params[word] = self.pick(("nothing", "nothing", "notify", "todo", move))
        return params | {"instruction": "wait for the client"}

    def control_params(self) -> Json:
        params: Json = {"deadline": self.schedule(must_delay=True), "message": "late"}
        params["until"] = self.condition(clock=False) if self.chance(40) else None
        return params

    def params(self, kind: str, pipeline: str) -> Json:
        if kind == "wait":
            return self.wait_params(pipeline)
        if kind == "control":
            return self.control_params()
        if kind == "edit_record":
            name = self.pick(("amount", "city", "due_on", "meet_at"))
            return {"set": [{"field": name, "value": self.field_value(name)}]}
        if kind == "change_stage":
            return {"stage": self.pick(self.stages[pipeline])["id"]}
        if kind == "change_pipeline":
            others = [name for name in self.stages if name != pipeline]
            target = self.pick(others * 4 + [pipeline])
            return {"pipeline": target, "stage": self.pick([None, *(s["id"] for s in self.stages[target])])}
        return dict(PLAIN[kind])

    def rule(self, pipeline: str, rule_id: str, first: bool) -> Json:
        kind = self.weighted(KINDS)
        moves = kind in ("change_stage", "change_pipeline", "delete_record")
        made: Json = {"id": rule_id, "kind": kind, "params": self.params(kind, pipeline)}
        if not first and self.chance(50):
            made["after_previous"] = True
            made["run_if_previous"] = self.pick(("any", "done_or_skipped", "done"))
        elif self.chance(55):
            made["on_exit"] = self.pick(("keep", "run_now", "cancel"))
        if self.chance(8):
            made["active"] = False
        if self.chance(35):
            made["if_false"] = self.pick(("skip", "wait"))
            made["condition"] = self.condition(clock=made["if_false"] == "skip")
        if self.chance(55) or (moves and not (made.get("condition") and self.chance(60))):
            made["schedule"] = self.schedule(must_delay=moves)
        if self.chance(15):
            within = {"not_within": self.pick(PERIODS)}
            made["repeat"] = self.pick(("once_per_record", "once_per_pipeline_pass", within))
        return made

    def event(self, at: datetime, number: int, pipeline: str) -> Json:
        kind = self.weighted(EVENTS)
        if kind == "delete" and self.chance(80):
            kind = "todo"
        made: Json = {"at": at.isoformat(), "type": kind}
        if kind == "move":
            return made | {"stage": self.pick(self.stages[pipeline])["id"]}
        if kind == "change_pipeline":
            target = self.pick(list(self.stages))
            return made | {"pipeline": target, "stage": self.pick([None, self.stages[target][0]["id"]])}
        if kind == "client":
            doubled = number > 1 and self.chance(8)  # told twice, to be recorded once
            return made | {"kind": self.pick(CLIENT_KINDS), "id": f"client-{number - doubled}"}
        if kind == "edit":
            names = list(FIELD_TYPES)
            chosen = {self.pick(names) for _ in range(2 if self.chance(10) else 1)}
            values = {name: None if self.chance(10) else self.field_value(name) for name in sorted(chosen)}
            return made | {"fields": values}
        return made

    def events(self) -> list[Json]:
        at, made = self.start, [{"at": self.start.isoformat(), "type": "create"}]
        pipeline = "p1"
        for number in range(1, 5 + self.rng.randrange(46)):
            if self.chance(60):
                at += timedelta(minutes=self.pick((30, 60, 60, 90, 120, 1440, 2880)))
            event = self.event(at, number, pipeline)
            pipeline = event.get("pipeline", pipeline)
            made.append(event)
        return made

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
                rules[stage["id"]] = [self.rule(pipeline, name, name == ids[0]) for name in ids]
            pipelines[pipeline] = {"stages": stages, "rules": rules}
            if self.chance(4):
                self.add_loop(rules, stages)
        fields = {name: self.field_value(name) for name in FIELD_TYPES if self.chance(80)}
        events = self.events()
        until = datetime.fromisoformat(events[-1]["at"]) + timedelta(hours=self.pick((0, 48, 24 * 30)))
        return {
            "zone": self.pick(("Europe/Amsterdam", "Europe/Amsterdam", "America/New_York", "UTC")),
            "calendar": self.calendar,
            "pipelines": pipelines,
            "record": {"pipeline": "p1", "stage": "p1-s1", "fields": fields},
            "events": events,
            "until": until.isoformat(),
        }


def random_scenario(rng: Random) -> Json:
    """A scenario from a source of chance; the same seed gives the same scenario."""
    return Maker(rng).scenario()


def scenarios() -> st.SearchStrategy[Json]:
    """Scenarios for Hypothesis: each draw is one of its own, so that a failing one shrinks."""
    return st.randoms(use_true_random=False).map(random_scenario)
