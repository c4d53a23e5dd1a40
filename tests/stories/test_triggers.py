"""A trigger moves a record: published with the rules, fired by what clients and people do."""

from __future__ import annotations

from typing import Any

from tests.stories.conftest import Api, Stored

DEAL: dict[str, Any] = {"type": "deal", "pipeline": "sales", "title": "A roof", "responsible": "ada"}


async def published(api: Api, *triggers: dict[str, Any]) -> None:
    answer = await api.put(
        "/pipelines/sales/rules", json={"owner": "eve", "stages": {}, "triggers": [*triggers]}
    )
    assert answer.status_code == 201, answer.text


async def test_a_payment_wins_the_deal_and_the_reporting_call_is_told(api: Api, stored: Stored) -> None:
    await published(api, {"id": "paid", "event": "client_activity", "names": ["payment"], "stage": "won"})
    assert (await api.seen("/pipelines/sales/rules"))["triggers"][0]["id"] == "paid"
    deal = (await api.made("/records", **DEAL))["id"]
    told = await api.made("/client-activities", id="p-1", type="payment", record=deal)
    assert told == {"happened": "moved", "records": [deal]}
    assert (await api.seen(f"/records/{deal}"))["stage"] == "won"
    bells = await stored("select kind, payload from outbox order by created_at, payload ->> 'visit_no'")
    assert [(bell["kind"], bell["payload"]) for bell in bells] == [
        ("entered", {"visit_no": 1}), ("entered", {"visit_no": 2})
    ]  # fmt: skip
    again = await api.made("/client-activities", id="p-1", type="payment", record=deal)
    assert again["happened"] == "already_known"


async def test_an_edit_a_new_responsible_and_a_completed_todo_move_the_record(api: Api) -> None:
    await published(
        api,
        {"id": "priced", "event": "field_changed", "names": ["record.amount"], "stage": "offer"},
        {"id": "handed-on", "event": "responsible_changed", "stage": "deal"},
        {"id": "finished", "event": "todo_completed", "stage": "won"},
    )
    deal = (await api.made("/records", **DEAL))["id"]
    answer = await api.patch(f"/records/{deal}", json={"amount": "10"})
    assert (answer.status_code, answer.json()["stage"]) == (200, "offer")
    answer = await api.patch(f"/records/{deal}", json={"responsible": "ben"})
    assert answer.json()["stage"] == "deal"
    todo = await api.made(f"/records/{deal}/todos", subject="Call")
    await api.made(f"/todos/{todo['id']}/complete")
    await api.made(f"/todos/{todo['id']}/complete")
    assert (await api.seen(f"/records/{deal}"))["stage"] == "won"


async def test_whatever_call_changes_a_field_its_triggers_hear_of_it(api: Api) -> None:
    products = {"lines": [{"name": "A beam", "quantity": "2", "unit_price": "100"}]}
    day = {"start": "2026-03-03T09:00:00Z", "duration": {"hours": 1}, "field": "visit"}
    for field, method, path, body in (
        ("record.amount", "patch", "/records/{}", {"amount": "10"}),
        ("record.amount", "put", "/records/{}/products", products),
        ("record.visit", "post", "/records/{}/bookings", day),
    ):
        await published(api, {"id": "heard", "event": "field_changed", "names": [field], "stage": "offer"})
        deal = (await api.made("/records", **DEAL))["id"]
        answer = await api.request(method, path.format(deal), json=body)
        assert answer.is_success, answer.text
        record = await api.seen(f"/records/{deal}")
        assert record["stage"] == "offer", path
        if "version" in answer.json():
            assert answer.json()["version"] == record["version"]


async def test_what_is_wrong_with_a_trigger_is_said_when_it_is_saved(api: Api) -> None:
    wrong = [
        {"id": "a", "event": "client_activity", "stage": "ofer"},
        {"id": "b", "event": "field_changed", "names": ["record.amont"], "stage": "offer"},
        {"id": "c", "event": "todo_completed", "names": ["Call"], "stage": "offer"},
        {"id": "d", "event": "client_activity", "stage": "offer",
         "condition": {"field": "record.amount", "op": "equal", "value": "much"}},
    ]  # fmt: skip
    answer = await api.put("/pipelines/sales/rules", json={"owner": "eve", "stages": {}, "triggers": wrong})
    assert answer.status_code == 422
    places = [problem["place"] for problem in answer.json()["errors"]]
    assert places[0] == "/triggers/0/stage"
    assert places[1:3] == ["/triggers/1/names/0", "/triggers/2/names"]
    assert places[3].startswith("/triggers/3/condition")
    assert "did you mean 'offer'" in answer.json()["errors"][0]["message"]
    twice = [wrong[0] | {"stage": "offer"}] * 2
    answer = await api.put("/pipelines/sales/rules", json={"owner": "eve", "stages": {}, "triggers": twice})
    assert answer.status_code == 422
