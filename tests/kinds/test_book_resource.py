"""Row 3: one booking of all resources or none; overlaps are impossible."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from activities.check import check
from activities.house import House
from activities.runner import Run, Runner
from activities.steps import act
from db.records import By, change_pipeline, delete, move
from domain.errors import Refused
from domain.rule import RuleSet
from tests import builders
from tests.builders import NOON, WORK_WEEK
from tests.kinds.conftest import Desk, refused_on_save, setting

HOUR = timedelta(hours=1)
AT_14 = "2026-03-03T14:00:00+01:00"
THEN = datetime(2026, 3, 3, 13, 0, tzinfo=UTC)


def params(**more: Any) -> dict[str, Any]:
    return {"field": "visit", "start": AT_14, "duration": {"hours": 1}, **more}


async def books(desk: Desk, record: int, **more: Any) -> Any:
    return await desk.does(record, "book_resource", **params(**more))


async def refused(desk: Desk, record: int, **more: Any) -> Refused:
    with pytest.raises(Refused) as error:
        await books(desk, record, **more)
    return error.value


@pytest.fixture
async def van(desk: Desk) -> None:
    await desk.run(lambda tx: builders.resource(tx, "van"), lambda tx: builders.resource(tx, "crane"))


async def test_the_responsible_is_booked_and_the_field_holds_the_start(desk: Desk) -> None:
    deal = await desk.deal(responsible="ben")
    done = await books(
        desk, deal, rule="measure", service="Measuring for {{ record.title }}", acting="responsible"
    )
    booking, taken = await desk.row("booking"), await desk.row("booking_resource")
    assert booking == {
        "id": booking["id"], "record_id": deal, "visit_no": 1, "rule": "measure", "field": "visit",
        "service": "Measuring for A roof for Klein", "starts_at": THEN, "ends_at": THEN + HOUR,
        "booked_until": THEN + HOUR, "state": "active", "created_at": NOON, "created_by": "ben",
        "cancelled_at": None, "cancelled_by": None,
    }  # fmt: skip
    assert (taken["resource"], taken["active"], taken["forced"]) == ("employee:ben", True, False)
    during = taken["during"]
    assert (during.lower, during.upper, during.upper_inc) == (THEN, THEN + HOUR, False)
    assert done.results == {
        "id": booking["id"], "start": "2026-03-03T13:00:00+00:00", "end": "2026-03-03T14:00:00+00:00",
        "changed": ["record.visit"],
    }  # fmt: skip
    assert done.changed == ("record.visit",)
    record = await desk.record(deal)
    assert (record["fields"], record["version"]) == ({"visit": "2026-03-03T13:00:00+00:00"}, 2)
    event, rule, actor, detail = (await desk.journal(deal))[-1]
    assert (event, rule, actor, detail["resources"]) == ("booked", "measure", "ben", ["employee:ben"])


@pytest.mark.usefixtures("van")
async def test_several_resources_are_booked_each_once(desk: Desk) -> None:
    named = ["resource:van", "responsible", "employee:ada", "employee:ben"]
    await books(desk, await desk.deal(responsible="ada"), resources=named)
    taken = await desk.rows("booking_resource", order="resource")
    assert [row["resource"] for row in taken] == ["employee:ada", "employee:ben", "resource:van"]
    assert len({row["booking_id"] for row in taken}) == 1


@pytest.mark.parametrize(
    ("start", "at"),
    [
        ({"after": {"days": 2}, "at": "10:00"}, datetime(2026, 3, 4, 9, tzinfo=UTC)),
        ({"basis": "record.visit_at"}, datetime(2026, 3, 5, 15, tzinfo=UTC)),
        ({"basis": "record.due_on", "at": "08:00"}, datetime(2026, 3, 30, 6, tzinfo=UTC)),
        ("{{ record.visit_at }}", datetime(2026, 3, 5, 15, tzinfo=UTC)),
        ("{{ record.due_on }} 08:30", datetime(2026, 3, 30, 6, 30, tzinfo=UTC)),
        ("2026-03-03T14:00:00-05:00", datetime(2026, 3, 3, 19, tzinfo=UTC)),
        ({}, NOON),
    ],
)
async def test_it_starts_by_a_date_field_a_schedule_or_a_text_on_the_clock_of_the_record(
    desk: Desk, start: object, at: datetime
) -> None:
    fields = {"due_on": "2026-03-30", "visit_at": "2026-03-05T16:00:00+01:00"}
    await books(desk, await desk.deal(fields=fields), start=start)
    assert (await desk.row("booking"))["starts_at"] == at


async def test_a_duration_in_days_ends_at_the_same_clock_time_also_over_summer_time(desk: Desk) -> None:
    await books(desk, await desk.deal(), start="2026-03-28T10:00", duration={"days": 1})
    booking = await desk.row("booking")
    assert (booking["starts_at"], booking["ends_at"]) == (
        datetime(2026, 3, 28, 9, tzinfo=UTC),
        datetime(2026, 3, 29, 8, tzinfo=UTC),
    )


@pytest.mark.usefixtures("van")
async def test_a_conflict_names_the_resource_and_the_interval_and_books_nothing(desk: Desk) -> None:
    await books(desk, await desk.deal(), resources=["resource:van"])
    other = await desk.deal(responsible="ben")
    error = await refused(desk, other, resources=["responsible", "resource:van"], start="2026-03-03T14:59")
    assert error.reason == "conflict"
    assert error.message == (
        "resource:van (Van) is booked from 2026-03-03 14:00 to 2026-03-03 15:00 (Europe/Paris)"
    )
    assert len(await desk.rows("booking")) == len(await desk.rows("booking_resource")) == 1
    assert (await desk.record(other))["fields"] == {}


async def test_what_touches_does_not_overlap(desk: Desk) -> None:
    for start in ("2026-03-03T14:00", "2026-03-03T15:00", "2026-03-03T13:00"):
        await books(desk, await desk.deal(), start=start)
    assert len(await desk.rows("booking")) == 3


async def test_another_field_of_the_record_conflicts_too(desk: Desk) -> None:
    deal = await desk.deal()
    await books(desk, deal)
    assert (await refused(desk, deal, field="fitting")).reason == "conflict"


async def test_an_overlap_is_refused_by_the_database_itself(desk: Desk) -> None:
    await books(desk, await desk.deal())
    await books(desk, await desk.deal(), start="2026-03-03T16:00")
    with pytest.raises(IntegrityError, match="ex_booking_resource_overlap"):
        await desk.run("update booking_resource set during = '[2026-03-03 10:00+00, 2026-03-03 23:00+00)'")


async def test_book_anyway_books_over_what_is_taken_and_marks_it(desk: Desk) -> None:
    await books(desk, await desk.deal())
    await books(desk, await desk.deal(), on_conflict="book_anyway")
    await books(desk, await desk.deal(), on_conflict="book_anyway", start="2026-03-03T18:00")
    taken = await desk.rows("booking_resource", order="booking_id")
    assert [row["forced"] for row in taken] == [False, True, False]
    # what was forced takes the time as any other
    assert (await refused(desk, await desk.deal(), start="2026-03-03T14:30")).message.count(
        "employee:ada"
    ) == 2


async def test_next_free_is_the_first_start_inside_working_time_at_which_all_are_free(desk: Desk) -> None:
    late = WORK_WEEK | {"week": {day: ["10:00-16:30"] for day in WORK_WEEK["week"]}}
    await desk.run(
        lambda tx: builders.calendar_of(tx, "late", late),
        lambda tx: builders.resource(tx, "van", calendar_id="late"),
    )
    both = {"resources": ["responsible", "resource:van"], "on_conflict": "next_free"}
    first = await books(desk, await desk.deal(), start="2026-03-03T11:30", **both)
    second = await books(desk, await desk.deal(), start="2026-03-03T14:00", **both)
    third = await books(desk, await desk.deal(), start="2026-03-03T14:00", **both)
    starts = [done.results["start"] for done in (first, second, third)]
    # half an hour is left of the morning; at 16:00 the van has but half an hour
    assert starts == [
        "2026-03-03T13:00:00+00:00", "2026-03-03T14:00:00+00:00", "2026-03-04T09:00:00+00:00",
    ]  # fmt: skip


async def test_next_free_looks_past_absences_and_forced_bookings(desk: Desk) -> None:
    await desk.run(lambda tx: builders.absence(tx, "ada", NOON, datetime(2026, 3, 4, 15, tzinfo=UTC)))
    await books(desk, await desk.deal(responsible="ada"), start="2026-03-04T15:00", duration={"hours": 2})
    done = await books(desk, await desk.deal(), on_conflict="next_free")
    assert done.results["start"] == "2026-03-04T16:00:00+00:00"  # absent until 16:00, booked until 17:00


async def test_without_any_calendar_all_time_is_working_time(desk: Desk) -> None:
    await desk.run(lambda tx: builders.resource(tx, "van"))
    alone = {"resources": ["resource:van"], "on_conflict": "next_free", "start": "2026-03-08T03:00"}
    await books(desk, await desk.deal(), **alone)
    done = await books(desk, await desk.deal(), **alone)
    assert done.results["start"] == "2026-03-08T03:00:00+00:00"


async def test_no_free_time_up_to_the_horizon_fails(desk: Desk) -> None:
    deal = await desk.deal()
    error = await refused(desk, deal, on_conflict="next_free", duration={"days": 1})
    assert (error.reason, "2026-04-02 14:00" in error.message) == ("no_free_time", True)
    sunday = {"on_conflict": "next_free", "start": "2026-03-08T10:00"}
    assert (await refused(desk, deal, horizon={"hours": 22}, **sunday)).reason == "no_free_time"
    done = await books(desk, deal, horizon={"hours": 23}, **sunday)
    assert done.results["start"] == "2026-03-09T08:00:00+00:00"


async def test_booking_again_replaces_the_booking_of_the_field_also_where_they_overlap(desk: Desk) -> None:
    deal = await desk.deal()
    await books(desk, deal, rule="a")
    await books(desk, deal, field="fitting", start="2026-03-03T18:00")
    done = await books(desk, deal, rule="b", start="2026-03-03T14:30", acting="eve")
    old, other, new = await desk.rows("booking", order="id")
    assert (old["state"], old["cancelled_at"], old["cancelled_by"]) == ("cancelled", NOON, "eve")
    assert (old["starts_at"], other["state"], new["state"]) == (THEN, "active", "active")
    assert [row["active"] for row in await desk.rows("booking_resource", order="booking_id")] == [
        False, True, True,
    ]  # fmt: skip
    assert done.changed == ("record.visit",)
    assert (await desk.record(deal))["fields"]["visit"] == "2026-03-03T13:30:00+00:00"


async def test_what_cannot_be_booked_leaves_the_earlier_booking(desk: Desk) -> None:
    deal = await desk.deal()
    await books(desk, await desk.deal(), start="2026-03-03T17:00")
    await books(desk, deal)
    before = await desk.rows("booking"), await desk.rows("booking_resource"), await desk.record(deal)
    assert (await refused(desk, deal, start="2026-03-03T17:00")).reason == "conflict"
    assert (
        await desk.rows("booking"),
        await desk.rows("booking_resource"),
        await desk.record(deal),
    ) == before


async def test_replacing_one_under_way_frees_what_is_left_of_it(desk: Desk) -> None:
    deal, now = await desk.deal(), THEN + timedelta(minutes=20)
    await books(desk, deal)
    await books(desk, deal, now=now, start="2026-03-03T14:30")
    old, new = await desk.rows("booking", order="id")
    assert (old["state"], old["ends_at"], old["booked_until"]) == ("active", now, THEN + HOUR)
    assert (new["starts_at"], new["state"]) == (THEN + timedelta(minutes=30), "active")


async def test_without_replace_the_field_may_have_several(desk: Desk) -> None:
    deal = await desk.deal()
    await books(desk, deal)
    assert (await refused(desk, deal, replace=False)).reason == "conflict"
    await books(desk, deal, replace=False, start="2026-03-03T10:00")
    assert [row["state"] for row in await desk.rows("booking")] == ["active", "active"]
    assert (await desk.record(deal))["fields"]["visit"] == "2026-03-03T09:00:00+00:00"  # the youngest


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"start": {"basis": "record.due_on"}}, "start_empty"),
        ({"start": "{{ record.visit_at }}"}, "start_empty"),
        ({"start": "on {{ record.title }}"}, "start_unreadable"),
        ({"start": "2026-03-02T12:59:59"}, "start_past"),
        ({"start": {"before": {"minutes": 1}}}, "start_past"),
        ({"start": "2026-03-02T12:59:59", "on_conflict": "next_free"}, "start_past"),
        ({"duration": {"hours": 0}}, "duration_not_positive"),
        ({"start": "9999-12-31T00:00"}, "duration_not_positive"),
        ({"resources": ["employee:gone"]}, "wrong_resource"),
        ({"resources": ["employee:nobody"]}, "wrong_resource"),
        ({"resources": ["resource:old"]}, "wrong_resource"),
        ({"resources": ["somebody"]}, "wrong_resource"),
        ({"field": "fitting", "resources": ["employee:ben"]}, "not_allowed"),
        ({"field": "score"}, "unknown_field"),
        ({"field": "party"}, "unknown_field"),
    ],
)
async def test_what_is_only_known_when_it_runs_fails_and_books_nothing(
    desk: Desk, more: dict[str, Any], reason: str
) -> None:
    await desk.run(
        lambda tx: builders.employee(tx, "gone", active=False),
        lambda tx: builders.resource(tx, "old", active=False),
    )
    deal = await desk.deal()
    assert (await refused(desk, deal, **more)).reason == reason
    assert await desk.rows("booking") == []
    assert (await desk.record(deal))["version"] == 1


async def test_the_responsible_is_judged_by_the_field_and_may_be_missing(desk: Desk) -> None:
    error = await refused(desk, await desk.deal(responsible="ben"), field="fitting")
    assert (error.reason, error.message) == ("not_allowed", "record.fitting does not allow employee:ben")
    assert (await refused(desk, await desk.deal(responsible=None))).reason == "wrong_resource"
    await books(desk, await desk.deal(responsible="ada"), field="fitting")


RULES: dict[str, Any] = {
    "new": [
        {"id": "measure", "kind": "book_resource", "params": params()},
        {
            "id": "say", "kind": "add_comment", "after_previous": True,
            "params": {"text": "{{ record.visit | date: '%H:%M' }}-{{ steps.measure.end | date: '%H:%M' }}"},
            "condition": {"field": "steps.measure.start", "op": "greater", "value": {"now": {"hours": 24}}},
        },
    ]
}  # fmt: skip


async def runs(desk: Desk, deal: int, rule: str = "measure") -> tuple[str, str, list[str]]:
    async with desk.locked(deal) as locked:
        if locked.visit(1) is None:
            await locked.reload(1)
        runner = Runner(locked, House(), desk.ids, NOON)
        outcome = await act(runner, Run(1, rule))
        await runner.flush()
        return outcome.result, outcome.reason, outcome.changed


async def test_run_twice_it_books_once_and_says_the_same(desk: Desk) -> None:
    await desk.run(lambda tx: builders.rule_set(tx, RULES))
    deal = await desk.deal()
    assert await runs(desk, deal) == await runs(desk, deal) == ("done", "", ["record.visit"])
    assert len(await desk.rows("booking")) == 1
    assert (await runs(desk, deal, "say"))[0] == "done"
    assert (await desk.row("comment"))["body"] == "14:00-15:00"


async def test_a_failed_step_leaves_nothing_and_the_owner_is_told_why(desk: Desk) -> None:
    await desk.run(lambda tx: builders.rule_set(tx, RULES))
    await books(desk, await desk.deal())
    deal = await desk.deal()
    assert await runs(desk, deal) == ("failed", "conflict", [])
    assert "employee:ada (Ada) is booked from" in (await desk.row("notification"))["body"]
    assert len(await desk.rows("booking")) == 1


@pytest.mark.parametrize("how", ["moved", "pipeline", "deleted"])
async def test_a_stage_that_was_left_books_nothing(desk: Desk, how: str) -> None:
    await desk.run(lambda tx: builders.rule_set(tx, RULES))
    deal = await desk.deal()
    async with desk.locked(deal) as locked:
        by = By("ada", NOON)
        match how:
            case "moved":
                await move(locked, "offer", by)
            case "pipeline":
                await change_pipeline(locked, "service", None, by)
            case "deleted":
                await delete(locked, by)
    assert (await runs(desk, deal))[0] == "stale"
    assert await desk.rows("booking") == []


async def test_a_booking_field_is_never_written_by_an_edit(desk: Desk) -> None:
    deal = await desk.deal()
    with pytest.raises(Refused) as error:
        await desk.does(deal, "edit_record", set=[{"field": "visit", "value": AT_14}])
    assert error.value.reason == "unknown_field"
    assert "/set/0/field" in refused_on_save("edit_record", set=[{"field": "visit", "value": AT_14}])


def test_schedules_conditions_and_texts_may_use_a_booking_field() -> None:
    rule = {
        "id": "remind", "kind": "add_comment", "params": {"text": "{{ record.fitting | date: '%H:%M' }}"},
        "schedule": {"basis": "record.visit", "before": {"hours": 1}},
        "condition": {"field": "record.visit", "op": "greater", "value": {"now": {"hours": 1}}},
    }  # fmt: skip
    assert check(RuleSet.model_validate({"stages": {"new": [rule]}}), setting(), {}) == []


def test_what_is_refused_on_save() -> None:
    def wrong(**more: Any) -> set[str]:
        return set(refused_on_save("book_resource", **params(**more)))

    assert wrong() == set()
    assert wrong(field="record.fitting", resources=["responsible", "employee:ada"]) == set()
    assert wrong(field="score") == wrong(field="vist") == {"/field"}
    assert wrong(resources=[]) == {"/resources"}
    assert wrong(resources=["ada", "employee:bob", "resource:bike", "department:sales"]) == {
        "/resources/0", "/resources/1", "/resources/2", "/resources/3",
    }  # fmt: skip
    assert wrong(field="fitting", resources=["resource:van", "resource:crane"]) == {"/resources/1"}
    assert wrong(duration={"minutes": 0}) == {"/duration"}
    assert wrong(horizon={"days": 367}) == {"/horizon"}
    assert wrong(start="tomorrow") == {"/start"}
    assert wrong(start={"basis": "record.due_on", "if_empty": "skip"}) == {"/start/if_empty"}
    assert wrong(on_conflict="ask") == {"/on_conflict"}
