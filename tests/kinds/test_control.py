"""Row 11: an episode that flags lateness, tells whom it concerns, escalates, and says how it ended."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from activities.providers.console import ConsoleMail
from activities.visits import enter, replan
from activities.work import Activities
from db.doorbell import Doorbell
from db.edits import edit
from db.records import By, change_pipeline, delete, move
from db.settings import Settings
from domain.events import Outcome
from domain.holds.control import Control
from domain.journey import Replan, RuleRun
from domain.progress import Progress
from tests import builders
from tests.builders import NOON
from tests.kinds.conftest import Desk
from tests.stories.conftest import away

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
HUGO: dict[str, Any] = {"recipients": ["employee:hugo"]}
HOT = {"field": "record.hot", "op": "equal", "value": True}


async def watched(desk: Desk, *, deal: dict[str, Any] | None = None, **params: Any) -> int:
    """A deal under one control, `watch`, whose deadline is an hour away."""
    given = {"deadline": {"after": {"hours": 1}}} | params
    rule = {"id": "watch", "kind": "control", "params": given}
    await desk.run(lambda tx: builders.rule_set(tx, {"new": [rule]}))
    return await desk.deal(**{"fields": {"reference": "1"}} | (deal or {}))


async def acts(desk: Desk, deal: int, at: datetime = NOON, n: int = 0) -> Outcome:
    """One act of the control as its activity makes it: its opening, or its `n`-th look."""
    activities = Activities(desk.database, Doorbell(desk.database, away, "jalon"), ConsoleMail(), Settings())
    asked = RuleRun(record_id=deal, visit_no=1, rule="watch", n=n, turn=NOON, due=at)
    return await activities._act(asked, at)


async def told(desk: Desk) -> list[tuple[datetime, str, str]]:
    rows = await desk.rows("notification", order="id")
    return [(row["at"], row["employee_id"], row["body"]) for row in rows]


async def results(desk: Desk) -> dict[str, Any]:
    found = (await desk.row("ledger", "rule = 'watch' and n = 0"))["results"]
    assert isinstance(found, dict)
    return found


# -- at the deadline ---------------------------------------------------------------------------------
async def test_at_the_deadline_it_is_flagged_late_and_the_supervisor_is_told(desk: Desk) -> None:
    deal = await watched(desk, message="{{ record.title }}: hurry")
    assert (await acts(desk, deal)).due == NOON + HOUR
    assert not (await desk.record(deal))["late"]
    await acts(desk, deal, NOON + HOUR, n=1)
    assert (await desk.record(deal))["late"]
    assert (await desk.row("hold"))["state"] == "late"
    assert await told(desk) == [(NOON + HOUR, "hugo", "A roof for Klein: hurry")]


async def test_history_shows_as_whom_it_acts(desk: Desk) -> None:
    rule: dict[str, Any] = {"id": "watch", "kind": "control", "acting": "responsible"}
    rule |= {"params": {"deadline": {"after": {"hours": 1}}}}
    await desk.run(lambda tx: builders.rule_set(tx, {"new": [rule]}))
    deal = await desk.deal(responsible="ben")
    await acts(desk, deal)
    await acts(desk, deal, NOON + HOUR, n=1)
    assert (await desk.row("notification"))["sender"] == "ben"


async def test_a_notice_outside_working_time_is_given_at_the_next_working_instant(desk: Desk) -> None:
    night, morning = NOON + 8 * HOUR, NOON + DAY - 4 * HOUR  # 21:00 in Paris, 09:00 of the day after
    deal = await watched(desk, **HUGO, deadline={"after": {"hours": 8}})
    await acts(desk, deal)
    assert (await acts(desk, deal, night, n=1)).due == morning
    assert (await desk.record(deal))["late"]
    assert await told(desk) == []
    await acts(desk, deal, morning, n=2)
    assert [(at, who) for at, who, _ in await told(desk)] == [(morning, "hugo")]


async def test_after_counts_from_the_deadline_in_working_time_only_if_the_deadline_does(desk: Desk) -> None:
    levels = [{"after": {"hours": 4}, "recipients": ["employee:eve"]}]
    for working, first, second in (
        (False, NOON + HOUR, NOON + 5 * HOUR),
        (True, NOON + 2 * HOUR, NOON + DAY - 3 * HOUR),  # 13:00 in Paris is in the pause: 15:00, and 10:00
    ):
        deadline = {"after": {"hours": 1}, "working_time": working}
        deal = await watched(desk, **HUGO, deadline=deadline, escalate=levels)
        assert (await acts(desk, deal)).due == first
        assert (await acts(desk, deal, first, n=1)).due == second


async def test_several_notices_that_are_due_at_once_are_all_given_once(desk: Desk) -> None:
    levels = [{"after": {"hours": hours}, "recipients": ["employee:eve"]} for hours in (1, 2)]
    deal = await watched(desk, **HUGO, escalate=levels)
    await acts(desk, deal)
    outcome = await acts(desk, deal, NOON + 5 * HOUR, n=1)
    assert (outcome.result, outcome.due) == ("open", None)
    assert [who for _, who, _ in await told(desk)] == ["hugo", "eve", "eve"]
    await acts(desk, deal, NOON + 5 * HOUR, n=1)
    assert len(await told(desk)) == 3


async def test_the_last_level_repeats_at_most_so_often(desk: Desk) -> None:
    again = {"every": {"minutes": 30}, "at_most": 2}
    levels = [{"after": {"minutes": 30}, "recipients": ["employee:eve"], "repeat": again}]
    deal = await watched(desk, **HUGO, escalate=levels)
    due = (await acts(desk, deal)).due
    for n in range(1, 6):
        due = (await acts(desk, deal, due, n=n)).due if due else None
    half = HOUR / 2
    given = [(NOON + HOUR + i * half, "hugo" if i == 0 else "eve") for i in range(4)]
    assert [(at, who) for at, who, _ in await told(desk)] == given


async def test_nobody_to_tell_is_listed_as_a_failure_and_the_record_is_late_all_the_same(desk: Desk) -> None:
    deal = await watched(desk, recipients=["employee:gone"])
    await acts(desk, deal)
    await acts(desk, deal, NOON + HOUR, n=1)
    assert (await desk.record(deal))["late"]
    failed = await desk.row("ledger", "outcome = 'failed'")
    assert (failed["n"], failed["reason"]) == (1, "nobody")
    assert failed["error"] == "it is late, and nobody was there to be told"
    ((_, who, body),) = await told(desk)
    assert who == "eve"  # the owner of the rules
    assert body.endswith("is late (and nobody was there to be told)")
    assert "not_told" in [event for event, *_ in await desk.journal(deal)]


async def test_a_message_that_cannot_be_filled_in_any_more_says_that_it_is_late(desk: Desk) -> None:
    deal = await watched(desk, **HUGO, message="{{ record.title }}" * 20)
    await acts(desk, deal)
    await desk.run(f"update record set title = repeat('x', 90000) where id = {deal}")
    assert (await acts(desk, deal, NOON + HOUR, n=1)).result == "open"
    ((_, who, body),) = await told(desk)
    assert (who, body[:10], body[-10:]) == ("hugo", "watch: xxx", "xx is late")


# -- how it ends -------------------------------------------------------------------------------------
async def test_its_condition_is_judged_at_its_opening(desk: Desk) -> None:
    deal = await watched(desk, until=HOT, deal={"fields": {"reference": "1", "hot": True}})
    outcome = await acts(desk, deal)
    assert (outcome.result, outcome.reason) == ("done", "resolved")
    assert await results(desk) == {"state": "resolved", "late_by": 0}
    assert await desk.rows("hold") == []


@pytest.mark.parametrize(("late", "state"), [(False, "resolved"), (True, "resolved_late")])
async def test_without_a_condition_leaving_the_stage_resolves_it(desk: Desk, late: bool, state: str) -> None:
    deal = await watched(desk, **HUGO)
    await acts(desk, deal)
    if late:
        await acts(desk, deal, NOON + HOUR, n=1)
    async with desk.locked(deal) as locked:
        await move(locked, "offer", By("eve", NOON + (3 * HOUR if late else HOUR / 2)))
    assert (await desk.row("hold"))["state"] == state
    assert await results(desk) == {"state": state, "late_by": 120 if late else 0}
    await acts(desk, deal, NOON + 3 * HOUR, n=2)
    await acts(desk, deal, NOON + 3 * HOUR, n=2)
    ended = [("hugo", "watch: resolved late")] if late else []
    assert [(who, body) for _, who, body in (await told(desk))[1:]] == ended


@pytest.mark.parametrize("suspended", [False, True])
async def test_left_after_its_deadline_it_is_late_though_no_worker_was_there(
    desk: Desk, suspended: bool
) -> None:
    deal = await watched(desk)
    await acts(desk, deal)
    if suspended:  # then what the clock does queues
        await desk.run(f"update record set suspended = 'by Eve' where id = {deal}")
    async with desk.locked(deal) as locked:
        await move(locked, "offer", By("eve", NOON + 3 * HOUR))
    state, late_by = ("resolved", 0) if suspended else ("resolved_late", 120)
    assert (await desk.row("hold"))["state"] == state
    assert await results(desk) == {"state": state, "late_by": late_by}


@pytest.mark.parametrize(("hours", "state"), [(0, "resolved"), (3, "resolved_late")])
async def test_its_condition_comes_to_hold_before_or_after_the_deadline_with_no_worker_there(
    desk: Desk, hours: int, state: str
) -> None:
    deal, at = await watched(desk, until=HOT), NOON + hours * HOUR
    worker = Activities(desk.database, Doorbell(desk.database, away, "jalon"), ConsoleMail(), Settings())
    opened = await worker._on_record(deal, Progress(), NOON, lambda runner: enter(runner, Progress()))
    async with desk.locked(deal) as locked:
        await edit(locked, {"hot": True}, By("eve", at))
    asked = Replan(record_id=deal, progress=opened.progress, fields=["record.hot"], at=at)
    away_till = NOON + 5 * HOUR
    await worker._on_record(deal, opened.progress, away_till, lambda r: replan(r, opened.progress, asked))
    assert await results(desk) == {"state": state, "late_by": 120 if hours else 0}


async def test_one_a_person_rescheduled_is_not_late_before_that_time(desk: Desk) -> None:
    passed = {"field": "record.visit_at", "op": "less_or_equal", "value": {"now": {"days": -1}}}
    fields = {"reference": "1", "visit_at": (NOON - 22 * HOUR).isoformat()}  # passed at two hours after noon
    deal = await watched(desk, until={"all": [HOT, passed]}, deal={"fields": fields})
    worker = Activities(desk.database, Doorbell(desk.database, away, "jalon"), ConsoleMail(), Settings())
    opened = await worker._on_record(deal, Progress(), NOON, lambda runner: enter(runner, Progress()))
    until = NOON + 10 * HOUR
    await desk.run(f"update hold set pinned = true, due_at = '{until}', deadline = '{until}'")
    async with desk.locked(deal) as locked:
        await edit(locked, {"hot": True}, By("eve", NOON + HOUR))
    asked = Replan(record_id=deal, progress=opened.progress, fields=["record.hot"], at=NOON + HOUR)
    await worker._on_record(deal, opened.progress, NOON + HOUR, lambda r: replan(r, opened.progress, asked))
    row = await desk.row("hold")
    assert (row["deadline"], row["due_at"]) == (until, NOON + 2 * HOUR)  # there the clock turns its condition
    await acts(desk, deal, NOON + 2 * HOUR, n=1)
    assert (await desk.row("hold"))["reason"] == "resolved"


@pytest.mark.parametrize("cause", ["left_stage", "pipeline_changed", "record_deleted"])
async def test_ended_before_its_condition_holds_it_is_given_up(desk: Desk, cause: str) -> None:
    deal = await watched(desk, **HUGO, until=HOT)
    await acts(desk, deal)
    async with desk.locked(deal) as locked:
        by = By("eve", NOON + HOUR)
        if cause == "left_stage":
            await move(locked, "offer", by)
        elif cause == "pipeline_changed":
            await change_pipeline(locked, "service", None, by)
        else:
            await delete(locked, by)
    hold = await desk.row("hold")
    assert (hold["outcome"], hold["reason"], hold["state"]) == ("cancelled", cause, "given_up")
    assert (await results(desk))["state"] == "given_up"


@pytest.mark.parametrize("at_most", [0, -1, 1001])
def test_what_is_refused_on_save(at_most: int) -> None:
    level = {"after": {"hours": 1}, "recipients": ["supervisor"], "repeat": {"every": {"hours": 1}}}
    level["repeat"] |= {"at_most": at_most}  # type: ignore[operator]  # a dict
    with pytest.raises(ValidationError):
        Control.model_validate({"deadline": {"after": {"hours": 1}}, "escalate": [level]})
