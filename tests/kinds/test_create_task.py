"""Row 5: a task with a history of its own, which the chain may wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activities import tasks, visits
from activities.check import check
from activities.house import House
from activities.operators import operate
from activities.runner import Run, Runner
from activities.steps import act
from db.locked import Locked
from db.records import By, change_pipeline, delete, move
from domain.errors import Refused
from domain.events import HoldEnd, HoldEnded, Outcome
from domain.journey import Operation, Verb
from domain.progress import Progress
from domain.rule import RuleSet
from tests import builders
from tests.builders import NOON
from tests.kinds.conftest import Desk, refused_on_save, setting

HOUR = timedelta(hours=1)
WAITS = {"name": "Measure", "hold_until_closed": True, "hold_timeout": {"hours": 4}}
OUT = NOON + 4 * HOUR


# -- what it makes -----------------------------------------------------------------------------------
async def test_a_task_of_the_responsible_with_a_history_that_begins(desk: Desk) -> None:
    deal = await desk.deal(responsible="ben")
    done = await desk.does(deal, "create_task", rule="measure", name="Measure {{ record.title }}")
    task = await desk.row("task")
    assert done.results == {"id": task["id"]}
    assert done.hold is None
    assert task == {
        "id": task["id"], "record_id": deal, "visit_no": 1, "rule": "measure", "assignee_id": "ben",
        "name": "Measure A roof for Klein", "description": "", "creator": "system", "deadline": None,
        "planned_start": None, "planned_end": None, "priority": "normal", "participants": [],
        "observers": [], "tags": [], "parent_id": None, "estimate_minutes": None,
        "complete_with_checklist": False, "created_at": NOON, "ended_at": None, "ended_how": "",
        "ended_by": "",
    }  # fmt: skip
    (line,) = await desk.rows("task_line")
    assert (line["task_id"], line["at"], line["actor"], line["event"]) == (
        task["id"],
        NOON,
        "system",
        "created",
    )


async def test_it_has_what_its_parameters_say(desk: Desk) -> None:
    deal = await desk.deal(amount="1000", fields={"visit_at": "2026-03-05T16:00:00+01:00"})
    await desk.does(
        deal, "create_task", name="Check", description="{{ record.amount | money }}", assignee="hugo",
        creator="responsible", deadline={"after": {"days": 2}, "at": "10:00"}, planned_start={},
        planned_end={"basis": "record.visit_at"}, priority="high",
        participants=["employee:ben", "department:sales"],
        observers=["supervisor", "everybody"], tags=["roof", "{{ contact.first_name }}", "roof"],
        checklist=["Measure", " ", "Send {{ record.title }}"], estimate={"hours": 3},
        complete_with_checklist=True,
    )  # fmt: skip
    task = await desk.row("task")
    assert (task["assignee_id"], task["creator"], task["priority"]) == ("hugo", "ada", "high")
    assert task["description"] == "€1,000.00"
    assert task["deadline"] == datetime(2026, 3, 4, 9, tzinfo=UTC)
    assert (task["planned_start"], task["planned_end"]) == (NOON, datetime(2026, 3, 5, 15, tzinfo=UTC))
    assert task["participants"] == ["ben", "ada", "hugo"]
    assert task["observers"] == ["hugo", "ada", "ben", "eve"]
    assert (task["tags"], task["estimate_minutes"], task["complete_with_checklist"]) == (["roof"], 180, True)
    items = await desk.rows("task_item", order="position")
    assert [(i["position"], i["body"], i["done_at"]) for i in items] == [
        (0, "Measure", None), (1, "Send A roof for Klein", None),
    ]  # fmt: skip


async def test_absent_participants_and_observers_are_skipped_where_that_is_asked(desk: Desk) -> None:
    deal, day = await desk.deal(), timedelta(days=1)
    await desk.run(lambda tx: builders.absence(tx, "ben", NOON - day, NOON + day))
    named = {"participants": ["department:sales"], "observers": ["employee:ben", "employee:eve"]}
    for skip in (False, True):
        await desk.does(deal, "create_task", name="Check", skip_absent=skip, **named)
    everybody, present = await desk.rows("task", order="id")
    assert (everybody["participants"], everybody["observers"]) == (["ada", "ben", "hugo"], ["ben", "eve"])
    assert (present["participants"], present["observers"]) == (["ada", "hugo"], ["eve"])


async def test_it_may_belong_to_a_task_that_an_earlier_rule_made(desk: Desk) -> None:
    deal = await published(
        desk, rule("first", name="Offer"), rule("second", name="Measure", parent="{{ steps.first.id }}")
    )
    await drive(desk, deal)
    first, second = await desk.rows("task", order="id")
    assert (first["parent_id"], second["parent_id"]) == (None, first["id"])


@pytest.mark.parametrize(
    "parent", ["4711", "{{ steps.other.id }}", "99999999999999999999", "{{ record.title }}"]
)
async def test_a_parent_that_is_unknown_fails(desk: Desk, parent: str) -> None:
    assert await refused(desk, name="Measure", parent=parent) == "unknown_parent"


async def test_a_deleted_task_is_no_parent_that_of_another_record_is(desk: Desk) -> None:
    other = await desk.deal()
    number = (await desk.does(other, "create_task", name="Offer")).results["id"]
    await desk.does(await desk.deal(), "create_task", name="Measure", parent=str(number))
    await ends(desk, other, "deleted", order="id limit 1")
    assert await refused(desk, name="Measure", parent=str(number)) == "unknown_parent"


async def test_a_date_that_is_empty_is_left_out(desk: Desk) -> None:
    basis = {"basis": "record.due_on"}
    at = {"planned_start": basis, "planned_end": {"basis": "record.due_on", "if_empty": "run_now"}}
    await desk.does(await desk.deal(), "create_task", name="Measure", deadline=basis, **at)
    task = await desk.row("task")
    assert (task["deadline"], task["planned_start"], task["planned_end"]) == (None, None, NOON)


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"name": "{{ contact.first_name }}"}, "name_empty"),
        ({"assignee": "nobody"}, "wrong_assignee"),
        ({"assignee": "zoe"}, "wrong_assignee"),
        ({"planned_start": {"after": {"hours": 2}}, "planned_end": {}}, "start_after_end"),
        ({"deadline": {"basis": "record.visit_at", "if_empty": "fail"}}, "date_empty"),
        ({"planned_end": {"basis": "record.due_on", "if_past": "fail"}}, "date_past"),
    ],
)
async def test_what_only_the_moment_shows_fails_and_nothing_is_written(
    desk: Desk, params: dict[str, Any], reason: str
) -> None:
    await desk.run(lambda tx: builders.employee(tx, "zoe", active=False))
    wrong = await refused(desk, **{"name": "Measure", "checklist": ["One"]} | params)
    assert wrong == reason
    assert await desk.rows("task") == await desk.rows("task_item") == []


async def test_a_record_without_a_responsible_needs_an_assignee(desk: Desk) -> None:
    assert await refused(desk, responsible=None, name="Measure") == "wrong_assignee"
    await desk.does(await desk.deal(responsible=None), "create_task", name="Measure", assignee="ada")


async def test_a_start_that_is_the_end_is_a_plan(desk: Desk) -> None:
    await desk.does(await desk.deal(), "create_task", name="Measure", planned_start={}, planned_end={})
    assert (await desk.row("task"))["planned_start"] == NOON


@pytest.mark.parametrize(
    ("params", "place"),
    [
        ({"hold_until_closed": True}, "/hold_timeout"),
        ({"hold_timeout": {"days": 1}}, "/hold_timeout"),
        ({"hold_until_closed": True, "hold_timeout": {"days": 0}}, "/hold_timeout"),
        ({"estimate": {"days": 1}}, "/estimate"),
        ({"priority": "urgent"}, "/priority"),
        ({"assignee": "bob"}, "/assignee"),
        ({"creator": "bob"}, "/creator"),
        ({"participants": ["bob"]}, "/participants/0"),
        ({"observers": ["department:none"]}, "/observers/0"),
        ({"parent": "the other"}, "/parent"),
        ({"name": " "}, "/name"),
        ({"complete_with_checklist": True}, "/complete_with_checklist"),
        ({"deadline": {"after": {"hours": 2}, "at": "10:00"}}, "/deadline"),
    ],
)
def test_what_is_refused_on_save(params: dict[str, Any], place: str) -> None:
    assert set(refused_on_save("create_task", **{"name": "Measure"} | params)) == {place}


def test_dates_and_quotes_are_checked_on_save() -> None:
    params = {
        "name": "Measure",
        "planned_start": {"basis": "record.title"},
        "checklist": ["{{ record.nothing }}"],
    }
    rules = RuleSet.model_validate(
        {"stages": {"new": [{"id": "t", "kind": "create_task", "params": params}]}}
    )
    places = [problem.place for problem in check(rules, setting(), {})]
    assert sorted(places) == [
        "/stages/new/0/params/checklist/0", "/stages/new/0/params/planned_start/basis",
    ]  # fmt: skip


# -- run twice, run stale ----------------------------------------------------------------------------
async def test_run_twice_it_makes_one_task_and_answers_the_same(desk: Desk) -> None:
    deal = await published(desk, rule("task", checklist=["One"], **WAITS))
    first = await runs(desk, deal)
    assert first == Outcome(result="open", due=OUT, at=NOON)
    assert await runs(desk, deal, now=NOON + HOUR) == first
    assert (len(await desk.rows("task")), len(await desk.rows("task_item"))) == (1, 1)
    assert len(await desk.rows("hold")) == 1


async def test_run_stale_it_makes_nothing(desk: Desk) -> None:
    deal = await published(desk, rule("task", **WAITS))
    await goes(desk, deal, "offer")
    assert (await runs(desk, deal)).result == "stale"
    assert await desk.rows("task") == await desk.rows("hold") == []


# -- without a hold ----------------------------------------------------------------------------------
@pytest.mark.parametrize("how", ["completed", "deleted"])
async def test_without_a_hold_later_rules_may_quote_how_it_ended(desk: Desk, how: tasks.How) -> None:
    deal = await published(desk, rule("task", name="Measure"), comment("below"))
    await drive(desk, deal)
    assert await ledger(desk) == {"task": "done", "below": "done"}
    ended = await ends(desk, deal, how)
    assert ended.bell is None
    assert ended.changed == ["steps.task.ended", "steps.task.by", "steps.task.at"]
    async with desk.locked(deal) as locked:
        values = locked.values(1)
        assert (values["steps.task.ended"], values["steps.task.by"]) == (how, "eve")
        assert values["steps.task.at"] == NOON + HOUR
    told = [(event, detail.get("how")) for event, _, _, detail in await desk.journal(deal)]
    assert told[-1] == ("task_deleted" if how == "deleted" else "task_completed", how)


async def test_a_task_ends_once(desk: Desk) -> None:
    deal = await published(desk, rule("task", name="Measure"))
    await drive(desk, deal)
    await ends(desk, deal, "completed")
    assert await ends(desk, deal, "deleted", now=NOON + 2 * HOUR) == tasks.Ended()
    task = await desk.row("task")
    assert (task["ended_how"], task["ended_by"], task["ended_at"]) == ("completed", "eve", NOON + HOUR)
    assert [line["event"] for line in await desk.rows("task_line", order="id")] == ["created", "completed"]


async def test_of_two_ends_at_once_one_counts(desk: Desk) -> None:
    deal = await published(desk, rule("task", **WAITS))
    await drive(desk, deal)
    both = await asyncio.gather(ends(desk, deal, "completed"), ends(desk, deal, "deleted"))
    assert sorted(bool(ended.how) for ended in both) == [False, True]
    assert len(await desk.rows("outbox", "kind = 'hold_ended'")) == 1


# -- the chain waits ---------------------------------------------------------------------------------
async def test_the_chain_waits_and_goes_on_when_the_task_is_completed(desk: Desk) -> None:
    deal = await published(
        desk, rule("task", **WAITS), comment("below", "{{ steps.task.ended }} by {{ steps.task.by }}")
    )
    progress = await drive(desk, deal)
    assert await ledger(desk) == {"task": "open"}
    assert progress.next_due == OUT
    ended = await ends(desk, deal, "completed")
    await drive(desk, deal, progress, heard(ended), now=NOON + HOUR)
    assert await ledger(desk) == {"task": "done", "below": "done"}
    assert (await desk.row("comment"))["body"] == "completed by eve"
    (row,) = [row for row in await desk.rows("ledger") if row["rule"] == "task"]
    task = await desk.row("task")
    assert row["results"] == {
        "id": task["id"], "ended": "completed", "by": "eve", "at": (NOON + HOUR).isoformat(),
    }  # fmt: skip
    hold = await desk.row("hold")
    assert (hold["kind"], hold["state"], hold["outcome"], hold["ended_by"]) == (
        "task",
        "completed",
        "done",
        "eve",
    )


async def test_the_end_rings_a_bell_of_its_own_in_the_same_transaction(desk: Desk) -> None:
    deal = await published(desk, rule("task", **WAITS))
    await drive(desk, deal)
    ended = await ends(desk, deal, "deleted")
    assert ended.bell is not None
    bell = (await desk.rows("outbox", "kind = 'hold_ended'"))[0]
    assert (bell["id"], bell["record_id"], bell["next_at"]) == (ended.bell.id, deal, None)
    assert heard(ended) == [
        HoldEnded(1, HoldEnd(rule="task", result="done", reason="", at=NOON + HOUR, ended="deleted"))
    ]


async def test_its_checklist_completes_it(desk: Desk) -> None:
    items = {"checklist": ["One", "Two"], "complete_with_checklist": True}
    deal = await published(desk, rule("task", **WAITS | items), comment("below"))
    progress = await drive(desk, deal)
    one, two = [row["id"] for row in await desk.rows("task_item", order="position")]
    assert await ticks(desk, deal, one) == tasks.Ended()
    assert await ticks(desk, deal, one, done=False) == tasks.Ended()
    assert await ticks(desk, deal, two) == tasks.Ended()
    assert await ticks(desk, deal, two) == tasks.Ended()
    ended = await ticks(desk, deal, one)
    await drive(desk, deal, progress, heard(ended), now=NOON + HOUR)
    assert await ledger(desk) == {"task": "done", "below": "done"}
    assert (await desk.row("hold"))["state"] == "auto_completed"
    events = [line["event"] for line in await desk.rows("task_line", order="id")]
    assert events == ["created", "item_done", "item_not_done", "item_done", "item_done", "auto_completed"]
    with pytest.raises(Refused, match="auto completed"):
        await ticks(desk, deal, two, done=False)


async def test_a_checklist_completes_nothing_unless_it_is_said(desk: Desk) -> None:
    deal = await published(desk, rule("task", checklist=["One"], **WAITS))
    await drive(desk, deal)
    assert await ticks(desk, deal, (await desk.row("task_item"))["id"]) == tasks.Ended()
    assert await ledger(desk) == {"task": "open"}


async def test_when_the_time_is_out_the_chain_goes_on_and_the_task_stays_open(desk: Desk) -> None:
    deal = await published(desk, rule("task", **WAITS), comment("below", "{{ steps.task.ended }}"))
    progress = await drive(desk, deal)
    assert (await runs(desk, deal, now=OUT - HOUR, n=1)).result == "open"
    progress = await drive(desk, deal, progress, now=OUT)
    assert await ledger(desk) == {"task": "done", "below": "done"}
    assert (await desk.row("comment"))["body"] == "timeout"
    assert (await desk.row("task"))["ended_how"] == ""
    late = await ends(desk, deal, "completed", now=OUT + HOUR)
    assert late == tasks.Ended("completed")  # the results are those of the waiting
    assert (await desk.row("hold"))["state"] == "timeout"
    assert await runs(desk, deal, now=OUT + HOUR) == Outcome(result="done", at=OUT)


async def test_an_act_that_comes_after_the_end_says_how_it_ended(desk: Desk) -> None:
    deal = await published(desk, rule("task", **WAITS))
    await drive(desk, deal)
    await ends(desk, deal, "completed", now=OUT)
    assert await runs(desk, deal, now=OUT, n=1) == Outcome(result="done", at=OUT)
    assert await ledger(desk) == {"task": "done"}


async def test_days_of_a_timeout_are_those_of_the_calendar(desk: Desk) -> None:
    deal = await published(desk, rule("task", **WAITS | {"hold_timeout": {"days": 30}}))
    outcome = await runs(desk, deal)
    assert outcome.due == datetime(2026, 4, 1, 11, tzinfo=UTC)  # summer time in Paris: still 13:00


@pytest.mark.parametrize("verb", ["run_now", "skip"])
async def test_a_person_may_end_the_waiting(desk: Desk, verb: Verb) -> None:
    deal = await published(desk, rule("task", **WAITS), comment("below", "{{ steps.task.ended }}"))
    progress = await drive(desk, deal)
    await operates(desk, deal, progress, verb)
    assert await ledger(desk) == {"task": "done", "below": "done"}
    assert (await desk.row("comment"))["body"] == "person"
    assert (await desk.row("task"))["ended_how"] == ""


async def test_a_person_may_wait_longer(desk: Desk) -> None:
    deal = await published(desk, rule("task", **WAITS))
    progress = await operates(desk, deal, await drive(desk, deal), "reschedule", due=OUT + HOUR)
    assert progress.next_due == (await desk.row("hold"))["due_at"] == OUT + HOUR


async def test_suspended_the_time_out_queues_and_a_person_still_completes_it(desk: Desk) -> None:
    deal = await published(desk, rule("task", **WAITS), comment("below"))
    progress = await operates(desk, deal, await drive(desk, deal), "suspend")
    progress = await drive(desk, deal, progress, now=OUT)
    assert await ledger(desk) == {"task": "open"}
    ended = await ends(desk, deal, "completed", now=OUT + HOUR)
    await drive(desk, deal, progress, heard(ended), now=OUT + HOUR)
    assert await ledger(desk) == {"task": "done"}


# -- leaving -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("on_exit", "below"), [("cancel", "cancelled"), ("keep", "cancelled"), ("run_now", "done")]
)
async def test_left_meanwhile_the_step_is_done_and_its_chain_follows_on_exit(
    desk: Desk, on_exit: str, below: str
) -> None:
    deal = await published(desk, rule("task", **WAITS) | {"on_exit": on_exit}, comment("below"))
    progress = await drive(desk, deal)
    await goes(desk, deal, "offer", now=NOON + HOUR)
    assert await ledger(desk) == {"task": "done"}
    assert (await desk.row("hold"))["state"] == "left"
    assert (await desk.row("task"))["ended_how"] == ""
    await drive(desk, deal, progress, now=NOON + HOUR)
    assert await ledger(desk) == {"task": "done", "below": below}


@pytest.mark.parametrize("reason", ["pipeline_changed", "record_deleted"])
async def test_a_pipeline_change_and_deletion_end_it_with_their_reason(desk: Desk, reason: str) -> None:
    deal = await published(desk, rule("task", **WAITS) | {"on_exit": "run_now"}, comment("below"))
    progress = await drive(desk, deal)
    await gone(desk, deal, reason)
    await drive(desk, deal, progress, now=NOON + HOUR)
    ended = [(row["rule"], row["outcome"], row["reason"]) for row in await desk.rows("ledger", order="rule")]
    assert ended == [("below", "cancelled", reason), ("task", "cancelled", reason)]


@pytest.mark.parametrize("reason", ["pipeline_changed", "record_deleted"])
async def test_they_end_what_a_kept_chain_waits_for_too(desk: Desk, reason: str) -> None:
    later = {"on_exit": "keep", "schedule": {"after": {"hours": 1}}}
    deal = await published(desk, rule("task", **WAITS) | later, comment("below"))
    progress = await drive(desk, deal)
    await goes(desk, deal, "offer")
    progress = await drive(desk, deal, progress, now=NOON + HOUR)
    assert await ledger(desk) == {"task": "open"}
    await gone(desk, deal, reason, now=NOON + 2 * HOUR)
    await drive(desk, deal, progress, now=NOON + 2 * HOUR)
    ended = [(row["rule"], row["outcome"], row["reason"]) for row in await desk.rows("ledger", order="rule")]
    assert ended == [("below", "cancelled", reason), ("task", "cancelled", reason)]
    assert [rule for event, rule, _, _ in await desk.journal(deal) if event == "cancelled"] == [
        "task",
        "below",
    ]
    assert (await desk.row("hold"))["outcome"] == "cancelled"


async def test_a_kept_step_waits_for_its_task_in_the_stage_that_was_left(desk: Desk) -> None:
    later = {"on_exit": "keep", "schedule": {"after": {"hours": 1}}}
    deal = await published(desk, rule("task", **WAITS) | later, comment("below"))
    progress = await drive(desk, deal)
    await goes(desk, deal, "offer")
    progress = await drive(desk, deal, progress, now=NOON + HOUR)
    assert await ledger(desk) == {"task": "open"}
    ended = await ends(desk, deal, "completed", since=1)
    await drive(desk, deal, progress, heard(ended), now=NOON + HOUR)
    assert await ledger(desk) == {"task": "done", "below": "done"}


# -- how it is told ----------------------------------------------------------------------------------
def rule(rule_id: str, /, **params: Any) -> dict[str, Any]:
    return {"id": rule_id, "kind": "create_task", "params": params}


def comment(name: str, text: str = "hello") -> dict[str, Any]:
    return {"id": name, "kind": "add_comment", "params": {"text": text}, "after_previous": True}


async def published(desk: Desk, *rules: Mapping[str, Any]) -> int:
    """A deal in a stage with these rules."""
    await desk.run(lambda tx: builders.rule_set(tx, {"new": rules}))
    return await desk.deal()


async def drive(
    desk: Desk, deal: int, progress: Progress | None = None, events: list[HoldEnded] | None = None, *,
    now: datetime = NOON,
) -> Progress:  # fmt: skip
    """What its journey does at that instant: hear, open, act until rest."""
    progress = progress or Progress()
    async with desk.database.transaction() as tx:
        known = min((v.visit_no for v in progress.visits), default=None)
        locked = await Locked.take(tx, desk.book, deal, known)
        assert locked is not None
        runner = Runner(locked, House(), desk.ids, now)
        if events:
            feeding = visits.Drive(runner, progress)
            await feeding.feed(*events)
            await feeding.finish()
        return (await visits.enter(runner, progress)).progress


async def runs(desk: Desk, deal: int, *, now: datetime = NOON, n: int = 0) -> Outcome:
    """One act, as its activity makes it."""
    async with desk.database.transaction() as tx:
        locked = await Locked.take(tx, desk.book, deal, 1)
        assert locked is not None
        runner = Runner(locked, House(), desk.ids, now)
        outcome = await act(runner, Run(1, "task", n, NOON, NOON if n == 0 else None))
        await runner.flush()
        return outcome


async def refused(desk: Desk, responsible: str | None = "ada", **params: Any) -> str:
    deal = await desk.deal(responsible=responsible, fields={"due_on": "2026-03-01"})
    with pytest.raises(Refused) as refusal:
        await desk.does(deal, "create_task", **params)
    return refusal.value.reason


async def ends(
    desk: Desk, deal: int, how: tasks.How, *, now: datetime = NOON + HOUR, since: int | None = None,
    order: str = "id",
) -> tasks.Ended:  # fmt: skip
    """Eve ends the task of the deal."""
    (task,) = await desk.rows("task", f"record_id = {deal}", order=order)
    async with desk.database.transaction() as tx:
        locked = await Locked.take(tx, desk.book, deal, since)
        assert locked is not None
        return await tasks.end(locked, await tasks.find(tx, task["id"]), how, By("eve", now))


async def ticks(desk: Desk, deal: int, item: int, *, done: bool = True) -> tasks.Ended:
    task = await desk.row("task")
    async with desk.locked(deal) as locked:
        found = await tasks.find(locked.tx, task["id"])
        return await tasks.tick(locked, found, item, done, By("eve", NOON + HOUR))


def heard(ended: tasks.Ended) -> list[HoldEnded]:
    """What the journey makes of the bell."""
    assert ended.bell is not None
    return [
        HoldEnded(end.visit_no, HoldEnd.model_validate(end.model_dump(exclude={"visit_no"})))
        for end in ended.bell.signal().ends  # type: ignore[attr-defined]  # the signal of its kind
    ]


async def operates(
    desk: Desk, deal: int, progress: Progress, verb: Verb, due: datetime | None = None
) -> Progress:
    asked = Operation(id="o", verb=verb, who="eve", rule="task", due=due)
    async with desk.locked(deal) as locked:
        done = await operate(Runner(locked, House(), desk.ids, NOON + HOUR), progress, asked)
    return done.progress


async def goes(desk: Desk, deal: int, stage: str, now: datetime = NOON) -> None:
    async with desk.locked(deal) as locked:
        await move(locked, stage, By("eve", now))


async def gone(desk: Desk, deal: int, reason: str, now: datetime = NOON + HOUR) -> None:
    async with desk.locked(deal) as locked:
        if reason == "record_deleted":
            await delete(locked, By("eve", now))
        else:
            await change_pipeline(locked, "service", None, By("eve", now))


async def ledger(desk: Desk) -> dict[str, str]:
    return {row["rule"]: row["outcome"] for row in await desk.rows("ledger")}
