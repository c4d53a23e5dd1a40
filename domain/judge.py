"""Whether a step acts: `repeat`, then its condition, on the values of the moment."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from domain.conditions import Condition, Values, Verdict, judge, turns_at
from domain.events import Outcome
from domain.rule import NotWithin, Rule


class Past(NamedTuple):
    """An earlier `done` or `unknown` step of the same rule id, in any version."""

    visit_no: int
    pass_no: int
    at: datetime


def repeats(rule: Rule, past: Iterable[Past], pass_no: int, now: datetime) -> bool:
    """True where `repeat` forbids that the rule acts again."""
    match rule.repeat:
        case "every_visit":
            return False
        case "once_per_record":
            return any(True for _ in past)
        case "once_per_pipeline_pass":
            return any(p.pass_no == pass_no for p in past)
        case NotWithin(not_within=period):
            return any(now < p.at + period.span for p in past)


def refusal(
    rule: Rule, values: Values, now: datetime, zone: str, *, leaving: bool
) -> tuple[Outcome | None, Verdict | None]:
    """The outcome of a step whose condition is false (None: it acts), and the verdict for the journal.

    `leaving`: the stage was left under `run_now`, where `if_false: wait` reads as `skip`.
    """
    if rule.condition is None:
        return None, None
    verdict = judge(rule.condition, values, now, zone)
    if verdict.holds:
        return None, verdict
    if rule.if_false == "wait" and not leaving:
        again = turns_at(rule.condition, values, now, zone)
        return Outcome(result="pending", waiting="condition", due=again, at=now), verdict
    return Outcome(result="skipped", reason="condition", at=now), verdict


def came_to_hold(
    condition: Condition, values: Values, since: datetime, now: datetime, zone: str
) -> datetime | None:
    """The first instant from `since` on, up to `now`, at which the condition holds by the clock alone.

    Nobody may have looked when the clock turned it: each of its turns since then is looked at.
    """
    at: datetime | None = since
    while at is not None and at <= now:
        if judge(condition, values, at, zone).holds:
            return at
        at = turns_at(condition, values, at, zone)
    return None
