"""Draws the rules of random scenarios: conditions, schedules, parameters, triggers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, TypeVar

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
RESULTS = {
    "wait": ("ended", ("client", "time", "person")),
    "control": ("state", ("resolved", "resolved_late", "late", "watching", "given_up")),
    "add_comment": ("id", ()),
    "create_todo": ("id", ()),
    "send_email": ("message_id", ()),
}
PLAIN = {
    "add_comment": {"text": "a word"},
    "create_todo": {"subject": "look at it"},
    "notify": {"text": "look"},
    "send_email": {"subject": "news", "text": "there is news"},
    "delete_record": {},
}


class RuleMaker:
    """Draws rules, of what the features allow."""

    def __init__(self, rng: Random, features: frozenset[str]) -> None:
        self.rng, self.features = rng, features
        self.above: list[tuple[str, str]] = []  # kind and id of the rules above, in the stage being drawn
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

    def may(self, feature: str, percent: int) -> bool:
        return feature in self.features and self.chance(percent)

    def condition(self, clock: bool, depth: int = 0) -> Json:
        """A condition; with `clock` it may look at the time of day it is judged."""
        if depth < 2 and self.chance(25):
            word = self.pick(("all", "any", "not"))
            if word == "not":
                return {"not": self.condition(clock, depth + 1)}
            return {word: [self.condition(clock, depth + 1) for _ in range(self.pick((2, 1, 3)))]}
        if self.above and self.chance(30):
            return self.result()
        if "stage_field" in self.features and self.chance(10):
            stage = self.pick([stage["id"] for listed in self.stages.values() for stage in listed])
            return {"field": "record.stage", "op": self.pick(("equal", "not_equal")), "value": stage}
        name = self.pick(("amount", "amount", "city", "tags", "due_on", "meet_at"))
        op, value = self.comparison(name, clock)
        return {"field": f"record.{name}", "op": op} | ({} if value is None else {"value": value})

    def result(self) -> Json:
        """A comparison of what a rule above has come to."""
        kind, rule = self.pick(self.above)
        name, known = RESULTS[kind]
        made = {"field": f"steps.{rule}.{name}"}
        if known:
            return made | {"op": "equal", "value": self.pick(known)}
        return made | {"op": self.pick(("is_not_empty", "is_not_empty", "is_empty"))}

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
        if "people" in self.features and self.chance(25):
            made["on_duty"] = True
            if self.chance(30):
                made["on_duty_cap"] = self.pick(PERIODS)
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
        params["until"] = self.condition("clock_waits" in self.features) if self.chance(40) else None
        if params["until"] and self.may("settled_controls", 40):
            word = self.pick(("if_past", "if_empty"))
            params["deadline"] = {"basis": "record.due_on", word: self.pick(("skip", "fail"))}
        elif params["until"] and "settled_controls" not in self.features:
            params["deadline"] = {
                word: part for word, part in params["deadline"].items() if word not in ("if_past", "if_empty")
            }
        return params

    def params(self, kind: str, pipeline: str) -> Json:
        if kind == "wait":
            return self.wait_params(pipeline)
        if kind == "control":
            return self.control_params()
        if kind == "edit_record":
            name = self.pick(("amount", "city", "due_on", "meet_at"))
            sets = [{"field": name, "value": self.field_value(name)}]
            if "stage_edits" in self.features and self.chance(25):
                sets.append({"field": "stage", "value": self.pick(self.stages[pipeline])["id"]})
            return {"set": sets}
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
        moves = moves or len(made["params"].get("set", ())) > 1
        if not first and self.chance(50):
            made["after_previous"] = True
            made["run_if_previous"] = self.pick(("any", "done_or_skipped", "done"))
        elif self.chance(55):
            made["on_exit"] = self.pick(("keep", "run_now", "cancel"))
        if self.chance(8):
            made["active"] = False
        if self.chance(35):
            made["if_false"] = self.pick(("skip", "wait"))
            made["condition"] = self.condition(
                clock=made["if_false"] == "skip" or "clock_waits" in self.features
            )
        if self.chance(55) or (moves and not (made.get("condition") and self.chance(60))):
            made["schedule"] = self.schedule(must_delay=moves)
        if "suspension" in self.features and self.chance(40):
            catch_up = {self.pick(("drop_if_late", "spread_over")): self.pick(PERIODS)}
            made.setdefault("schedule", {})["catch_up"] = catch_up
        if self.chance(15):
            within = {"not_within": self.pick(PERIODS)}
            made["repeat"] = self.pick(("once_per_record", "once_per_pipeline_pass", within))
        if kind in RESULTS and ("sent" if kind == "send_email" else "results") in self.features:
            self.above.append((kind, rule_id))
        return made

    def trigger(self, pipeline: str, number: int) -> Json:
        on = self.pick(("client_activity", "field_changed"))
        only: tuple[list[str], ...] = ([], ["call"], ["email", "form"])
        if on == "field_changed":
            only = (["amount"], ["city"], ["due_on", "tags"])
        made = {"id": f"{pipeline}-t{number}", "on": on, "only": self.pick(only)}
        made |= {"stage": self.pick(self.stages[pipeline])["id"], "direction": self.pick(("forward", "any"))}
        if self.chance(30):
            made["once"] = self.pick(("per_visit", "per_record"))
        if self.chance(20):
            made["cool_down"] = self.pick(PERIODS)
        return made | ({"condition": self.condition(clock=True)} if self.chance(40) else {})
