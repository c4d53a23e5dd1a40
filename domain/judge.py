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
        again = holds_from(rule.condition, values, now, zone)
        return Outcome(result="pending", waiting="condition", due=again, at=now), verdict
    return Outcome(result="skipped", reason="condition", at=now), verdict


def holds_from(condition: Condition, values: Values, now: datetime, zone: str) -> datetime | None:
    """The first instant (UTC) after `now` at which the clock makes the condition hold.

    A comparison that the clock turns while the rest is false changes nothing, and is no such instant: what
    waits for it is not overdue from then on. None: the clock will not while the values stay as they are.
    """
    at = turns_at(condition, values, now, zone)
    while at is not None and not judge(condition, values, at, zone).holds:
        at = turns_at(condition, values, at, zone)
    return at


def came_to_hold(
    condition: Condition, values: Values, since: datetime, now: datetime, zone: str
) -> datetime | None:
    """The first instant from `since` on, up to `now`, at which the condition holds by the clock alone.

    Nobody may have looked when the clock turned it.
    """
    if since <= now and judge(condition, values, since, zone).holds:
        return since
    at = holds_from(condition, values, since, zone)
    return at if at is not None and at <= now else None
