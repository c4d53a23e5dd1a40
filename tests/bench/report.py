"""The table, the targets, and the same as one line of JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple

from tests.bench.subjects import Size
from tests.bench.windows import Window

Round = Mapping[str, Window]
COLUMNS: dict[str, Callable[[Window], float]] = {
    "rate": lambda w: w.rate,
    "server": lambda w: w.server,
    "worker": lambda w: w.worker,
    "driver": lambda w: w.driver,
    "postgres": lambda w: w.postgres,
    "all": lambda w: w.all,
    "effect p50": lambda w: w.quantile("effect", 0.5),
    "effect p95": lambda w: w.quantile("effect", 0.95),
    "written p50": lambda w: w.quantile("written", 0.5),
    "rung p50": lambda w: w.quantile("rung", 0.5),
    "others": lambda w: w.others,
}


@dataclass
class Results:
    """Windows by round and case (`one@1` is one in flight), histories by case, and the rest."""

    rounds: list[dict[str, Window]] = field(default_factory=list)
    sizes: dict[str, Size] = field(default_factory=dict)
    idle: Size | None = None
    megabytes: float | None = None
    waiting: int = 0

    def medians(self) -> dict[str, dict[str, float]]:
        """By case and column."""
        cases = dict.fromkeys(case for windows in self.rounds for case in windows)
        found = {
            case: {name: median(of(r[case]) for r in self.rounds) for name, of in COLUMNS.items()}
            for case in cases
        }
        for case, size in self.sizes.items():
            found.setdefault(case, {}).update({"events": size.events, "bytes": size.bytes})
        return found

    def ratio(self, one: str, other: str, of: Callable[[Window], float]) -> list[float]:
        """Within each round."""
        return [of(r[one]) / of(r[other]) for r in self.rounds if one in r and other in r]


class Target(NamedTuple):
    """What is to be reached, and what was measured (of ratios the least and the most, too).

    `by_cpu`: the same ratio by all CPU that was used, which what else runs on the machine disturbs less.
    """

    what: str
    value: float
    bound: float
    at_least: bool = False
    spread: tuple[float, float] | None = None
    by_cpu: float | None = None

    @property
    def met(self) -> bool:
        return self.value >= self.bound if self.at_least else self.value <= self.bound


def targets(results: Results) -> list[Target]:
    """Those for which something was measured."""
    found: list[Target] = []

    def ratio(what: str, values: list[float], bound: float, *, at_least: bool = False) -> None:
        if values:
            found.append(Target(what, median(values), bound, at_least, (min(values), max(values))))

    def rate(what: str, one: str, other: str, bound: float) -> None:
        if values := results.ratio(one, other, lambda w: w.rate):
            by_cpu = median(results.ratio(other, one, lambda w: w.all))
            found.append(Target(what, median(values), bound, True, (min(values), max(values)), by_cpu))

    def sized(what: str, size: Size | None, events: float, most_bytes: float | None) -> None:
        if size:
            found.append(Target(f"{what}: events", size.events, events))
            if most_bytes:
                found.append(Target(f"{what}: bytes", size.bytes, most_bytes))

    of = results.ratio
    rate("ten rules at once, rules/s ÷ bare", "ten", "bare10", 2.5)
    ratio("ten rules at once, CPU ÷ bare with one", of("ten", "bare1", lambda w: w.temporal), 1.4)
    sized("ten rules at once", results.sizes.get("ten"), 12, None)
    rate("one rule, rate ÷ bare", "one", "bare1", 0.7)
    sized("one rule", results.sizes.get("one"), 13, 2048)
    # the delay, not the machine, limits the rate: so by CPU
    slower = of("bare-late", "late", lambda w: w.temporal)
    ratio("one delayed rule, bare's CPU ÷ its (rate not saturated)", slower, 0.6, at_least=True)
    for q, bound in ((0.5, 1.6), (0.95, 2.0)):
        slower = of("one@1", "bare1@1", lambda w, q=q: w.quantile("effect", q))
        ratio(f"call to first effect, p{q * 100:.0f} ÷ bare", slower, bound)
    sized("an idle journey", results.idle, 12, 2048)
    if results.megabytes is not None:
        what = f"a worker with {results.waiting} waiting journeys, MB"
        found.append(Target(what, results.megabytes, 250))
    return found


def table(results: Results) -> str:
    columns = [*COLUMNS, "events", "bytes"]
    lines = ["| case | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for case, values in results.medians().items():
        cells = [f"{values[c]:.1f}" if c in values else "" for c in columns]
        lines.append(f"| {case} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def verdicts(results: Results) -> str:
    lines = ["| target | measured | to reach | |", "|---|---|---|---|"]
    for target in targets(results):
        spread = f" ({target.spread[0]:.2f}–{target.spread[1]:.2f})" if target.spread else ""
        spread += f", by CPU {target.by_cpu:.2f}" if target.by_cpu else ""
        bound = f"{'≥' if target.at_least else '≤'} {target.bound:g}"
        verdict = "met" if target.met else "NOT MET"
        lines.append(f"| {target.what} | {target.value:.2f}{spread} | {bound} | {verdict} |")
    return "\n".join(lines)


def as_json(results: Results) -> str:
    cases = {c: {k: round(v, 3) for k, v in found.items()} for c, found in results.medians().items()}
    judged = [
        {"target": t.what, "value": round(t.value, 3), "bound": t.bound, "at_least": t.at_least, "met": t.met}
        | ({"by_cpu": round(t.by_cpu, 3)} if t.by_cpu else {})
        for t in targets(results)
    ]
    return json.dumps({"rounds": len(results.rounds), "cases": cases, "targets": judged}, ensure_ascii=False)
