"""Row 4: a to-do of the employee, on the record and in the employee's list."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from activities.check import check
from db.records import By, move
from db.reminders import remind
from domain.errors import Refused
from domain.rule import RuleSet
from tests import builders
from tests.builders import NOON
from tests.kinds.conftest import Desk, refused_on_save, setting


async def test_a_todo_of_the_responsible_due_now(desk: Desk) -> None:
    deal = await desk.deal(responsible="ben")
    done = await desk.does(deal, "create_todo", rule="call", subject="Call about {{ record.title }}")
    todo = await desk.row("todo")
    assert done.results == {"id": todo["id"]}
    assert todo == {
        "id": todo["id"], "record_id": deal, "visit_no": 1, "rule": "call", "employee_id": "ben",
        "subject": "Call about A roof for Klein", "description": "", "deadline": NOON, "important": False,
        "complete_on_exit": False, "reminder_at": None, "reminded_at": None, "created_at": NOON,
        "completed_at": None, "completed_by": None,
    }  # fmt: skip


async def test_it_may_be_anothers_and_important_with_a_description(desk: Desk) -> None:
    await desk.does(
        await desk.deal(amount="1000"), "create_todo", subject="Check", responsible="hugo", important=True,
        description="{{ record.amount | money }}",
    )  # fmt: skip
    todo = await desk.row("todo")
    assert (todo["employee_id"], todo["important"], todo["description"]) == ("hugo", True, "€1,000.00")


@pytest.mark.parametrize(
    ("deadline", "due"),
    [
        ({"after": {"minutes": 30}}, datetime(2026, 3, 2, 12, 30, tzinfo=UTC)),
        ({"after": {"days": 2}, "at": "10:00"}, datetime(2026, 3, 4, 9, 0, tzinfo=UTC)),
        ({"after": {"days": 5}, "at": "10:00", "working_time": True}, datetime(2026, 3, 9, 9, 0, tzinfo=UTC)),
        ({"basis": "record.due_on", "at": "09:00"}, datetime(2026, 3, 20, 8, 0, tzinfo=UTC)),
        ({"basis": "record.due_on", "before": {"days": 1}}, datetime(2026, 3, 18, 23, 0, tzinfo=UTC)),
        ({"basis": "record.visit_at"}, datetime(2026, 3, 5, 15, 0, tzinfo=UTC)),
    ],
)
async def test_its_deadline_is_a_schedule_in_the_zone_of_the_responsible(
    desk: Desk, deadline: dict[str, object], due: datetime
) -> None:
    fields = {"due_on": "2026-03-20", "visit_at": "2026-03-05T16:00:00+01:00"}
    await desk.does(await desk.deal(fields=fields), "create_todo", subject="Call", deadline=deadline)
    assert (await desk.row("todo"))["deadline"] == due


async def test_while_its_date_field_is_empty_it_has_no_deadline_and_no_reminder(desk: Desk) -> None:
    deal, basis = await desk.deal(), {"basis": "record.due_on"}
    await desk.does(deal, "create_todo", subject="Call", deadline=basis, reminder={"hours": 1})
    await desk.does(deal, "create_todo", subject="Call", deadline=basis | {"if_empty": "run_now"})
    first, second = await desk.rows("todo", order="id")
    assert (first["deadline"], first["reminder_at"], second["deadline"]) == (None, None, NOON)


async def test_where_it_says_so_it_fails_without_a_deadline_or_with_a_past_one(desk: Desk) -> None:
    empty, past = await desk.deal(), await desk.deal(fields={"due_on": "2026-03-01"})
    deadline = {"basis": "record.due_on", "if_empty": "fail", "if_past": "fail"}
    for deal, reason in ((empty, "deadline_empty"), (past, "deadline_past")):
        with pytest.raises(Refused) as refused:
            await desk.does(deal, "create_todo", subject="Call", deadline=deadline)
        assert refused.value.reason == reason
    await desk.does(past, "create_todo", subject="Call", deadline={"basis": "record.due_on"})
    assert (await desk.row("todo"))["deadline"] == datetime(2026, 2, 28, 23, 0, tzinfo=UTC)


async def test_a_reminder_lies_before_the_deadline(desk: Desk) -> None:
    deadline = {"after": {"days": 28}}  # over the change to summer time: still at 13:00
    await desk.does(
        await desk.deal(), "create_todo", subject="Call", deadline=deadline, reminder={"days": 14}
    )
    todo = await desk.row("todo")
    assert todo["deadline"] == datetime(2026, 3, 30, 11, 0, tzinfo=UTC)
    assert todo["reminder_at"] == datetime(2026, 3, 16, 12, 0, tzinfo=UTC)


async def test_of_an_open_todo_its_employee_is_reminded_once(desk: Desk) -> None:
    deal, binned, hour = await desk.deal(), await desk.deal(), timedelta(hours=1)
    how = {"deadline": {"after": {"hours": 2}}, "reminder": {"hours": 1}}
    for record, subject in ((deal, "Call"), (deal, "Done"), (binned, "Forget it")):
        await desk.does(record, "create_todo", subject=subject, responsible="ben", **how)
    await desk.does(deal, "create_todo", subject="No reminder")
    await desk.run("update todo set completed_at = created_at, completed_by = 'ada' where subject = 'Done'")
    await desk.does(binned, "delete_record")
    for now, reminded in ((NOON, 0), (NOON + hour, 1), (NOON + 2 * hour, 0)):
        async with desk.database.transaction() as tx:
            assert await remind(tx, now) == reminded
    told = await desk.row("notification")
    assert (told["employee_id"], told["record_id"], told["at"]) == ("ben", deal, NOON + hour)
    assert told["body"] == "Reminder: Call"


async def test_those_with_complete_on_exit_are_completed_by_leaving(desk: Desk) -> None:
    deal, later = await desk.deal(), NOON + timedelta(hours=1)
    await desk.does(deal, "create_todo", rule="a", subject="Once out of here", complete_on_exit=True)
    await desk.does(deal, "create_todo", rule="b", subject="Whatever happens")
    async with desk.locked(deal) as locked:
        await move(locked, "offer", By("ada", later))
    done = {row["rule"]: (row["completed_at"], row["completed_by"]) for row in await desk.rows("todo")}
    assert done == {"a": (later, "ada"), "b": (None, None)}


@pytest.mark.parametrize(
    ("responsible", "of_record"), [("gone", "ada"), ("nobody", "ada"), ("responsible", None)]
)
async def test_a_bad_responsible_fails(desk: Desk, responsible: str, of_record: str | None) -> None:
    await desk.run(lambda tx: builders.employee(tx, "gone", active=False))
    deal = await desk.deal(responsible=of_record)
    with pytest.raises(Refused) as refused:
        await desk.does(deal, "create_todo", subject="Call", responsible=responsible)
    assert refused.value.reason == "wrong_responsible"
    assert await desk.rows("todo") == []


async def test_an_empty_subject_fails(desk: Desk) -> None:
    deal = await desk.deal()
    with pytest.raises(Refused) as refused:
        await desk.does(deal, "create_todo", subject="{{ contact.first_name }}")
    assert refused.value.reason == "subject_empty"


def test_what_is_refused_on_save() -> None:
    def wrong(**params: object) -> set[str]:
        return set(refused_on_save("create_todo", **({"subject": "Call"} | params)))

    assert wrong(responsible="bob") == {"/responsible"}
    assert wrong(deadline={"after": {"hours": 2}, "at": "10:00"}) == {"/deadline"}
    assert wrong(reminder={"hours": 1, "days": 1}) == {"/reminder"}
    assert wrong(deadline={"basis": "contact.birthday", "at": "09:00"}, reminder={"days": 1}) == set()


@pytest.mark.parametrize("basis", ["record.due", "record.title"])
def test_a_deadline_that_is_no_date_field_is_refused_on_save(basis: str) -> None:
    rule = {"id": "call", "kind": "create_todo", "params": {"subject": "Call", "deadline": {"basis": basis}}}
    (problem,) = check(RuleSet.model_validate({"stages": {"new": [rule]}}), setting(), {})
    assert problem.place == "/stages/new/0/params/deadline/basis"
