"""Row 13: until the client acts, the time is out, or somebody ends it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from activities.client import Answer, Heard, record_activity
from activities.house import House
from activities.providers.console import ConsoleMail
from activities.work import Activities
from db.doorbell import Doorbell
from db.records import By, delete, move
from db.settings import Settings
from domain.events import Outcome
from domain.journey import RuleRun
from tests import builders
from tests.builders import NOON
from tests.kinds.conftest import Desk
from tests.stories.conftest import away

HOUR = timedelta(hours=1)


async def waiting(desk: Desk, *, deal: dict[str, Any] | None = None, **params: Any) -> int:
    """A deal with one wait, `patience`, of an hour."""
    rule = {"id": "patience", "kind": "wait", "params": {"until": {"after": {"hours": 1}}} | params}
    await desk.run(lambda tx: builders.rule_set(tx, {"new": [rule]}))
    return await desk.deal(**{"fields": {"reference": "1"}} | (deal or {}))


async def acts(
    desk: Desk, deal: int, at: datetime = NOON, n: int = 0, rule: str = "patience"
) -> Outcome:
    """Its opening, due at noon, or with `n` what its end by time brings, as the activity makes it."""
    activities = Activities(desk.database, Doorbell(desk.database, away, "jalon"), ConsoleMail(), Settings())
    asked = RuleRun(record_id=deal, visit_no=1, rule=rule, n=n, turn=NOON, due=at if n else NOON)
    return await activities._act(asked, at)


async def hears(desk: Desk, at: datetime, kind: str = "call", **bound: int) -> Answer:
    async with desk.database.transaction() as tx:
        heard = Heard(f"{kind}-{at.isoformat()}", kind, at, **bound)
        return await record_activity(tx, desk.book, desk.ids, House.of(Settings()), heard, at)


async def results(desk: Desk) -> tuple[Any, Any, Any]:
    found = (await desk.row("ledger", "rule = 'patience' and n = 0"))["results"]
    return found["ended"], found["by"], datetime.fromisoformat(found["at"])


async def test_its_end_by_time_is_a_result_for_later_rules(desk: Desk) -> None:
    deal = await waiting(desk, instruction="{{ record.title }} thinks")
    assert (await acts(desk, deal)).due == NOON + HOUR
    assert (await desk.row("hold"))["note"] == "A roof for Klein thinks"
    assert (await acts(desk, deal, NOON + HOUR / 2, n=1)).result == "open"
    outcome = await acts(desk, deal, NOON + HOUR, n=1)
    assert (outcome.result, outcome.reason) == ("done", "time")
    assert await results(desk) == ("time", "time", NOON + HOUR)


async def test_any_activity_of_its_client_ends_it_and_says_which(desk: Desk) -> None:
    async with desk.database.transaction() as tx:
        contact = await builders.contact(tx)
    deal = await waiting(desk, deal={"contact": contact})
    await acts(desk, deal)
    answer = await hears(desk, NOON + HOUR / 2, "page_viewed", contact=contact)
    assert (answer.happened, answer.records) == ("ended_wait", [deal])
    assert await results(desk) == ("client", "client:page_viewed", NOON + HOUR / 2)
    assert (await acts(desk, deal, NOON + HOUR, n=1)).reason == "client"


async def test_only_the_activities_it_lists_end_it(desk: Desk) -> None:
    deal = await waiting(desk, ends_on=["email"])
    await acts(desk, deal)
    assert (await hears(desk, NOON + HOUR / 4, "call", record=deal)).happened == "no_match"
    assert (await hears(desk, NOON + HOUR / 2, "email", record=deal)).happened == "ended_wait"


@pytest.mark.parametrize(("follow", "table"), [("notify", "notification"), ("todo", "todo")])
@pytest.mark.parametrize("end", ["client", "time", "client before it opened"])
async def test_its_end_notifies_the_responsible_or_gives_them_a_to_do_once(
    desk: Desk, follow: str, table: str, end: str
) -> None:
    deal = await waiting(desk, instruction="Call", on_client=follow, on_timeout=follow)
    if end == "client before it opened":
        await hears(desk, NOON + HOUR / 4, record=deal)
        for _ in range(2):
            outcome = await acts(desk, deal, NOON + HOUR / 2)
            assert (outcome.result, outcome.reason) == ("done", "client")
    else:
        await acts(desk, deal)
        if end == "client":
            await hears(desk, NOON + HOUR / 2, record=deal)
    for _ in range(2):
        await acts(desk, deal, NOON + HOUR, n=1)
    row = await desk.row(table)
    assert row["employee_id"] == "ada"
    assert row["body" if table == "notification" else "subject"] == "The wait is over: Call"


async def test_an_activity_before_it_was_due_to_open_does_not_end_it(desk: Desk) -> None:
    deal = await waiting(desk)
    await hears(desk, NOON - HOUR, record=deal)
    assert (await acts(desk, deal, NOON + HOUR / 2)).result == "open"


@pytest.mark.parametrize("end", ["client", "time"])
async def test_its_end_moves_the_record_in_the_transaction_that_ends_it(desk: Desk, end: str) -> None:
    deal = await waiting(desk, on_client={"move_to": "offer"}, on_timeout={"move_to": "offer"})
    await acts(desk, deal)
    if end == "client":
        assert (await hears(desk, NOON + HOUR / 2, record=deal)).happened == "moved"
    else:
        assert (await acts(desk, deal, NOON + HOUR, n=1)).moved_to == 2
    assert (await desk.record(deal))["stage_id"] == "offer"
    assert (await results(desk))[0] == end


async def test_a_move_for_a_client_who_was_quicker_than_its_opening_is_not_made_and_said_so(
    desk: Desk,
) -> None:
    deal = await waiting(desk, on_client={"move_to": "offer"})
    await hears(desk, NOON + HOUR / 4, record=deal)
    assert (await acts(desk, deal, NOON + HOUR / 2)).reason == "client"
    assert (await desk.record(deal))["stage_id"] == "new"
    assert "not_moved" in [event for event, *_ in await desk.journal(deal)]


async def test_of_several_waits_so_ended_the_one_nearest_the_top_moves(desk: Desk) -> None:
    listed: list[dict[str, Any]] = [
        {"id": name, "kind": "wait",
         "params": {"until": {"after": {"hours": 1}}, "on_client": {"move_to": stage}}}
        for name, stage in (("here", "new"), ("patience", "deal"), ("below", "offer"))
    ]  # fmt: skip
    await desk.run(lambda tx: builders.rule_set(tx, {"new": listed}))
    deal = await desk.deal()
    for name in ("below", "patience", "here"):
        await acts(desk, deal, rule=name)
    assert (await hears(desk, NOON + HOUR / 2, record=deal)).happened == "moved"
    assert (await desk.record(deal))["stage_id"] == "deal"
    assert {row["reason"] for row in await desk.rows("hold")} == {"client"}


async def test_a_suspended_record_is_not_moved_but_the_client_ends_its_wait(desk: Desk) -> None:
    deal = await waiting(desk, on_client={"move_to": "offer"})
    await acts(desk, deal)
    await desk.run(f"update record set suspended = 'by Eve' where id = {deal}")
    assert (await hears(desk, NOON + HOUR / 2, record=deal)).happened == "suspended"
    assert ((await desk.row("hold"))["reason"], (await desk.record(deal))["stage_id"]) == ("client", "new")


async def test_a_wait_whose_own_rule_is_suspended_moves_nothing_either(desk: Desk) -> None:
    deal = await waiting(desk, on_client={"move_to": "offer"})
    await acts(desk, deal)
    its = "select 'rule', pipeline_id || '/' || rule, now(), 'eve' from hold join record on id = record_id"
    await desk.run(f"insert into suspension (scope, key, since, by_whom) {its}")
    assert (await hears(desk, NOON + HOUR / 2, record=deal)).happened == "suspended"
    assert ((await desk.row("hold"))["reason"], (await desk.record(deal))["stage_id"]) == ("client", "new")


async def test_a_notice_that_reaches_nobody_is_told_to_the_owner_of_the_rules(desk: Desk) -> None:
    deal = await waiting(desk, on_timeout="todo", deal={"responsible": None})
    await acts(desk, deal)
    assert (await acts(desk, deal, NOON + HOUR, n=1)).reason == "time"
    assert (await desk.row("notification"))["employee_id"] == "eve"
    assert "not_told" in [event for event, *_ in await desk.journal(deal)]


@pytest.mark.parametrize("cause", ["left_stage", "closed", "record_deleted"])
async def test_closing_deletion_and_leaving_the_stage_end_it(desk: Desk, cause: str) -> None:
    deal = await waiting(desk, on_timeout="todo")
    await acts(desk, deal)
    async with desk.locked(deal) as locked:
        by = By("eve", NOON + HOUR / 2)
        if cause == "record_deleted":
            await delete(locked, by)
        else:
            await move(locked, "won" if cause == "closed" else "offer", by)
    hold = await desk.row("hold")
    assert (hold["outcome"], hold["reason"]) == ("cancelled", cause)
    await acts(desk, deal, NOON + HOUR, n=1)
    assert await desk.rows("todo") == []


@pytest.mark.parametrize(
    ("if_past", "ended"), [("run_now", "open"), ("skip", "skipped"), ("fail", "failed")]
)
async def test_a_target_that_is_past_follows_if_past(desk: Desk, if_past: str, ended: str) -> None:
    past = {"fields": {"reference": "1", "visit_at": (NOON - HOUR).isoformat()}}
    deal = await waiting(desk, deal=past, until={"basis": "record.visit_at", "if_past": if_past})
    outcome = await acts(desk, deal)
    assert outcome.result == ended
    if ended == "open":
        assert (await acts(desk, deal, NOON, n=1)).reason == "time"
