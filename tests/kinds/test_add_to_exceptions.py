"""Row 1: who wrote or called is not to be heard again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from activities.catalogue import effects
from activities.exceptions import Entry, entry, listed, remove
from activities.house import House
from activities.recycling import restore
from activities.runner import Run, Runner
from activities.steps import act
from db.records import By
from domain.errors import Refused
from domain.events import Outcome
from tests import builders
from tests.builders import NOON
from tests.kinds.conftest import Desk, refused_on_save

KIND = "add_to_exceptions"


async def spammer(desk: Desk, **more: Any) -> tuple[int, int, int]:
    """A deal with addresses of its own, those of its contact, those of its company."""
    async with desk.database.transaction() as tx:
        company = await builders.client_company(tx, emails=["office@spam.example"], phones=["+4930123456"])
        contact = await builders.contact(tx, emails=["Clara@Spam.Example"], company_id=company)
    own = {"email": ["sales@other.example"], "phone": ["030 123457"]}
    return await desk.deal(contact=contact, company=company, fields=own, **more), contact, company


async def caught(desk: Desk, *, emails: tuple[str, ...] = (), phones: tuple[str, ...] = ()) -> str | None:
    async with desk.database.transaction() as tx:
        return await listed(tx, emails=emails, phones=phones)


# -- the effect --------------------------------------------------------------------------------------
async def test_all_addresses_are_on_the_list_normalised_with_author_and_source(desk: Desk) -> None:
    deal, _, _ = await spammer(desk)
    done = await desk.does(deal, KIND, acting="ada", comment="From {{ record.title }}")
    assert done.results == {"added": 5, "already_there": 0}
    rows = await desk.rows("exception_entry", order="value")
    assert [(row["value"], row["kind"]) for row in rows] == [
        ("+4930123456", "phone"), ("+4930123457", "phone"), ("clara@spam.example", "email"),
        ("office@spam.example", "email"), ("sales@other.example", "email"),
    ]  # fmt: skip
    assert {(row["author"], row["record_id"], row["at"]) for row in rows} == {("ada", deal, NOON)}
    assert {row["comment"] for row in rows} == {"From A roof for Klein"}
    assert done.moved_to == 0
    assert (await desk.record(deal))["visit_no"] == 1


@pytest.mark.parametrize(
    ("scope", "values"),
    [
        (["record"], ["+4930123457", "sales@other.example"]),
        (["contact"], ["clara@spam.example"]),
        (["company", "contact"], ["+4930123456", "clara@spam.example", "office@spam.example"]),
    ],
)
async def test_the_scope_says_whose_are_added(desk: Desk, scope: list[str], values: list[str]) -> None:
    deal, _, _ = await spammer(desk)
    await desk.does(deal, KIND, scope=scope)
    assert [row["value"] for row in await desk.rows("exception_entry", order="value")] == values


async def test_a_lead_without_a_client_has_addresses_of_its_own(desk: Desk) -> None:
    lead = await desk.lead(fields={"email": ["a@spam.example"]})
    assert (await desk.does(lead, KIND)).results == {"added": 1, "already_there": 0}


async def test_what_is_there_already_is_counted_and_stays_as_it_was(desk: Desk) -> None:
    deal, _, _ = await spammer(desk)
    await desk.does(deal, KIND, scope=["contact"], comment="first")
    done = await desk.does(deal, KIND, scope=["contact", "company"], comment="second")
    assert done.results == {"added": 2, "already_there": 1}
    row = await desk.row("exception_entry", "value = 'clara@spam.example'")
    assert row["comment"] == "first"


@pytest.mark.parametrize("fields", [{}, {"email": ["nobody"], "phone": ["12"]}])
async def test_without_anything_to_add_it_fails_and_the_record_is_untouched(
    desk: Desk, fields: dict[str, Any]
) -> None:
    deal = await desk.deal(fields=fields)
    before = await desk.record(deal)
    with pytest.raises(Refused) as refused:
        await desk.does(deal, KIND, then="delete")
    assert refused.value.reason == "nothing_to_add"
    assert await desk.record(deal) == before
    assert await desk.rows("exception_entry") == []


# -- what becomes of the record ----------------------------------------------------------------------
async def test_it_may_close_the_record_as_a_failure(desk: Desk) -> None:
    deal, _, _ = await spammer(desk)
    done = await desk.does(deal, KIND, rule="no-spam", then="close_as_failure")
    record = await desk.record(deal)
    assert (record["stage_id"], record["visit_no"], done.moved_to) == ("lost", 2, 2)
    left, _ = await desk.rows("visit", order="visit_no")
    assert (left["left_reason"], left["left_by"]) == ("closed", "no-spam")


async def test_a_record_that_failed_stays_where_it_is(desk: Desk) -> None:
    deal, _, _ = await spammer(desk, stage="lost")
    done = await desk.does(deal, KIND, then="close_as_failure")
    assert (done.moved_to, done.results["added"]) == (0, 5)


async def test_a_stage_that_is_gone_by_then_fails_the_step_and_nothing_is_written(desk: Desk) -> None:
    rule = {"id": "no-spam", "kind": KIND, "params": {"then": "close_as_failure"}}
    await desk.run(lambda tx: builders.rule_set(tx, {"new": [rule]}))
    deal, _, _ = await spammer(desk)
    await desk.run("update stage set retired_at = now() where pipeline_id = 'sales' and id = 'lost'")
    outcome = await step(desk, deal)
    assert (outcome.result, outcome.reason) == ("failed", "wrong_stage")
    assert await desk.rows("exception_entry") == []


async def test_it_may_delete_the_record(desk: Desk) -> None:
    deal, _, _ = await spammer(desk)
    later = NOON + timedelta(hours=1)
    done = await desk.does(deal, KIND, then="delete", now=later)
    assert ((await desk.record(deal))["deleted_at"], done.moved_to) == (later, 2)


def test_only_what_moves_or_ends_the_record_is_a_transition() -> None:
    kind = effects()[KIND]
    assert kind.nature_of({}) == "database"
    assert kind.nature_of({"then": "leave"}) == "database"
    assert kind.nature_of({"then": "delete"}) == kind.nature_of({"then": "close_as_failure"}) == "transition"


# -- orphans -----------------------------------------------------------------------------------------
async def test_clients_that_no_other_record_has_are_deleted_when_asked_to(desk: Desk) -> None:
    deal, _, _ = await spammer(desk)
    done = await desk.does(deal, KIND, then="close_as_failure", delete_orphan_client=True)
    assert (await desk.rows("contact"), await desk.rows("company")) == ([], [])
    record = await desk.record(deal)
    assert (record["contact_id"], record["company_id"], record["stage_id"]) == (None, None, "lost")
    assert "contact.email" in done.changed
    assert await caught(desk, emails=("clara@spam.example",)) == "clara@spam.example"


async def test_clients_stay_unless_it_is_asked_for(desk: Desk) -> None:
    deal, _, _ = await spammer(desk)
    await desk.does(deal, KIND, then="delete")
    assert (len(await desk.rows("contact")), len(await desk.rows("company"))) == (1, 1)


async def test_a_client_that_another_record_has_stays(desk: Desk) -> None:
    deal, contact, company = await spammer(desk)
    other = await desk.deal(contact=contact)
    await desk.does(deal, KIND, then="delete", delete_orphan_client=True)
    # the company has no other record, but a contact that stays
    assert (len(await desk.rows("contact")), len(await desk.rows("company"))) == (1, 1)
    assert (await desk.record(other))["contact_id"] == contact
    assert (await desk.row("contact"))["company_id"] == company


async def test_a_company_with_another_contact_stays(desk: Desk) -> None:
    deal, _, company = await spammer(desk)
    await desk.run(lambda tx: builders.contact(tx, first_name="Carl", company_id=company))
    await desk.does(deal, KIND, delete_orphan_client=True)
    assert [row["first_name"] for row in await desk.rows("contact")] == ["Carl"]
    assert len(await desk.rows("company")) == 1

async def test_a_client_deleted_with_its_record_comes_back_with_it(desk: Desk) -> None:
    deal, contact, company = await spammer(desk)
    before = [await desk.row("contact"), await desk.row("company")]
    await desk.does(deal, KIND, then="delete", delete_orphan_client=True)
    assert (await desk.rows("contact"), await desk.rows("company")) == ([], [])
    async with desk.locked(deal) as locked:
        assert await restore(locked, By("eve", NOON)) is not None
    record = await desk.record(deal)
    assert (record["contact_id"], record["company_id"]) == (contact, company)
    assert [await desk.row("contact"), await desk.row("company")] == before


# -- as a step ---------------------------------------------------------------------------------------
async def step(desk: Desk, deal: int, visit_no: int = 1, rule: str = "no-spam") -> Outcome:
    async with desk.locked(deal) as locked:
        await locked.reload(1)
        runner = Runner(locked, House(), desk.ids, NOON)
        outcome = await act(runner, Run(visit_no, rule, due=NOON))
        await runner.flush()
        return outcome


async def test_run_twice_it_is_done_once(desk: Desk) -> None:
    rule = {"id": "no-spam", "kind": KIND, "params": {"then": "close_as_failure"}}
    await desk.run(lambda tx: builders.rule_set(tx, {"new": [rule]}))
    deal, _, _ = await spammer(desk)
    first = await step(desk, deal)
    await desk.run("delete from exception_entry")
    assert await step(desk, deal) == first
    assert (first.result, first.moved_to) == ("done", 2)
    assert await desk.rows("exception_entry") == []
    assert (await desk.record(deal))["visit_no"] == 2


async def test_run_stale_it_does_nothing(desk: Desk) -> None:
    rule = {"id": "no-spam", "kind": KIND, "params": {"then": "delete"}}
    await desk.run(lambda tx: builders.rule_set(tx, {"new": [rule]}))
    deal, _, _ = await spammer(desk)
    await desk.does(deal, "change_stage", stage="offer")
    assert (await step(desk, deal)).result == "stale"
    assert await desk.rows("exception_entry") == []
    assert (await desk.record(deal))["deleted_at"] is None


async def test_a_later_rule_may_quote_what_was_added(desk: Desk) -> None:
    rules = [
        {"id": "no-spam", "kind": KIND, "params": {"scope": ["contact"]}},
        {
            "id": "say", "kind": "add_comment",
            "params": {"text": "{{ steps.no-spam.added }} new, {{ steps.no-spam.already_there }} known"},
        },
    ]  # fmt: skip
    await desk.run(lambda tx: builders.rule_set(tx, {"new": rules}))
    deal, _, _ = await spammer(desk)
    await step(desk, deal)
    await step(desk, deal, rule="say")
    assert (await desk.row("comment"))["body"] == "1 new, 0 known"


# -- the list ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("written", "value", "kind"),
    [
        (" Ada@Firm.Example ", "ada@firm.example", "email"),
        ("@Firm.Example", "firm.example", "domain"),
        ("firm.example", "firm.example", "domain"),
        ("+49 30 123456", "+4930123456", "phone"),
        ("030.123456", "+4930123456", "phone"),
    ],
)
def test_entries_are_normalised(written: str, value: str, kind: str) -> None:
    assert entry(written, "DE") == Entry(value, kind)  # type: ignore[arg-type]


@pytest.mark.parametrize("written", ["", "@", "com", "@com", "a@", "a b@c.example", "-.example", "12"])
def test_what_is_no_entry_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="is no"):
        entry(written, "DE")


async def test_a_whole_domain_catches_all_below_it(desk: Desk) -> None:
    await desk.run("insert into exception_entry values ('spam.example', 'domain', 'ada', null, '', now())")
    assert await caught(desk, emails=("A@Spam.Example",)) == "spam.example"
    assert await caught(desk, emails=("a@mail.spam.example",)) == "spam.example"
    assert await caught(desk, emails=("a@nospam.example", "no address")) is None
    assert await caught(desk, phones=("+4930123456",)) is None
    assert await caught(desk) is None


async def test_an_international_domain_is_caught_in_both_its_forms(desk: Desk) -> None:
    await desk.run("insert into exception_entry values ('bücher.example', 'domain', 'ada', null, '', now())")
    assert await caught(desk, emails=("a@xn--bcher-kva.example",)) == "bücher.example"


async def test_an_entry_can_be_removed_again(desk: Desk) -> None:
    deal, _, _ = await spammer(desk)
    await desk.does(deal, KIND)
    async with desk.database.transaction() as tx:
        assert await remove(tx, "clara@spam.example")
        assert not await remove(tx, "clara@spam.example")
    assert await caught(desk, emails=("clara@spam.example",)) is None


# -- on save -----------------------------------------------------------------------------------------
def test_what_is_refused_on_save() -> None:
    assert refused_on_save(KIND) == {}
    assert set(refused_on_save(KIND, scope=[])) == {"/scope"}
    assert set(refused_on_save(KIND, scope=["everybody"])) == {"/scope/0"}
    assert set(refused_on_save(KIND, then="forget")) == {"/then"}
    assert refused_on_save(KIND, "leads", then="close_as_failure") == {}
