"""Row 11, lateness: who notices it, how long a record is late, and what a date that changes makes of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from activities.providers.console import ConsoleMail
from activities.visits import enter, replan
from activities.work import Activities
from db.doorbell import Doorbell
from db.edits import edit
from db.records import By, delete, move
from db.settings import Settings
from domain.events import Outcome
from domain.journey import Driven, Replan, RuleRun
from domain.progress import Progress
from tests import builders
from tests.builders import NOON
from tests.kinds.conftest import Desk
from tests.stories.conftest import away

HOUR = timedelta(hours=1)
HUGO: dict[str, Any] = {"recipients": ["employee:hugo"]}
IN_AN_HOUR = {"after": {"hours": 1}}
HOT = {"field": "record.hot", "op": "equal", "value": True}
VISITED = {"field": "record.visit_at", "op": "less_or_equal", "value": {"now": {}}}


class Watched:
    """A deal whose first stage has controls; its journey is driven by hand, as a worker drives it."""

    def __init__(self, desk: Desk, deal: int) -> None:
        self.desk, self.deal = desk, deal
        doorbell = Doorbell(desk.database, away, "jalon")
        self.worker = Activities(desk.database, doorbell, ConsoleMail(), Settings())
        self.progress = Progress()

    async def opens(self) -> Driven:
        return await self._drives(NOON, lambda runner: enter(runner, self.progress))

    async def edits(self, at: datetime, *, worker_at: datetime | None = None, **fields: object) -> Driven:
        """A person sets fields; the worker hears of it at once, or later."""
        async with self.desk.locked(self.deal) as locked:
            changed = (await edit(locked, fields, By("eve", at))).changed
        asked = Replan(record_id=self.deal, progress=self.progress, fields=[*changed], at=at)
        return await self._drives(worker_at or at, lambda runner: replan(runner, self.progress, asked))

    async def looks(
        self, at: datetime, n: int = 1, rule: str = "watch", *, due: datetime | None = None
    ) -> Outcome:
        """The `n`-th act of a control, by the clock; it may have been due before."""
        asked = RuleRun(record_id=self.deal, visit_no=1, rule=rule, n=n, turn=NOON, due=due or at)
        return await self.worker._act(asked, at)

    async def lines(self) -> list[tuple[str, str, datetime]]:
        """What the journal says of each control: late, or how it ended."""
        rows = await self.desk.rows("journal", "event in ('late', 'done', 'cancelled')", order="id")
        return [(row["rule"], f"{row['event']} {row['reason']}".strip(), row["at"]) for row in rows]

    async def is_late(self) -> bool:
        return bool((await self.desk.record(self.deal))["late"])

    async def _drives(self, at: datetime, work: Any) -> Driven:
        driven = await self.worker._on_record(self.deal, self.progress, at, work)
        self.progress = driven.progress
        return driven


async def watched(desk: Desk, *controls: dict[str, Any], **fields: object) -> Watched:
    """Each control: its `id` (`watch`) and its parameters, by default an hour's deadline."""
    rules = []
    for given in controls or ({},):
        params = {"deadline": IN_AN_HOUR} | HUGO | {k: v for k, v in given.items() if k != "id"}
        rules.append({"id": given.get("id", "watch"), "kind": "control", "params": params})
    await desk.run(lambda tx: builders.rule_set(tx, {"new": rules}))
    watch = Watched(desk, await desk.deal(fields={"reference": "1"} | fields))
    await watch.opens()
    return watch


# -- at opening --------------------------------------------------------------------------------------
@pytest.mark.parametrize("policy", [{"if_past": "fail"}, {"if_past": "skip"}, {"if_empty": "fail"}])
async def test_its_condition_is_judged_before_what_becomes_of_a_deadline_that_is_past_or_empty(
    desk: Desk, policy: dict[str, str]
) -> None:
    passed = {} if "if_empty" in policy else {"visit_at": (NOON - HOUR).isoformat()}
    deadline = {"basis": "record.visit_at"} | policy
    watch = await watched(desk, {"deadline": deadline, "until": HOT}, hot=True, **passed)
    assert await watch.lines() == [("watch", "done resolved", NOON)]
    assert not await watch.is_late()


# -- as long as it is late ---------------------------------------------------------------------------
async def test_resolved_the_record_is_late_no_more(desk: Desk) -> None:
    watch = await watched(desk, {"until": HOT})
    await watch.looks(NOON + HOUR)
    assert await watch.is_late()
    await watch.edits(NOON + 2 * HOUR, hot=True)
    assert await watch.lines() == [
        ("watch", "late", NOON + HOUR), ("watch", "done resolved_late", NOON + 2 * HOUR)
    ]  # fmt: skip
    assert not await watch.is_late()


async def test_the_record_is_late_as_long_as_one_of_its_controls_is(desk: Desk) -> None:
    watch = await watched(desk, {"id": "one", "until": HOT}, {"id": "other"})
    for rule in ("one", "other"):
        await watch.looks(NOON + HOUR, rule=rule)
    await watch.edits(NOON + 2 * HOUR, hot=True)
    assert await watch.is_late()
    async with desk.locked(watch.deal) as locked:
        await move(locked, "offer", By("eve", NOON + 3 * HOUR))
    assert not await watch.is_late()


# -- nobody was there to say it ----------------------------------------------------------------------
@pytest.mark.parametrize("how", ["left", "its condition", "given up"])
async def test_whoever_ends_it_after_its_deadline_says_first_that_it_was_late(desk: Desk, how: str) -> None:
    watch = await watched(desk, {} if how == "left" else {"until": HOT})
    ended = NOON + 3 * HOUR
    if how == "its condition":
        await watch.edits(ended, worker_at=NOON + 5 * HOUR, hot=True)
    else:
        async with desk.locked(watch.deal) as locked:
            by = By("eve", ended)
            await (move(locked, "offer", by) if how == "left" else delete(locked, by))
    end = "cancelled record_deleted" if how == "given up" else "done resolved_late"
    assert await watch.lines() == [("watch", "late", NOON + HOUR), ("watch", end, ended)]
    assert (await desk.row("hold"))["late_since"] == NOON + HOUR
    found = (await desk.row("ledger", "rule = 'watch' and n = 0"))["results"]
    assert found == {"state": "given_up" if how == "given up" else "resolved_late", "late_by": 120}


async def test_one_that_the_clock_resolved_in_time_is_not_late_though_a_worker_looks_late(desk: Desk) -> None:
    watch = await watched(desk, {"until": VISITED}, visit_at=(NOON + HOUR / 2).isoformat())
    outcome = await watch.looks(NOON + 5 * HOUR, due=NOON + HOUR / 2)
    assert (outcome.result, outcome.reason, outcome.at) == ("done", "resolved", NOON + HOUR / 2)
    assert await watch.lines() == [("watch", "done resolved", NOON + HOUR / 2)]


async def test_one_that_the_clock_resolved_after_its_deadline_was_late_before(desk: Desk) -> None:
    watch = await watched(desk, {"until": VISITED}, visit_at=(NOON + 2 * HOUR).isoformat())
    await watch.looks(NOON + HOUR)
    await watch.looks(NOON + 2 * HOUR, n=2)
    assert [said for _, said, _ in await watch.lines()] == ["late", "done resolved_late"]


# -- its date changes --------------------------------------------------------------------------------
@pytest.mark.parametrize("if_past", ["run_now", "skip", "fail"])
async def test_a_date_moved_into_the_past_makes_it_late_at_that_instant(desk: Desk, if_past: str) -> None:
    deadline = {"basis": "record.visit_at", "if_past": if_past}
    watch = await watched(desk, {"deadline": deadline}, visit_at=(NOON + 9 * HOUR).isoformat())
    await watch.edits(NOON + HOUR, visit_at=(NOON - 9 * HOUR).isoformat())
    assert await watch.lines() == [("watch", "late", NOON + HOUR)]
    assert (await desk.row("hold"))["late_since"] == NOON + HOUR


async def test_late_stays_late_also_when_the_date_moves(desk: Desk) -> None:
    deadline = {"basis": "record.visit_at"}
    watch = await watched(desk, {"deadline": deadline}, visit_at=(NOON + HOUR).isoformat())
    await watch.looks(NOON + HOUR)
    await watch.edits(NOON + 2 * HOUR, visit_at=(NOON + 9 * HOUR).isoformat())
    assert await watch.is_late()
    assert (await desk.row("hold"))["late_since"] == NOON + HOUR


async def test_missed_before_its_date_moved_it_is_late_though_nobody_had_said_so(desk: Desk) -> None:
    deadline = {"basis": "record.visit_at"}
    watch = await watched(desk, {"deadline": deadline}, visit_at=(NOON + HOUR).isoformat())
    moved = NOON + 2 * HOUR
    await watch.edits(moved, visit_at=(NOON + 9 * HOUR).isoformat(), worker_at=NOON + 3 * HOUR)
    await watch.looks(NOON + 3 * HOUR)
    assert (await desk.row("hold"))["late_since"] == NOON + HOUR


# -- suspended ---------------------------------------------------------------------------------------
async def test_while_suspended_lateness_queues_and_its_condition_still_ends_it(desk: Desk) -> None:
    watch = await watched(desk, {"id": "one"}, {"id": "other", "until": VISITED},
                          visit_at=(NOON + HOUR / 2).isoformat())  # fmt: skip
    await desk.run(f"update record set suspended = 'by Eve' where id = {watch.deal}")
    assert (await watch.looks(NOON + HOUR, rule="one")).waiting == "suspended"
    assert (await watch.looks(NOON + HOUR / 2, rule="other")).reason == "resolved"
    assert await watch.lines() == [("other", "done resolved", NOON + HOUR / 2)]


# -- how it ended --------------------------------------------------------------------------------------
async def test_an_act_in_flight_and_the_closing_act_tell_once_between_them_how_it_ended(desk: Desk) -> None:
    watch = await watched(desk)
    await watch.looks(NOON + HOUR)
    async with desk.locked(watch.deal) as locked:
        await move(locked, "offer", By("eve", NOON + 2 * HOUR))
    for n in (2, 3, 3):
        await watch.looks(NOON + 2 * HOUR, n=n)
    told = [row["body"] for row in await desk.rows("notification", order="id")]
    assert told == ["watch: A roof for Klein is late", "watch: resolved late"]


async def test_a_deadline_that_moves_counts_also_where_the_clock_was_to_resolve_it_before(desk: Desk) -> None:
    paid = {"field": "record.due_on", "op": "less_or_equal", "value": {"today": {}}}
    dates = {"visit_at": (NOON + 90 * HOUR).isoformat(), "due_on": (NOON + 48 * HOUR).date().isoformat()}
    watch = await watched(desk, {"deadline": {"basis": "record.visit_at"}, "until": paid}, **dates)
    await watch.edits(NOON + HOUR, visit_at=(NOON + 99 * HOUR).isoformat())
    await watch.edits(NOON + 2 * HOUR, due_on=None)
    row = await desk.row("hold")
    assert (row["deadline"], row["due_at"]) == (NOON + 99 * HOUR, NOON + 99 * HOUR)


# -- the clock turns its condition ---------------------------------------------------------------------
async def test_what_else_changes_at_the_instant_at_which_the_clock_resolves_it_does_not_keep_it_open(
    desk: Desk,
) -> None:
    turned = NOON + HOUR / 2
    watch = await watched(desk, {"until": VISITED}, visit_at=turned.isoformat())
    await watch.edits(turned, reference="2")
    assert (await watch.looks(turned)).reason == "resolved"
    assert await watch.lines() == [("watch", "done resolved", turned)]
