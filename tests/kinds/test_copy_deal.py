"""Row 12: one deal becomes two, or more, each linked to its source and with a journey of its own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from db.records import By, TooManyMoves, move
from tests import builders
from tests.builders import NOON
from tests.kinds.births import ROOF, give, publish, runs
from tests.kinds.conftest import Desk, refused_on_save

FIELDS = {"priority": "high", "tags": ["red", "wide"], "imported_from": "the old one", "reference": "R-1"}
EVERYTHING = ["fields", "contacts", "products", "comments", "files", "todos"]


async def a_deal(desk: Desk, **given: Any) -> int:
    """A deal with all there is to copy."""
    async with desk.database.transaction() as tx:
        clara, klein = await builders.contact(tx), await builders.client_company(tx)
        more = {"contact": clara, "company": klein, "fields": FIELDS, "amount": "999.60", "currency": "CHF"}
        deal = await builders.deal(tx, stage="offer", **(more | {"source": "fair"} | given))
    await give(desk, deal, *ROOF)
    await desk.does(deal, "add_comment", rule="a", text="Mind the dog", author="responsible", pinned=True)
    await desk.does(deal, "create_todo", rule="b", subject="Call", responsible="ben", important=True)
    await desk.does(deal, "create_todo", rule="c", subject="Done long ago", responsible="eve")
    await desk.run(f"update todo set completed_at = now() where rule = 'c' and record_id = {deal}")
    return deal


async def copies(desk: Desk, deal: int) -> list[dict[str, Any]]:
    return await desk.rows("record", f"parent_id = {deal}", order="id")


async def test_a_copy_begins_in_the_first_stage_with_fields_contacts_and_products(desk: Desk) -> None:
    deal = await a_deal(desk)
    done = await desk.does(deal, "copy_deal")
    (copy,) = await copies(desk, deal)
    source = await desk.record(deal)
    assert done.results == {"ids": [copy["id"]]}
    assert (copy["title"], copy["record_type"]) == ("A roof for Klein (copy)", "deal")
    assert (copy["pipeline_id"], copy["stage_id"], copy["visit_no"]) == ("sales", "new", 1)
    for same in ("amount", "currency", "source", "responsible_id", "contact_id", "company_id"):
        assert copy[same] == source[same] is not None, same
    assert copy["fields"] == {"priority": "high", "tags": ["red", "wide"], "reference": "R-1"}, (
        "no read-only ones"
    )
    assert (copy["parent_id"], copy["depth"], copy["created_at"]) == (deal, 1, NOON)
    lines = await desk.rows("product_line", order="record_id, position")
    ours, theirs = (
        [{**row, "id": 0, "record_id": 0} for row in lines if row["record_id"] == i]
        for i in (deal, copy["id"])
    )
    assert ours == theirs
    assert len(ours) == 2
    assert await desk.rows("comment", f"record_id = {copy['id']}") == []
    assert await desk.rows("todo", f"record_id = {copy['id']}") == []


async def test_its_source_is_as_it_was(desk: Desk) -> None:
    deal = await a_deal(desk)
    before = await desk.record(deal)
    done = await desk.does(deal, "copy_deal", copies=EVERYTHING)
    assert await desk.record(deal) == before
    assert (done.moved_to, done.changed) == (0, ())


async def test_each_copy_has_a_journey_of_its_own(desk: Desk) -> None:
    deal = await a_deal(desk)
    done = await desk.does(deal, "copy_deal", pipelines=[{"pipeline": "service"}, {}])
    ids = done.results["ids"]
    assert [(bell.record_id, bell.kind, bell.visit_no) for bell in done.bells] == [
        (i, "entered", 1) for i in ids
    ]  # type: ignore[union-attr]
    waiting = await desk.rows("outbox", f"record_id <> {deal}", order="record_id")
    assert [row["id"] for row in waiting] == [bell.id for bell in done.bells]
    assert [(row["visit_no"], row["cause"]) for row in await desk.rows("visit", f"record_id <> {deal}")] == [
        (1, "created"), (1, "created"),
    ]  # fmt: skip


async def test_several_pipelines_at_once(desk: Desk) -> None:
    deal = await a_deal(desk)
    where = [{"pipeline": "service"}, {"stage": "deal"}, {"pipeline": "service", "stage": "scrapped"}]
    done = await desk.does(deal, "copy_deal", pipelines=where)
    made = await copies(desk, deal)
    assert done.results["ids"] == [row["id"] for row in made]
    assert [(row["pipeline_id"], row["stage_id"]) for row in made] == [
        ("service", "intake"), ("sales", "deal"), ("service", "scrapped"),
    ]  # fmt: skip


async def test_of_the_fields_those_are_copied_that_the_other_pipeline_has_too(desk: Desk) -> None:
    own = [
        {"name": "priority", "type": "choice", "choices": ["low"]},  # no `high` here
        {"name": "tags", "type": "text"},  # holds one value here
        {"name": "reference", "type": "text"},
    ]
    await desk.run(lambda tx: builders.pipeline(tx, "lab", {"in": "process", "out": "success"}, fields=own))
    deal = await a_deal(desk)
    await desk.does(deal, "copy_deal", pipelines=[{"pipeline": "lab"}])
    assert (await copies(desk, deal))[0]["fields"] == {"reference": "R-1"}


@pytest.mark.parametrize(
    ("copied", "amount", "contact", "lines", "comments", "todos"),
    [
        ([], False, False, 0, 0, 0),
        (["contacts"], False, True, 0, 0, 0),
        (["fields"], True, False, 0, 0, 0),
        (["products"], True, False, 2, 0, 0),
        (["comments"], False, False, 0, 1, 0),
        (["todos"], False, False, 0, 0, 1),
    ],
)
async def test_what_is_copied_is_said(
    desk: Desk, copied: list[str], amount: bool, contact: bool, lines: int, comments: int, todos: int
) -> None:
    deal = await a_deal(desk)
    await desk.does(deal, "copy_deal", copies=copied)
    (copy,) = await copies(desk, deal)
    own = f"record_id = {copy['id']}"
    assert (copy["amount"] is not None, copy["contact_id"] is not None) == (amount, contact)
    assert bool(copy["fields"]) is (copied == ["fields"])
    assert copy["currency"] == "CHF", "which the products are in"
    counted = [len(await desk.rows(table, own)) for table in ("product_line", "comment", "todo")]
    assert counted == [lines, comments, todos]


async def test_comments_keep_author_and_time_and_todos_that_are_done_stay_behind(desk: Desk) -> None:
    deal = await a_deal(desk)
    await desk.does(deal, "copy_deal", copies=EVERYTHING)
    (copy,) = await copies(desk, deal)
    comment = await desk.row("comment", f"record_id = {copy['id']}")
    assert (comment["author"], comment["body"], comment["pinned"], comment["at"]) == (
        "ada",
        "Mind the dog",
        True,
        NOON,
    )
    todo = await desk.row("todo", f"record_id = {copy['id']}")
    assert (todo["subject"], todo["employee_id"], todo["important"]) == ("Call", "ben", True)
    assert (todo["visit_no"], todo["rule"], todo["completed_at"]) == (1, "", None)


async def test_a_todo_reminds_once_more_only_if_its_reminder_is_to_come(desk: Desk) -> None:
    deal = await desk.deal()
    for rule, days in (("a", 0), ("b", 2)):
        deadline = {"after": {"days": days}}
        await desk.does(
            deal, "create_todo", rule=rule, subject=rule, deadline=deadline, reminder={"hours": 1}
        )
    await desk.does(deal, "copy_deal", copies=["todos"])
    (copy,) = await copies(desk, deal)
    reminders = {(row["record_id"], row["subject"]): row["reminder_at"] for row in await desk.rows("todo")}
    assert reminders[deal, "a"] == NOON - timedelta(hours=1)
    assert reminders[copy["id"], "a"] is None
    assert reminders[copy["id"], "b"] == reminders[deal, "b"] == NOON + timedelta(days=2, hours=-1)


async def test_files_are_the_same_bytes_without_a_number_of_their_series(desk: Desk) -> None:
    deal = await a_deal(desk)
    file = {"blob": "ab" * 32, "file": "offer.pdf", "title": "Offer", "number": "O-1"}
    await desk.run(
        "insert into document (record_id, visit_no, template_id, template_version, title, series, number, "
        "format, media_type, file, blob, size, public_token, at) values "
        f"({deal}, 1, 'offer', 1, 'Offer', 'offers', 'O-1', 'pdf', 'application/pdf', 'offer.pdf', "
        f"'{file['blob']}', 3, 'secret', now())"
    )
    await desk.does(deal, "copy_deal", copies=["files"])
    (copy,) = await copies(desk, deal)
    copied = await desk.row("document", f"record_id = {copy['id']}")
    assert {name: copied[name] for name in file} == file
    assert (copied["series"], copied["public_token"]) == (None, None)


async def test_bookings_to_come_are_made_anew_at_the_first_free_time(desk: Desk) -> None:
    start, hour = datetime(2026, 3, 3, 13, 0, tzinfo=UTC), timedelta(hours=1)
    deal = await a_deal(desk)
    params = {"field": "visit", "duration": {"hours": 1}, "service": "Measuring"}
    await desk.does(deal, "book_resource", start=start.isoformat(), **params)
    await desk.does(deal, "copy_deal", copies=["bookings"])
    (copy,) = await copies(desk, deal)
    booking = await desk.row("booking", f"record_id = {copy['id']}")
    assert (booking["starts_at"], booking["ends_at"]) == (start + hour, start + 2 * hour), (
        "the source has the first"
    )
    assert (booking["service"], booking["visit_no"], booking["rule"]) == ("Measuring", 1, "")
    assert copy["fields"] == {"visit": "2026-03-03T14:00:00+00:00"}


async def test_what_is_past_and_what_the_copy_has_no_field_for_is_not_booked(desk: Desk) -> None:
    await desk.run(lambda tx: builders.pipeline(tx, "lab", {"in": "process", "out": "success"}, fields=[]))
    deal = await a_deal(desk)
    params = {"start": "2026-03-03T14:00:00+01:00", "duration": {"hours": 1}}
    await desk.does(deal, "book_resource", field="visit", **params)
    await desk.does(deal, "copy_deal", copies=["bookings"], pipelines=[{"pipeline": "lab"}])
    await desk.does(deal, "copy_deal", copies=["bookings"], now=datetime(2026, 3, 4, 12, 0, tzinfo=UTC))
    assert len(await desk.rows("booking")) == 1


async def test_the_title_may_quote(desk: Desk) -> None:
    deal = await a_deal(desk)
    await desk.does(deal, "copy_deal", title="{{ contact.last_name }}: service")
    assert (await copies(desk, deal))[0]["title"] == "Klein: service"


async def test_the_responsible_is_the_same_or_said_or_chosen(desk: Desk) -> None:
    deal = await a_deal(desk, responsible="hugo")
    turns = {"candidates": ["department:sales"], "strategy": "round_robin"}
    for responsible in ("same", "ben", turns):
        await desk.does(deal, "copy_deal", responsible=responsible, pipelines=[{}, {}])
    made = [row["responsible_id"] for row in await copies(desk, deal)]
    assert made == ["hugo", "hugo", "ben", "ben", "ada", "ben"], "each copy takes a turn"


async def test_a_copy_of_nobodys_deal_is_nobodys(desk: Desk) -> None:
    deal = await a_deal(desk, responsible=None)
    await desk.does(deal, "copy_deal")
    assert (await copies(desk, deal))[0]["responsible_id"] is None


@pytest.mark.parametrize(
    ("deal", "params", "reason"),
    [
        ({"depth": 3}, {}, "loop"),
        ({"responsible": "gone"}, {}, "wrong_responsible"),
        ({}, {"responsible": "gone"}, "wrong_responsible"),
        ({}, {"responsible": {"candidates": ["employee:gone"]}}, "nobody_eligible"),
        ({}, {"title": "{{ record.coupon }}"}, "title_empty"),
        ({}, {"pipelines": [{}, {"pipeline": "closed"}]}, "wrong_pipeline"),
        ({}, {"pipelines": [{}, {"stage": "closed"}]}, "wrong_stage"),
    ],
)
async def test_it_fails_with_a_name_and_all_or_nothing_is_made(
    desk: Desk, deal: dict[str, Any], params: dict[str, Any], reason: str
) -> None:
    await desk.run(lambda tx: builders.employee(tx, "gone", active=False))
    await publish(desk, "copy_deal", **params)
    made = await desk.deal(**deal)
    outcome, bells = await runs(desk, made)
    assert (outcome.result, outcome.reason, bells) == ("failed", reason, [])
    assert [row["id"] for row in await desk.rows("record")] == [made]
    assert len(await desk.rows("outbox")) == 1


async def test_run_twice_it_copies_once(desk: Desk) -> None:
    await publish(desk, "copy_deal")
    deal = await desk.deal()
    first, bells = await runs(desk, deal)
    again, none = await runs(desk, deal)
    assert first == again
    assert first.result == "done"
    assert (len(bells), none) == (1, [])
    assert len(await copies(desk, deal)) == 1


async def test_of_a_stage_that_was_left_it_copies_nothing(desk: Desk) -> None:
    await publish(desk, "copy_deal")
    deal = await desk.deal()
    async with desk.locked(deal) as locked:
        await move(locked, "offer", By("ada", NOON))
    outcome, bells = await runs(desk, deal)
    assert (outcome.result, bells) == ("stale", [])
    assert await copies(desk, deal) == []


async def test_a_birth_is_no_automatic_move_of_the_new_record(desk: Desk) -> None:
    deal = await desk.deal()
    done = await desk.does(deal, "copy_deal")
    (copy,) = done.results["ids"]  # type: ignore[misc]
    stages = ["offer", "deal"]
    async with desk.locked(int(str(copy))) as locked:
        for number in range(10):
            await move(locked, stages[number % 2], By("system", NOON, automatic=True, rule=f"r{number}"))
        with pytest.raises(TooManyMoves):
            await move(locked, "new", By("system", NOON, automatic=True, rule="r10"))
    assert (await desk.record(int(str(copy))))["visit_no"] == 11


def test_what_is_refused_on_save() -> None:
    def wrong(**params: object) -> set[str]:
        return set(refused_on_save("copy_deal", **params))

    assert wrong() == set()
    assert wrong(pipelines=[{"pipeline": "sales"}, {"pipeline": "servise"}]) == {"/pipelines/1/pipeline"}
    assert wrong(pipelines=[{"stage": "intake"}]) == {"/pipelines/0/stage"}
    assert wrong(pipelines=[{"pipeline": "leads"}]) == {"/pipelines/0/pipeline"}, "no pipeline of deals"
    assert wrong(pipelines=[]) == {"/pipelines"}
    assert wrong(responsible="bob") == {"/responsible"}
    assert wrong(responsible={"candidates": ["employee:bob"]}) == {"/responsible/candidates/0"}
    assert wrong(copies=["money"]) == {"/copies/0"}
