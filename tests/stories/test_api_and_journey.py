"""What the API tells of a running journey, and what an operator does to it: everything real."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from temporalio.testing import WorkflowEnvironment

from db.engine import Database
from tests.stories.conftest import Api
from tests.stories.living import living

COMMENT: dict[str, Any] = {"id": "hello", "kind": "add_comment", "params": {"text": "hello"}}
WAITS: dict[str, Any] = {"until": {"after": {"days": 3}}, "instruction": "they decide"}
PATIENCE: dict[str, Any] = {"id": "patience", "kind": "wait", "params": WAITS}
THEN: dict[str, Any] = COMMENT | {"id": "then", "after_previous": True}


@pytest.fixture
async def api(database: Database, temporal: WorkflowEnvironment) -> AsyncIterator[Api]:
    """The API, a worker and a relay over one database and one task queue of their own."""
    async with living(database, temporal) as caller:
        yield caller


async def a_deal(api: Api, *rules: dict[str, Any], **more: Any) -> int:
    """A deal in a stage with these rules, whose journey has done what is due at once."""
    answer = await api.put("/pipelines/sales/rules", json={"owner": "eve", "stages": {"new": rules}})
    assert answer.status_code == 201, answer.text
    record = await api.made("/records", type="deal", pipeline="sales", title="A roof for Klein", **more)
    await until(lambda: opened(api, record["id"]))
    return int(record["id"])


async def opened(api: Api, record_id: int) -> bool:
    """Whether the journey answers and has opened the present visit."""
    journey = (await api.seen(f"/records/{record_id}"))["journey"]
    return bool(journey["running"]) and not journey["says"]


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something that must come; a minute is for ever."""
    async with asyncio.timeout(60):
        while not await holds():  # noqa: ASYNC110 - another process brings it about
            await asyncio.sleep(0.05)


async def comments(api: Api, record_id: int) -> list[str]:
    return [row["rule"] for row in (await api.seen(f"/records/{record_id}/comments"))["items"]]


async def says(api: Api, record_id: int, rules: list[str]) -> bool:
    """Whether these rules have commented, and no others."""
    return await comments(api, record_id) == rules


async def pending(api: Api, record_id: int) -> dict[str, dict[str, Any]]:
    return {step["rule"]: step for step in (await api.seen(f"/records/{record_id}"))["pending"]}


async def test_a_record_shows_what_ran_and_what_happens_next_and_when(api: Api) -> None:
    record_id = await a_deal(api, COMMENT, PATIENCE, THEN)
    record = await api.seen(f"/records/{record_id}")
    assert await comments(api, record_id) == ["hello"]
    assert [(step["rule"], step["status"]) for step in record["pending"]] == [
        ("patience", "open"), ("then", "queued"),
    ]  # fmt: skip
    (hold,) = record["holds"]
    assert (hold["kind"], hold["instruction"]) == ("wait", "they decide")
    assert record["pending"][0]["due"] == hold["ends_at"] is not None
    assert record["pending"][0]["says"].startswith("waits for the client until ")


async def test_a_record_says_when_the_visit_is_opened_that_a_person_has_begun(
    api: Api, database: Database
) -> None:
    rules = {"owner": "eve", "stages": {"offer": [COMMENT]}}
    assert (await api.put("/pipelines/sales/rules", json=rules)).status_code == 201
    async with database.transaction() as tx:
        await tx.execute(text("update pipeline set grace = 3600 where id = 'sales'"))
    record = await api.made("/records", type="deal", pipeline="sales", title="A roof for Klein")
    moved = await api.post(f"/records/{record['id']}/move", json={"stage": "offer", "by": "eve"})
    assert moved.status_code == 200
    await until(lambda: opened(api, record["id"]))
    step = (await pending(api, record["id"]))["hello"]
    assert (step["status"], step["due"] > moved.json()["entered_at"]) == ("queued", True)
    assert step["says"].startswith("has its turn when the visit is opened at ")
    assert await comments(api, record["id"]) == []


async def test_an_operator_ends_a_wait_and_the_chain_goes_on(api: Api) -> None:
    record_id = await a_deal(api, PATIENCE, THEN)
    skip = {"verb": "skip", "rule": "patience", "who": "eve", "why": "they called me"}
    for _ in range(2):  # under one key it is done once
        answer = await api.post(
            f"/records/{record_id}/operations", json=skip, headers={"Idempotency-Key": "skip-1"}
        )
        assert (answer.status_code, answer.json()) == (200, {"verb": "skip"})
    assert await comments(api, record_id) == ["then"]
    journal = (await api.seen(f"/records/{record_id}/journal"))["items"]
    assert [(line["actor"], line["detail"]["why"]) for line in journal if line["event"] == "skip"] == [
        ("eve", "they called me")
    ]
    again = await api.post(f"/records/{record_id}/operations", json=skip)
    assert (again.status_code, again.json()["type"]) == (409, "urn:jalon:problem:operation-refused")
    assert "patience" in again.json()["detail"]


async def test_an_operator_reschedules_a_step_and_then_runs_it_now(api: Api) -> None:
    record_id = await a_deal(api, COMMENT | {"schedule": {"after": {"days": 1}}})
    due = "2099-01-01T09:00:00Z"
    operation = {"verb": "reschedule", "rule": "hello", "due": due, "who": "eve"}
    assert (await api.post(f"/records/{record_id}/operations", json=operation)).status_code == 200
    assert (await pending(api, record_id))["hello"]["due"] == due
    operation = {"verb": "run_now", "rule": "hello", "who": "eve"}
    assert (await api.post(f"/records/{record_id}/operations", json=operation)).status_code == 200
    assert await comments(api, record_id) == ["hello"]
    assert await pending(api, record_id) == {}


async def test_a_lost_journey_is_said_to_be_and_begins_anew_when_somebody_looks(
    api: Api, temporal: WorkflowEnvironment
) -> None:
    record_id = await a_deal(api, COMMENT | {"schedule": {"after": {"days": 1}}})
    due = "2099-01-01T09:00:00Z"
    operation = {"verb": "reschedule", "rule": "hello", "due": due, "who": "eve"}
    assert (await api.post(f"/records/{record_id}/operations", json=operation)).status_code == 200
    await temporal.client.get_workflow_handle(f"deal-{record_id}").terminate("it is lost")
    lost = await api.seen(f"/records/{record_id}")
    assert (lost["journey"]["running"], "begins anew" in lost["journey"]["says"]) == (False, True)
    assert [(step["rule"], step["due"]) for step in lost["pending"]] == [("hello", due)]
    await until(lambda: opened(api, record_id))
    assert (await pending(api, record_id))["hello"]["due"] == due


async def test_a_suspended_record_says_so(api: Api) -> None:
    record_id = await a_deal(api, PATIENCE)
    for verb, covers in (("suspend", [("record", str(record_id))]), ("resume", [])):
        answer = await api.post(f"/records/{record_id}/operations", json={"verb": verb, "who": "eve"})
        assert answer.status_code == 200, answer.text
        found = (await api.seen(f"/records/{record_id}"))["suspensions"]
        assert [(cover["scope"], cover["key"]) for cover in found] == covers


async def test_a_client_activity_ends_the_wait_and_the_call_is_told(api: Api) -> None:
    record_id = await a_deal(api, PATIENCE, THEN)
    call = {"id": uuid4().hex, "type": "call", "record": record_id}
    assert await api.made("/client-activities", **call) == {"happened": "ended_wait", "records": [record_id]}
    again = await api.made("/client-activities", **call)
    assert again == {"happened": "already_known", "records": [record_id]}

    async def went_on() -> bool:
        return await comments(api, record_id) == ["then"]

    await until(went_on)


async def test_an_edit_moves_what_follows_the_field(api: Api) -> None:
    dated = COMMENT | {"schedule": {"basis": "record.due_on", "at": "09:00"}}
    record_id = await a_deal(api, dated, fields={"due_on": "2099-01-05"})
    assert (await pending(api, record_id))["hello"]["due"] == "2099-01-05T08:00:00Z"
    await api.patch(f"/records/{record_id}", json={"fields": {"due_on": "2099-07-05"}})

    async def followed() -> bool:
        return bool((await pending(api, record_id))["hello"]["due"] == "2099-07-05T07:00:00Z")

    await until(followed)


async def test_what_stops_with_a_pipeline_change_is_pending_no_more(api: Api) -> None:
    record_id = await a_deal(api, PATIENCE, THEN)
    await api.made(f"/records/{record_id}/pipeline", pipeline="service")
    await until(lambda: opened(api, record_id))
    assert await pending(api, record_id) == {}


async def test_a_journey_that_is_over_takes_no_operations(api: Api) -> None:
    record_id = await a_deal(api, PATIENCE)
    assert (await api.delete(f"/records/{record_id}")).status_code == 204
    operation = {"verb": "suspend", "who": "eve"}
    answer = await api.post(f"/records/{record_id}/operations", json=operation)
    assert answer.status_code == 404


async def test_one_edit_of_a_contact_meets_the_condition_of_all_its_deals(api: Api) -> None:
    condition = {"field": "contact.first_name", "op": "equal", "value": "Claire"}
    waits = COMMENT | {"condition": condition, "if_false": "wait"}
    contact = (await api.made("/contacts", last_name="Klein"))["id"]
    deals = [await a_deal(api, waits, contact=contact) for _ in range(2)]
    assert [(await pending(api, deal))["hello"]["waiting"] for deal in deals] == ["condition"] * 2
    answer = await api.patch(f"/contacts/{contact}", json={"first_name": "Claire"})
    assert answer.status_code == 200, answer.text
    for deal in deals:
        await until(lambda deal=deal: says(api, deal, ["hello"]))


async def test_what_the_rule_of_one_deal_does_to_the_contact_another_deal_hears(api: Api) -> None:
    condition = {"field": "contact.phone", "op": "is_not_empty"}
    waits = COMMENT | {"condition": condition, "if_false": "wait"}
    condition = {"field": "record.amount", "op": "equal", "value": 7}
    phone = [{"field": "phone", "value": "030 901820"}]
    edits = {"id": "phone", "kind": "edit_contact", "params": {"set": phone}, "condition": condition}
    contact = (await api.made("/contacts", last_name="Klein"))["id"]
    other = await a_deal(api, edits, waits, contact=contact)
    assert await comments(api, other) == []
    own = await a_deal(api, edits, waits, contact=contact, amount=7)
    for deal in (own, other):
        await until(lambda deal=deal: says(api, deal, ["hello"]))


async def test_one_edit_of_a_contact_fires_the_triggers_of_all_its_deals(api: Api) -> None:
    trigger = {"id": "reached", "event": "field_changed", "names": ["contact.phone"], "stage": "offer"}
    rules = {"owner": "eve", "stages": {"new": [PATIENCE]}, "triggers": [trigger]}
    contact = (await api.made("/contacts", last_name="Klein"))["id"]
    assert (await api.put("/pipelines/sales/rules", json=rules)).status_code == 201
    new = {"type": "deal", "pipeline": "sales", "title": "A roof", "contact": contact}
    deals = [(await api.made("/records", **new))["id"] for _ in range(2)]
    for deal in deals:
        await until(lambda deal=deal: opened(api, deal))
    answer = await api.patch(f"/contacts/{contact}", json={"phones": ["030 901820"]})
    assert answer.status_code == 200, answer.text

    async def moved(deal: int) -> bool:
        return bool((await api.seen(f"/records/{deal}"))["stage"] == "offer")

    for deal in deals:
        await until(lambda deal=deal: moved(deal))


async def test_what_an_operator_gives_as_a_reason_is_not_told_to_temporal(
    api: Api, temporal: WorkflowEnvironment
) -> None:
    record_id = await a_deal(api, PATIENCE, THEN)
    for verb, rule in (("reschedule", "patience"), ("skip", "patience"), ("suspend", ""), ("resume", "")):
        asked = {"verb": verb, "rule": rule, "who": "eve", "why": "a reason of one's own"}
        asked |= {"due": "2099-01-01T09:00:00Z"} if verb == "reschedule" else {}
        assert (await api.post(f"/records/{record_id}/operations", json=asked)).status_code == 200
    journal = (await api.seen(f"/records/{record_id}/journal"))["items"]
    given = [line["detail"]["why"] for line in journal if "why" in line["detail"]]
    assert given == ["a reason of one's own"] * 4
    history = await temporal.client.get_workflow_handle(f"deal-{record_id}").fetch_history()
    kept = b"".join(event.SerializeToString() for event in history.events)
    assert b"reschedule" in kept
    assert b"reason of one" not in kept


async def test_an_operation_on_a_rule_there_is_not_says_so(api: Api) -> None:
    record_id = await a_deal(api, PATIENCE)
    for rule, visit_no, reason in (("zzz", 0, "unknown-rule"), ("patience", 7, "unknown-visit")):
        asked = {"verb": "skip", "rule": rule, "visit_no": visit_no, "who": "eve"}
        answer = await api.post(f"/records/{record_id}/operations", json=asked)
        assert (answer.status_code, answer.json()["type"]) == (404, f"urn:jalon:problem:{reason}")
    assert answer.json()["detail"] == "the record has no visit 7"
