"""Triggers that the clock fires: a date is reached, a record has become idle."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from activities.clock_triggers import MOST_ATTEMPTS, ClockTriggers
from activities.house import House
from db import tables
from db.records import By, change_pipeline, delete, restore
from db.rows import Rows, write
from tests import builders
from tests.builders import NOON
from tests.kinds.conftest import Desk
from tests.kinds.test_triggers import published, stage, trigger

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def clock(desk: Desk) -> ClockTriggers:
    """The clock of a worker of its own."""
    return ClockTriggers(desk.database, desk.book, desk.ids, House())


async def looks(desk: Desk, *instants: datetime) -> list[int]:
    """The records that looks at those instants, each by another worker, have moved."""
    moved = []
    for at in instants:
        moved += [bell.record_id for bell in await clock(desk).look(at)]
    return moved


def dated(trigger_id: str, to: str, basis: str = "record.visit_at", **date: Any) -> dict[str, Any]:
    return trigger(trigger_id, to, event="date_reached", date={"basis": basis} | date)


async def idle_deal(desk: Desk, **more: Any) -> int:
    return await desk.deal(journey_visit=1, **more)


async def test_a_record_moves_when_the_instant_of_its_date_field_is_reached_and_only_then(desk: Desk) -> None:
    await published(desk, dated("soon", "offer", before={"hours": 1}))
    deal = await desk.deal(fields={"visit_at": (NOON + 3 * HOUR).isoformat()})
    other = await desk.deal(fields={"visit_at": (NOON + 3 * DAY).isoformat()})
    await desk.deal()
    assert await looks(desk, NOON, NOON + 2 * HOUR - MINUTE) == []
    assert await looks(desk, NOON + 2 * HOUR, NOON + 3 * HOUR) == [deal]
    assert [await stage(desk, record) for record in (deal, other)] == ["offer", "new"]


async def test_a_bare_date_is_its_midnight_in_the_zone(desk: Desk) -> None:
    await published(desk, dated("due", "offer", "record.due_on"))
    deal = await desk.deal(fields={"due_on": "2026-03-03"})
    midnight = datetime.fromisoformat("2026-03-03T00:00:00+01:00")
    assert await looks(desk, NOON, midnight - MINUTE, midnight) == [deal]


async def test_a_date_that_was_past_before_anybody_looked_is_not_reached(desk: Desk) -> None:
    await published(desk, dated("due", "offer"))
    await desk.deal(fields={"visit_at": (NOON - HOUR).isoformat()})
    assert await looks(desk, NOON, NOON + HOUR) == []


async def test_what_came_while_no_worker_looked_fires_at_the_next_look(desk: Desk) -> None:
    await published(desk, dated("due", "offer"))
    deal = await desk.deal(fields={"visit_at": (NOON + HOUR).isoformat()})
    assert await looks(desk, NOON, NOON + 5 * DAY, NOON + 6 * DAY) == [deal]


async def test_it_follows_the_field_also_within_one_worker(desk: Desk) -> None:
    await published(desk, dated("due", "offer"))
    deal = await desk.deal(fields={"visit_at": (NOON + HOUR).isoformat()})
    own = clock(desk)
    assert await own.look(NOON) == []
    later = (NOON + 2 * HOUR).isoformat()
    await desk.does(deal, "edit_record", set=[{"field": "visit_at", "value": later}])
    assert await own.look(NOON + HOUR) == []
    assert [bell.record_id for bell in await own.look(NOON + 2 * HOUR)] == [deal]


async def test_a_record_whose_date_was_reached_before_is_not_touched_again(desk: Desk) -> None:
    poor = {"field": "record.amount", "op": "less", "value": 5}
    await published(desk, dated("due", "offer") | {"condition": poor})
    deal = await desk.deal(amount="10", fields={"visit_at": (NOON + HOUR).isoformat()})
    own = clock(desk)
    await own.look(NOON)
    await own.look(NOON + HOUR)
    async with desk.locked(deal):  # whoever wanted it now would wait, and be refused by the lock's time-out
        assert await own.look(NOON + HOUR + MINUTE) == []


async def test_two_workers_that_look_at_once_move_a_record_once(desk: Desk) -> None:
    await published(desk, dated("on", "offer"), dated("back", "new") | {"direction": "any"})
    deal = await desk.deal(fields={"visit_at": (NOON + HOUR).isoformat()})
    await looks(desk, NOON)
    bells = await asyncio.gather(*(clock(desk).look(NOON + HOUR) for _ in range(5)))
    assert [bell.record_id for found in bells for bell in found] == [deal]
    assert await stage(desk, deal) == "offer"


async def test_of_several_dates_reached_at_once_the_first_in_priority_moves(desk: Desk) -> None:
    await published(desk, dated("near", "offer"), dated("far", "deal") | {"priority": 1})
    deal = await desk.deal(fields={"visit_at": (NOON + HOUR).isoformat()})
    await looks(desk, NOON, NOON + HOUR)
    assert await stage(desk, deal) == "deal"


async def test_a_birthday_of_the_contact_is_a_date_too(desk: Desk) -> None:
    await published(desk, dated("birthday", "offer", "contact.birthday", before={"days": 1}, at="09:00"))
    async with desk.database.transaction() as tx:
        client = await builders.contact(tx, birthday=datetime(2026, 3, 4).date())  # noqa: DTZ001 - a date
    deal = await desk.deal(contact=client)
    nine = datetime.fromisoformat("2026-03-03T09:00:00+01:00")
    assert await looks(desk, NOON, nine - MINUTE, nine) == [deal]


async def test_an_open_record_with_nothing_to_do_is_idle_and_moves_once(desk: Desk) -> None:
    await published(desk, trigger("forgotten", "offer", event="idle", idle_for={"hours": 1}))
    deal = await idle_deal(desk)
    closed = await idle_deal(desk, stage="lost")
    unopened = await desk.deal()
    assert await looks(desk, NOON, NOON + HOUR - MINUTE) == []
    assert await looks(desk, NOON + HOUR, NOON + HOUR) == [deal]
    assert [await stage(desk, record) for record in (closed, unopened)] == ["lost", "new"]


async def test_a_todo_keeps_it_from_being_idle_until_it_is_completed(desk: Desk) -> None:
    await published(desk, trigger("forgotten", "offer", event="idle", idle_for={"hours": 1}))
    deal = await idle_deal(desk)
    await desk.does(deal, "create_todo", subject="Call")
    assert await looks(desk, NOON, NOON + 2 * HOUR) == []
    done = (NOON + 2 * HOUR).isoformat()
    await desk.run(f"update todo set completed_at = '{done}', completed_by = 'ada'")
    assert await looks(desk, NOON + 3 * HOUR - MINUTE) == []
    assert await looks(desk, NOON + 3 * HOUR) == [deal]


async def test_what_did_not_move_it_is_not_asked_again_for_the_same_idleness(desk: Desk) -> None:
    rich = {"field": "record.amount", "op": "greater", "value": 1000}
    await published(desk, trigger("forgotten", "offer", event="idle", condition=rich))
    deal = await idle_deal(desk)
    assert await looks(desk, NOON, NOON + HOUR) == []
    await desk.run(f"update record set amount = 2000 where id = {deal}")
    assert await looks(desk, NOON + 2 * HOUR) == []


async def test_a_record_that_changes_its_pipeline_meanwhile_is_moved_by_no_trigger_of_the_old_one(
    desk: Desk,
) -> None:
    await desk.run(lambda tx: builders.pipeline(tx, "second", builders.SALES))
    await published(desk, dated("soon", "offer"))
    deal = await desk.deal(fields={"visit_at": (NOON + HOUR).isoformat()})
    assert await looks(desk, NOON) == []
    async with desk.locked(deal) as locked:
        await change_pipeline(locked, "second", "new", By("eve", NOON + HOUR))
        assert await looks(desk, NOON + HOUR) == []  # it is not waited for
    assert await looks(desk, NOON + HOUR) == []
    assert await stage(desk, deal) == "new"


async def test_publishing_again_what_did_not_change_goes_through_no_records(desk: Desk) -> None:
    await published(desk, dated("due", "offer"))
    await looks(desk, NOON)
    await published(desk, dated("due", "deal"), trigger("called", "offer"))
    assert await desk.rows("clock_sweep") == []
    await published(desk, dated("due", "deal", before={"hours": 1}))
    assert len(await desk.rows("clock_sweep")) == 2, "one takes the old away, one looks at all records"


async def test_a_trigger_that_is_published_meets_the_records_there_are(desk: Desk) -> None:
    deal = await desk.deal(fields={"visit_at": (NOON + HOUR).isoformat()})
    past = await desk.deal(fields={"visit_at": (NOON - HOUR).isoformat()})
    await looks(desk, NOON)
    await published(desk, dated("due", "offer"))
    assert await looks(desk, NOON + MINUTE, NOON + HOUR) == [deal]
    assert await stage(desk, past) == "new"


async def test_what_is_published_goes_through_all_records_bit_by_bit_and_goes_on_where_it_was(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for bit in ("db.clock", "activities.clock_plan"):
        monkeypatch.setattr(f"{bit}.RECORDS_AT_ONCE", 2)
    deals = [await desk.deal(fields={"visit_at": (NOON + HOUR).isoformat()}) for _ in range(5)]
    await looks(desk, NOON)
    await published(desk, dated("due", "offer"))
    assert await looks(desk, NOON + MINUTE) == []
    assert len(await desk.rows("clock_due")) == 2
    assert await looks(desk, *[NOON + n * MINUTE for n in range(2, 5)]) == []
    assert await desk.rows("clock_sweep") == []
    assert sorted(await looks(desk, NOON + HOUR)) == deals


async def test_a_date_reached_while_a_trigger_is_still_going_through_the_records_is_not_lost(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for bit in ("db.clock", "activities.clock_plan"):
        monkeypatch.setattr(f"{bit}.RECORDS_AT_ONCE", 1)
    first, last = [await desk.deal(fields={"visit_at": (NOON + HOUR).isoformat()}) for _ in range(2)]
    await looks(desk, NOON)
    await published(desk, dated("due", "offer"))
    assert await looks(desk, NOON + HOUR, NOON + 2 * HOUR, NOON + 3 * HOUR) == [first, last]


async def test_a_record_made_by_a_transaction_that_did_not_know_the_trigger_is_met_too(desk: Desk) -> None:
    await looks(desk, NOON)
    async with desk.database.transaction() as tx:
        late = await builders.deal(tx, fields={"visit_at": (NOON + HOUR).isoformat()})
        await published(desk, dated("due", "offer"))
        assert await looks(desk, NOON + MINUTE, NOON + 2 * MINUTE) == []
    assert await looks(desk, NOON + 3 * MINUTE, NOON + HOUR) == [late]


async def test_a_trigger_that_is_gone_leaves_nothing_behind(desk: Desk) -> None:
    await published(desk, dated("due", "offer"))
    for _ in range(3):
        await desk.deal(fields={"visit_at": (NOON + HOUR).isoformat()})
    await looks(desk, NOON)
    await published(desk)
    assert await looks(desk, NOON + MINUTE, NOON + 2 * MINUTE, NOON + HOUR) == []
    for table in ("clock_trigger", "clock_due", "clock_sweep", "clock_changed"):
        assert await desk.rows(table) == [], table


async def test_a_changed_calendar_is_heard_at_the_next_look(desk: Desk) -> None:
    await published(desk, dated("due", "offer", after={"hours": 1}, working_time=True))
    deal = await desk.deal(fields={"visit_at": (NOON + DAY).isoformat()})
    assert await looks(desk, NOON) == []
    before = await desk.row("clock_due")
    week = {"zone": "Europe/Paris", "week": {"fri": [["09:00", "12:00"]]}}
    stored = await desk.row("calendar")
    assert set(week) <= set(stored["definition"])
    await desk.run(
        lambda tx: tx.execute(
            update(tables.Calendar).values(definition=stored["definition"] | {"week": week["week"]})
        )
    )
    assert await looks(desk, NOON + MINUTE) == []
    after = await desk.row("clock_due")
    assert (before["record_id"], after["record_id"]) == (deal, deal)
    friday = datetime.fromisoformat("2026-03-06T10:00:00+01:00")
    assert before["due_at"] < after["due_at"] == friday
    assert await looks(desk, friday - MINUTE, friday) == [deal]


async def test_an_absence_of_the_responsible_is_heard_at_the_next_look(desk: Desk) -> None:
    await published(desk, dated("due", "offer", on_duty=True))
    hers = await desk.deal(fields={"visit_at": (NOON + HOUR).isoformat()})
    his = await desk.deal(fields={"visit_at": (NOON + HOUR).isoformat()}, responsible="ben")
    assert await looks(desk, NOON) == []
    await desk.run(lambda tx: builders.absence(tx, "ada", NOON, NOON + DAY))
    assert await looks(desk, NOON + MINUTE, NOON + HOUR) == [his]
    assert await looks(desk, NOON + DAY) == [hers]


async def test_a_change_that_leaves_a_date_that_is_due_as_it_was_does_not_make_it_past(desk: Desk) -> None:
    await published(desk, dated("due", "offer"))
    deal = await desk.deal(fields={"visit_at": (NOON + HOUR).isoformat()})
    await looks(desk, NOON)
    async with desk.locked(deal):  # somebody has it just then
        assert await looks(desk, NOON + HOUR) == []
    await desk.run(f"update record set responsible_id = 'ben' where id = {deal}")
    assert await looks(desk, NOON + HOUR + MINUTE) == [deal]


async def test_a_date_reached_in_the_recycle_bin_is_not_reached(desk: Desk) -> None:
    await published(desk, dated("due", "offer"))
    deal = await desk.deal(fields={"visit_at": (NOON + HOUR).isoformat()})
    await looks(desk, NOON)
    async with desk.locked(deal) as locked:
        await delete(locked, By("eve", NOON))
    assert await looks(desk, NOON + 2 * HOUR) == []
    async with desk.locked(deal) as locked:
        await restore(locked, By("eve", NOON + 2 * HOUR))
    assert await looks(desk, NOON + 3 * HOUR) == []


@pytest.mark.parametrize("how", ["todo", "task", "meeting", "wait"])
async def test_whatever_is_to_be_done_or_waited_for_ends_an_idleness_and_begins_another(
    desk: Desk, how: str
) -> None:
    await published(desk, trigger("forgotten", "offer", event="idle", idle_for={"hours": 1}))
    deal = await idle_deal(desk)
    own = {"record_id": deal, "visit_no": 1}
    rows: dict[str, tuple[str, dict[str, Any], str]] = {
        "todo": ("todo", {"employee_id": "ada", "subject": "Call", "created_at": NOON}, "completed_at"),
        "task": (
            "task", {"assignee_id": "ada", "name": "Measure", "creator": "ada", "created_at": NOON},
            "ended_at",
        ),
        "meeting": (
            "meeting",
            {"type": "call", "subject": "Call", "starts_at": NOON, "ends_at": NOON + HOUR, "uid": "1",
             "state": "planned", "responsible_id": "ada", "created_at": NOON, "created_by": "ada",
             "changed_at": NOON},
            "ended_at",
        ),
        "wait": (
            "hold",
            {"rule": "w", "kind": "wait", "turn": NOON, "opened_at": NOON, "state": "waiting"}, "ended_at",
        ),
    }  # fmt: skip
    table, row, ended = rows[how]
    await desk.run(lambda tx: write(tx, [Rows(table, [own | row])]))
    assert await looks(desk, NOON, NOON + 2 * HOUR) == []
    also = {"task": ", ended_how = 'completed'", "wait": ", outcome = 'done'"}.get(how, "")
    await desk.run(f"update {table} set {ended} = '{(NOON + 2 * HOUR).isoformat()}'{also}")
    assert await looks(desk, NOON + 3 * HOUR - MINUTE, NOON + 3 * HOUR) == [deal]


async def test_one_trigger_that_cannot_be_carried_out_stops_no_other_and_the_owner_is_told(
    desk: Desk,
) -> None:
    broken = {"field": "record.amount", "op": "less", "value": {"spoilt": "by hand"}}
    await published(desk, dated("broken", "repair") | {"condition": broken}, pipeline="service")
    await published(desk, dated("due", "offer"))
    soon = {"visit_at": (NOON + HOUR - MINUTE).isoformat()}
    poison = await desk.deal(pipeline="service", stage="intake", fields=soon)
    deal = await desk.deal(fields={"visit_at": (NOON + HOUR).isoformat()})
    assert await looks(desk, NOON, NOON + HOUR) == [deal]
    later = [NOON + (n + 2) * HOUR for n in range(MOST_ATTEMPTS)]
    assert await looks(desk, *later) == []
    (told,) = await desk.rows("notification")
    assert (told["employee_id"], told["record_id"]) == ("eve", poison)
    assert "Trigger broken" in told["body"]
    assert (await desk.journal(poison))[-1][0] == "trigger_failed"
    assert await desk.rows("clock_due") == []


async def test_what_is_due_fires_though_nothing_new_can_be_planned(desk: Desk) -> None:
    await published(desk, dated("due", "offer"))
    deal = await desk.deal(fields={"visit_at": (NOON + HOUR).isoformat()})
    await looks(desk, NOON)
    await desk.run("alter table contact rename column birthday to day_of_birth")  # what planning reads
    other = await desk.deal(fields={"visit_at": (NOON + HOUR).isoformat()})
    assert await looks(desk, NOON + HOUR) == [deal]
    await desk.run("alter table contact rename column day_of_birth to birthday")
    assert await looks(desk, NOON + HOUR + MINUTE) == [other]


async def test_a_schedule_spoilt_by_hand_stops_no_other_trigger(desk: Desk) -> None:
    await published(desk, dated("due", "offer"), dated("odd", "deal"))
    await desk.run("update clock_trigger set definition = '[]' where trigger = 'odd'")
    deal = await desk.deal(fields={"visit_at": (NOON + HOUR).isoformat()})
    assert await looks(desk, NOON, NOON + HOUR) == [deal]
    assert await stage(desk, deal) == "offer"
