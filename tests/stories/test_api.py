"""The API: what it does, and what it refuses without leaving a trace."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
from fastapi import FastAPI

from api.app import create_app
from db.engine import Database
from db.settings import Settings
from tests import builders
from tests.builders import NOON
from tests.stories.conftest import SETTINGS, Api, Stored, away

DEAL: dict[str, Any] = {"type": "deal", "pipeline": "sales", "title": "A roof for Klein"}
COMMENT: dict[str, Any] = {"id": "hello", "kind": "add_comment", "params": {"text": "hello"}}
PROBLEM = "application/problem+json"


async def a_deal(api: Api, **more: Any) -> int:
    return int((await api.made("/records", **DEAL | more))["id"])


async def published(api: Api, pipeline: str = "sales", **stages: list[dict[str, Any]]) -> int:
    answer = await api.put(f"/pipelines/{pipeline}/rules", json={"owner": "eve", "stages": stages})
    assert answer.status_code == 201, answer.text
    return int(answer.json()["number"])


def refused(answer: httpx2.Response, status: int, reason: str) -> dict[str, Any]:
    """The problem of an answer that has to be one."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM
    problem = answer.json()
    assert problem["type"] == f"urn:jalon:problem:{reason}"
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    return problem


# -- the key -------------------------------------------------------------------------------------------
async def test_without_the_key_everything_is_denied(api: Api) -> None:
    for header in ("", "Bearer", "Bearer wrong", "Basic the key of the tests", "Bearer \xe9"):
        for path in ("/records/1", "/kinds", "/nothing/at/all"):
            answer = await api.get(path, headers={"Authorization": header.encode("latin-1")})
            refused(answer, 401, "unauthorized")
            assert answer.headers["www-authenticate"] == "Bearer"


async def test_an_installation_without_a_key_lets_nobody_in(database: Database) -> None:
    app = create_app(Settings(api_key=""), database=database, connect=away)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://jalon") as caller:
        answer = await caller.get("/api/v1/kinds", headers={"Authorization": "Bearer "})
        refused(answer, 401, "unauthorized")


async def test_health_needs_no_key_and_says_what_is_away(api: Api) -> None:
    answer = await api.get("/health", headers={"Authorization": ""})
    told = {"database": "ok", "temporal": "away", "clock": "unread", "clock_ahead": None}
    told |= {"begun_anew": 0, "all_begin_anew": ""}
    assert (answer.status_code, answer.json()) == (200, told)  # here the test says what time it is


# -- creation ------------------------------------------------------------------------------------------
async def test_creation_is_an_entry_in_one_transaction(api: Api, stored: Stored) -> None:
    number = await published(api, new=[COMMENT])
    record = await api.made(
        "/records", **DEAL, amount="1200.50", responsible="ada", by="ben",
        fields={"due_on": "2026-03-09", "score": "7", "tags": "red", "coupon": ""},
    )  # fmt: skip
    assert record["stage"] == "new"
    assert record["amount"] == 1200.5
    assert record["fields"] == {"due_on": "2026-03-09", "score": 7, "tags": ["red"]}
    assert (record["version"], record["visit_no"]) == (1, 1)
    (visit,) = await stored("select * from visit")
    assert (visit["visit_no"], visit["rules_number"], visit["cause"]) == (1, number, "created")
    assert (visit["actor"], visit["entered_at"], visit["run_rules"]) == ("ben", NOON, True)
    (line,) = await stored("select * from journal")
    assert (line["event"], line["at"], line["actor"]) == ("created", NOON, "ben")
    (bell,) = await stored("select * from outbox")
    assert (bell["kind"], bell["payload"], bell["next_at"]) == ("entered", {"visit_no": 1}, None)


async def test_an_import_may_say_that_no_rules_run(api: Api, stored: Stored) -> None:
    await published(api, new=[COMMENT])
    await a_deal(api, run_rules=False)
    (visit,) = await stored("select * from visit")
    assert (visit["rules_number"], visit["run_rules"]) == (0, False)
    (line,) = await stored("select detail from journal")
    assert line["detail"]["run_rules"] is False


async def test_a_record_enters_the_first_stage_of_the_process_or_the_given_one(api: Api) -> None:
    lead = await api.made("/records", type="lead", pipeline="leads", title="Clara")
    assert lead["stage"] == "fresh"
    assert (await api.made("/records", **DEAL, stage="won"))["stage"] == "won"


WRONG_RECORDS: list[tuple[dict[str, Any], str]] = [
    ({"pipeline": "nothing"}, "wrong-pipeline"),
    ({"pipeline": "leads"}, "wrong-pipeline"),
    ({"stage": "nowhere"}, "wrong-stage"),
    ({"responsible": "nobody"}, "wrong-responsible"),
    ({"contact": 7}, "wrong-client"),
    ({"company": 7}, "wrong-client"),
    ({"fields": {"colour": "red"}}, "unknown-field"),
    ({"fields": {"imported_from": "x"}}, "unknown-field"),
    ({"fields": {"title": "x"}}, "unknown-field"),
    ({"fields": {"score": "many"}}, "wrong-type"),
    ({"fields": {"reference": " "}}, "required-field-empty"),
    ({"fields": {"assistant": "nobody"}}, "wrong-type"),
    ({"title": " "}, "required-field-empty"),
    ({"by": "nobody"}, "unknown-actor"),
    ({"title": ""}, "invalid-request"),
    ({"title": "a\0b"}, "invalid-request"),
    ({"title": "\ud800"}, "invalid-request"),
    ({"source": float("nan")}, "invalid-request"),
    ({"amount": "12345678901234567.1"}, "invalid-request"),
    ({"amount": "much"}, "invalid-request"),
    ({"contact": 2**63}, "invalid-request"),
    ({"type": "order"}, "invalid-request"),
    ({"colour": "red"}, "invalid-request"),
    ({"depth": 3}, "invalid-request"),
]


async def test_a_record_that_cannot_be_right_is_refused(api: Api, stored: Stored) -> None:
    before = await stored.counts()
    for changed, reason in WRONG_RECORDS:
        # not by `json`: that would not let half a surrogate pair out
        content = json.dumps(DEAL | changed)
        answer = await api.post("/records", content=content, headers={"Content-Type": "application/json"})
        refused(answer, 422, reason)
    assert await stored.counts() == before


async def test_an_unknown_field_of_a_body_is_named(api: Api) -> None:
    problem = refused(await api.post("/records", json=DEAL | {"colour": "red"}), 422, "invalid-request")
    assert [error["place"] for error in problem["errors"]] == ["/colour"]


async def test_a_body_that_is_no_json_is_refused(api: Api) -> None:
    for body in (b"", b"{", b"[]", b"\xff", b'{"title": NaN}', b"[" * 100_000):
        answer = await api.post("/records", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 422), body[:20]
        assert answer.headers["content-type"] == PROBLEM


async def test_a_body_of_more_than_a_mebibyte_is_refused_before_it_is_read(api: Api, stored: Stored) -> None:
    before = await stored.counts()
    refused(await api.post("/records", json=DEAL | {"source": "x" * 2**20}), 413, "request-entity-too-large")
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b" " * 2**16

    answer = await api.post("/records", content=endless(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    assert answer.headers["content-type"] == PROBLEM
    assert sent <= 2**20 // 2**16 + 2
    assert await stored.counts() == before


# -- reading -------------------------------------------------------------------------------------------
async def test_a_record_shows_what_is_pending_while_temporal_is_away(api: Api) -> None:
    later = COMMENT | {"id": "later", "title": "Later", "after_previous": True}
    await published(api, new=[COMMENT, later])
    record_id = await a_deal(api, responsible="ada")
    record = await api.seen(f"/records/{record_id}")
    assert (record["title"], record["meaning"], record["responsible"]) == (DEAL["title"], "process", "ada")
    assert [(step["rule"], step["title"], step["kind"]) for step in record["pending"]] == [
        ("hello", "", "add_comment"), ("later", "Later", "add_comment"),
    ]  # fmt: skip
    assert all(step["says"] for step in record["pending"])
    assert record["holds"] == record["suspensions"] == []
    assert record["journey"]["running"] is False
    assert record["journey"]["says"]


async def test_what_belongs_to_a_record_is_listed(api: Api) -> None:
    record_id = await a_deal(api)
    for name in ("journal", "comments", "todos", "notifications", "messages", "visits"):
        page = await api.seen(f"/records/{record_id}/{name}")
        assert len(page["items"]) == (1 if name in ("journal", "visits") else 0)
        assert page["next"] is None
        refused(await api.get(f"/records/{record_id + 1}/{name}"), 404, "gone")


async def test_lists_are_paged(api: Api) -> None:
    record_id = await a_deal(api)
    for stage in ("offer", "deal", "offer"):
        await api.made(f"/records/{record_id}/move", stage=stage)
    events, after = [], 0
    while after is not None:
        page = await api.seen(f"/records/{record_id}/journal", after=after, limit=3)
        assert len(page["items"]) <= 3
        events += [line["event"] for line in page["items"]]
        after = page["next"]
    assert events == ["created", "moved", "moved", "moved"]
    visits = await api.seen(f"/records/{record_id}/visits", after=2)
    assert [visit["visit_no"] for visit in visits["items"]] == [3, 4]


async def test_what_is_no_id_is_refused(api: Api) -> None:
    for path in ("/records/0", "/records/x", "/records/9223372036854775808", "/records/1/secrets"):
        refused(await api.get(path), 422, "invalid-request")


async def test_an_unknown_record_is_gone(api: Api) -> None:
    refused(await api.get("/records/17"), 404, "gone")
    for call in (
        api.patch("/records/17", json={"title": "x"}),
        api.post("/records/17/move", json={"stage": "offer"}),
        api.post("/records/17/pipeline", json={"pipeline": "service"}),
        api.post("/records/17/restore"),
        api.post("/records/17/todos", json={"subject": "x", "responsible": "ada"}),
        api.post("/todos/17/complete"),
        api.post("/records/17/operations", json={"verb": "suspend", "who": "ada"}),
        api.delete("/records/17"),
    ):
        refused(await call, 404, "gone")


# -- edits ---------------------------------------------------------------------------------------------
async def test_an_edit_sets_what_it_names_and_nothing_else(api: Api, stored: Stored) -> None:
    record_id = await a_deal(api, responsible="ada", amount=10, fields={"score": 1, "hot": True})
    body = {"version": 1, "amount": 20, "responsible": None, "fields": {"score": None, "coupon": "X1"}}
    answer = await api.patch(f"/records/{record_id}", json=body, headers={"X-Jalon-Actor": "ben"})
    record = answer.json()
    assert (record["version"], record["amount"], record["responsible"]) == (2, 20, None)
    assert record["title"] == DEAL["title"]
    assert {name: value for name, value in record["fields"].items() if value is not None} == {
        "hot": True, "coupon": "X1",
    }  # fmt: skip
    lines = await stored("select actor from journal order by id")
    assert [line["actor"] for line in lines] == ["api", "ben"]


async def test_a_stale_version_is_refused(api: Api, stored: Stored) -> None:
    record_id = await a_deal(api)
    await api.patch(f"/records/{record_id}", json={"title": "A door"})
    before = await stored.counts()
    for call in (
        api.patch(f"/records/{record_id}", json={"version": 1, "title": "A window"}),
        api.post(f"/records/{record_id}/move", json={"version": 1, "stage": "offer"}),
        api.post(f"/records/{record_id}/pipeline", json={"version": 1, "pipeline": "service"}),
    ):
        refused(await call, 409, "stale-version")
    assert await stored.counts() == before
    assert (await api.seen(f"/records/{record_id}"))["title"] == "A door"


WRONG_EDITS: list[tuple[dict[str, Any], str]] = [
    ({"stage": "offer"}, "invalid-request"),
    ({"fields": {"stage": "offer"}}, "unknown-field"),
    ({"fields": {"pipeline": "service"}}, "unknown-field"),
    ({"fields": {"imported_from": "x"}}, "unknown-field"),
    ({"fields": {"amount": 3}}, "unknown-field"),
    ({"fields": {"score": "many"}}, "wrong-type"),
    ({"title": None}, "required-field-empty"),
    ({"responsible": "nobody"}, "wrong-responsible"),
    ({"contact": 99}, "wrong-client"),
]


async def test_an_edit_that_cannot_be_right_is_refused(api: Api, stored: Stored) -> None:
    record_id = await a_deal(api)
    before = await stored.counts(), await stored("select * from record")
    for body, reason in WRONG_EDITS:
        refused(await api.patch(f"/records/{record_id}", json=body), 422, reason)
    assert (await stored.counts(), await stored("select * from record")) == before


async def test_a_journey_hears_of_an_edit_that_something_pending_follows(api: Api, stored: Stored) -> None:
    dated = COMMENT | {"id": "dated", "schedule": {"basis": "record.due_on"}}
    await published(api, new=[dated])
    record_id = await a_deal(api)
    await api.patch(f"/records/{record_id}", json={"title": "Another"})
    assert len(await stored("select 1 from outbox")) == 1
    await api.patch(f"/records/{record_id}", json={"fields": {"due_on": "2026-05-01"}})
    await api.patch(f"/records/{record_id}", json={"responsible": "ben"})
    bells = await stored("select payload from outbox where kind = 'facts_changed' order by created_at")
    first, second = (bell["payload"]["fields"] for bell in bells)
    assert first == ["record.due_on"]
    assert {"record.responsible", "responsible", "responsible.name"} <= set(second)


async def test_a_journey_hears_of_an_edit_that_a_kept_rule_follows(api: Api, stored: Stored) -> None:
    kept = COMMENT | {"id": "kept", "schedule": {"basis": "record.due_on"}, "on_exit": "keep"}
    await published(api, new=[kept])
    record_id = await a_deal(api)
    await api.made(f"/records/{record_id}/move", stage="offer")
    await api.patch(f"/records/{record_id}", json={"fields": {"due_on": "2026-05-01"}})
    assert len(await stored("select 1 from outbox where kind = 'facts_changed'")) == 1
    (step,) = (await api.seen(f"/records/{record_id}"))["pending"]
    assert (step["rule"], step["visit_no"], step["kept"]) == ("kept", 1, True)


# -- moves ---------------------------------------------------------------------------------------------
async def test_a_move_is_an_entry_and_to_the_present_stage_it_is_none(api: Api, stored: Stored) -> None:
    record_id = await a_deal(api)
    moved = await api.made(f"/records/{record_id}/move", stage="offer", version=1, by="ada")
    assert (moved["stage"], moved["visit_no"], moved["version"]) == ("offer", 2, 2)
    assert (await api.made(f"/records/{record_id}/move", stage="offer"))["visit_no"] == 2
    visits = await stored("select cause, actor, automatic from visit order by visit_no")
    assert visits[1:] == [{"cause": "moved", "actor": "ada", "automatic": False}]
    bells = await stored("select payload from outbox order by created_at")
    assert [bell["payload"] for bell in bells] == [{"visit_no": 1}, {"visit_no": 2}]


async def test_a_move_to_a_stage_there_is_not_is_refused(api: Api, stored: Stored) -> None:
    record_id = await a_deal(api)
    before = await stored.counts()
    refused(await api.post(f"/records/{record_id}/move", json={"stage": "nowhere"}), 422, "wrong-stage")
    refused(await api.post(f"/records/{record_id}/move", json={"stage": "a\0"}), 422, "invalid-request")
    assert await stored.counts() == before


async def test_another_pipeline_is_entered_where_the_meaning_is_the_same(api: Api, stored: Stored) -> None:
    record_id = await a_deal(api, stage="won")
    landed = await api.made(f"/records/{record_id}/pipeline", pipeline="service")
    assert (landed["pipeline"], landed["stage"]) == ("service", "returned")
    before = await stored.counts()
    for pipeline in ("service", "leads", "nothing"):
        answer = await api.post(f"/records/{record_id}/pipeline", json={"pipeline": pipeline})
        refused(answer, 422, "wrong-pipeline")
    assert await stored.counts() == before


async def test_a_deleted_record_is_gone_until_it_is_restored(api: Api) -> None:
    record_id = await a_deal(api, stage="offer")
    assert (await api.delete(f"/records/{record_id}")).status_code == 204
    refused(await api.get(f"/records/{record_id}"), 404, "gone")
    refused(await api.delete(f"/records/{record_id}"), 404, "gone")
    refused(await api.post(f"/records/{record_id}/move", json={"stage": "new"}), 404, "gone")
    journal = await api.seen(f"/records/{record_id}/journal")  # the journal stays
    assert [line["event"] for line in journal["items"]] == ["created", "deleted"]
    restored = await api.made(f"/records/{record_id}/restore")
    assert (restored["stage"], restored["visit_no"]) == ("offer", 3)
    assert (await api.made(f"/records/{record_id}/restore"))["visit_no"] == 3


# -- to-dos, client activity ---------------------------------------------------------------------------
async def test_people_have_to_dos_which_are_journaled(api: Api, stored: Stored) -> None:
    record_id = await a_deal(api, responsible="ada")
    todo = await api.made(f"/records/{record_id}/todos", subject="Call", deadline="2026-03-03T09:00:00+01:00")
    assert (todo["employee_id"], todo["deadline"]) == ("ada", "2026-03-03T08:00:00Z")
    done = await api.made(f"/todos/{todo['id']}/complete", by="ben")
    assert done["completed_by"] == "ben"
    again = await api.made(f"/todos/{todo['id']}/complete", by="ada")
    assert again == done
    (listed,) = (await api.seen(f"/records/{record_id}/todos"))["items"]
    assert listed["subject"] == "Call"
    events = [line["event"] for line in await stored("select event from journal order by id")]
    assert events == ["created", "todo_created", "todo_completed"]


async def test_a_to_do_needs_somebody_to_do_it(api: Api, stored: Stored) -> None:
    record_id = await a_deal(api)
    before = await stored.counts()
    refused(await api.post(f"/records/{record_id}/todos", json={"subject": "x"}), 422, "wrong-responsible")
    nobody = {"subject": "x", "responsible": "nobody"}
    refused(await api.post(f"/records/{record_id}/todos", json=nobody), 422, "wrong-responsible")
    never = {"subject": "x", "responsible": "ada", "deadline": "0001-01-01T00:00:00+14:00"}
    refused(await api.post(f"/records/{record_id}/todos", json=never), 422, "invalid-request")
    naive = {"subject": "x", "responsible": "ada", "deadline": "2026-03-03T09:00:00"}
    refused(await api.post(f"/records/{record_id}/todos", json=naive), 422, "invalid-request")
    assert await stored.counts() == before


async def test_a_client_activity_is_recorded_once(api: Api, stored: Stored) -> None:
    record_id = await a_deal(api)
    call = {"id": "call-1", "type": "call", "record": record_id, "detail": {"seconds": 30}}
    assert (await api.made("/client-activities", **call))["happened"] == "no_match"
    assert (await api.made("/client-activities", **call))["happened"] == "already_known"
    assert len(await stored("select 1 from client_activity")) == 1


async def test_a_client_activity_belongs_to_somebody(api: Api, stored: Stored) -> None:
    before = await stored.counts()
    refused(await api.post("/client-activities", json={"id": "1", "type": "call"}), 422, "invalid-request")
    unknown = {"id": "1", "type": "call", "record": 17}
    refused(await api.post("/client-activities", json=unknown), 404, "gone")
    assert await stored.counts() == before


# -- rules ---------------------------------------------------------------------------------------------
async def test_rules_are_published_under_the_next_number_and_read_back(api: Api) -> None:
    assert (await api.seen("/pipelines/sales/rules"))["number"] == 0
    wait = {"id": "patience", "kind": "wait", "params": {"until": {"after": {"days": 3}}}}
    condition = {"not": {"field": "record.score", "op": "between", "value": [1, {"field": "record.amount"}]}}
    full = COMMENT | {"condition": condition, "repeat": {"not_within": {"days": 2}}, "acting": "ada"}
    assert await published(api, new=[full, wait]) == 1
    assert await published(api, new=[wait]) == 2
    rules = await api.seen("/pipelines/sales/rules", number=1)
    assert (rules["number"], rules["owner"]) == (1, "eve")
    assert [rule["id"] for rule in rules["stages"]["new"]] == ["hello", "patience"]
    assert rules["stages"]["new"][0]["condition"] == condition
    assert (await api.seen("/pipelines/sales/rules"))["number"] == 2
    sales = next(p for p in await api.seen("/pipelines") if p["id"] == "sales")
    assert (sales["rules"], [stage["id"] for stage in sales["stages"]]) == (2, list(builders.SALES))


async def test_open_visits_keep_the_version_they_were_opened_with(api: Api, stored: Stored) -> None:
    await published(api, new=[COMMENT])
    await a_deal(api)
    await published(api, new=[])
    (visit,) = await stored("select rules_number from visit")
    assert visit["rules_number"] == 1


WRONG_RULES: dict[str, tuple[dict[str, Any], str]] = {
    "unknown kind": ({"new": [COMMENT | {"kind": "add_coment"}]}, "/stages/new/0/kind"),
    "unknown stage": ({"later": [COMMENT]}, "/stages/later"),
    "unknown field of a template": (
        {"new": [COMMENT | {"params": {"text": "{{ record.nothing }}"}}]}, "/stages/new/0/params/text"),
    "unknown field of a condition": (
        {"new": [COMMENT | {"condition": {"field": "record.nothing", "op": "is_empty"}}]},
        "/stages/new/0/condition/field"),
    "a number compared with a text": (
        {"new": [COMMENT | {"condition": {"field": "record.amount", "op": "equal", "value": "much"}}]},
        "/stages/new/0/condition/value"),
    "unknown parameter": (
        {"new": [COMMENT | {"params": {"text": "x", "colour": 1}}]}, "/stages/new/0/params/colour"),
    "a cycle": (
        {"new": [{"id": "on", "kind": "change_stage", "params": {"stage": "offer"}}],
         "offer": [{"id": "back", "kind": "change_stage", "params": {"stage": "new"}}]}, "/stages/new/0"),
    "unknown field of a rule": ({"new": [COMMENT | {"colour": "red"}]}, "/stages/new/0/colour"),
    "a period in two units": (
        {"new": [COMMENT | {"schedule": {"after": {"days": 1, "hours": 2}}}]},
        "/stages/new/0/schedule/after"),
    "the first rule chained": ({"new": [COMMENT | {"after_previous": True}]}, "/stages/new/0"),
    "an id used twice": ({"new": [COMMENT, COMMENT]}, "/stages/new/1"),
}  # fmt: skip


async def test_rules_that_cannot_be_right_are_not_published(api: Api, stored: Stored) -> None:
    before = await stored.counts()
    for why, (stages, place) in WRONG_RULES.items():
        answer = await api.put("/pipelines/sales/rules", json={"owner": "eve", "stages": stages})
        assert (answer.status_code, answer.headers["content-type"]) == (422, PROBLEM), why
        errors = answer.json()["errors"]
        assert [error["place"] for error in errors] == [place], why
        assert all(error["message"] for error in errors), why
    assert await stored.counts() == before


async def test_a_cycle_over_two_pipelines_is_spelled_out(api: Api) -> None:
    go = {"id": "go", "kind": "change_pipeline", "params": {"pipeline": "service"}}
    back = {"id": "back", "kind": "change_pipeline", "params": {"pipeline": "sales", "stage": "new"}}
    await published(api, new=[go])
    answer = await api.put("/pipelines/service/rules", json={"owner": "eve", "stages": {"intake": [back]}})
    assert "service/intake → sales/new → service/intake" in refused(answer, 422, "rules-refused")["detail"]


async def test_an_id_is_never_used_again_by_another_kind(api: Api) -> None:
    await published(api, new=[COMMENT])
    await published(api, new=[])
    other = {"id": "hello", "kind": "change_stage", "params": {"stage": "won"}}
    answer = await api.put("/pipelines/sales/rules", json={"owner": "eve", "stages": {"new": [other]}})
    assert refused(answer, 422, "rules-refused")["errors"][0]["place"] == "/stages/new/0/id"
    assert await published(api, offer=[COMMENT]) == 3


async def test_rules_need_a_pipeline_and_an_owner(api: Api, stored: Stored) -> None:
    before = await stored.counts()
    answer = await api.put("/pipelines/nothing/rules", json={"owner": "eve", "stages": {}})
    refused(answer, 404, "unknown-pipeline")
    answer = await api.put("/pipelines/sales/rules", json={"owner": "nobody", "stages": {}})
    assert refused(answer, 422, "rules-refused")["errors"][0]["place"] == "/owner"
    refused(await api.get("/pipelines/nothing/rules"), 404, "unknown-pipeline")
    refused(await api.get("/pipelines/sales/rules", params={"number": 4}), 404, "unknown-pipeline")
    assert await stored.counts() == before


async def test_publications_at_one_time_get_numbers_of_their_own(api: Api) -> None:
    assert sorted(await asyncio.gather(*(published(api, new=[COMMENT]) for _ in range(5)))) == [1, 2, 3, 4, 5]


async def test_every_kind_is_described(api: Api) -> None:
    kinds = {kind["kind"]: kind for kind in await api.seen("/kinds")}
    assert {"add_comment", "wait", "control", "change_stage"} <= kinds.keys()
    assert kinds["add_comment"]["parameters"]["properties"]["text"]["type"] == "string"


# -- operations ----------------------------------------------------------------------------------------
async def test_an_operation_that_no_journey_answers_is_withdrawn(api: Api, stored: Stored) -> None:
    record_id = await a_deal(api)
    answer = await api.post(f"/records/{record_id}/operations", json={"verb": "suspend", "who": "ada"})
    refused(answer, 503, "journey-away")
    assert int(answer.headers["retry-after"]) > 0
    assert await stored("select 1 from outbox where kind = 'operate'") == []
    assert await stored("select status from request where key like 'operation/%'") == [{"status": 503}]
    nobody = {"verb": "suspend", "who": "nobody"}
    refused(await api.post(f"/records/{record_id}/operations", json=nobody), 422, "unknown-actor")


WRONG_OPERATIONS: list[dict[str, Any]] = [
    {"verb": "explode", "who": "ada"},
    {"verb": "skip", "who": "ada"},
    {"verb": "reschedule", "rule": "hello", "who": "ada"},
    {"verb": "reschedule", "rule": "hello", "who": "ada", "due": "2026-03-03T09:00:00"},
    {"verb": "run_now", "rule": "hello", "who": "ada", "due": "2026-03-03T09:00:00Z"},
    {"verb": "suspend"},
]


async def test_a_key_that_looks_like_that_of_an_operation_is_none(api: Api) -> None:
    """An operation is not told to be done because another call of that name was."""
    record_id = await a_deal(api)
    taken = {"Idempotency-Key": "operation/mine"}
    assert (await api.patch(f"/records/{record_id}", json={"amount": "7"}, headers=taken)).status_code == 200
    asked = {"verb": "suspend", "who": "ada"}
    own = {"Idempotency-Key": "mine"}
    refused(await api.post(f"/records/{record_id}/operations", json=asked, headers=own), 503, "journey-away")


async def test_an_operation_that_makes_no_sense_is_refused(api: Api) -> None:
    record_id = await a_deal(api)
    for body in WRONG_OPERATIONS:
        refused(await api.post(f"/records/{record_id}/operations", json=body), 422, "invalid-request")


# -- idempotency ---------------------------------------------------------------------------------------
async def test_the_same_call_under_the_same_key_is_made_once(api: Api, stored: Stored) -> None:
    headers = {"Idempotency-Key": "k1"}
    calls = [api.post("/records", json=DEAL, headers=headers) for _ in range(4)]
    answers = await asyncio.gather(*calls)
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    counts = await stored.counts()
    assert (counts["record"], counts["outbox"], counts["request"]) == (1, 1, 1)
    record_id = answers[0].json()["id"]
    for _ in range(2):
        deleted = await api.delete(f"/records/{record_id}", headers={"Idempotency-Key": "k2"})
        assert deleted.status_code == 204


async def test_another_call_under_a_key_that_was_used_is_refused(api: Api, stored: Stored) -> None:
    headers = {"Idempotency-Key": "k1"}
    record_id = (await api.post("/records", json=DEAL, headers=headers)).json()["id"]
    before = await stored.counts()
    for call in (
        api.post("/records", json=DEAL | {"title": "A door"}, headers=headers),
        api.post("/records", json=DEAL, headers=headers | {"X-Jalon-Actor": "ada"}),
        api.delete(f"/records/{record_id}", headers=headers),
    ):
        refused(await call, 422, "idempotency-key-reused")
    assert await stored.counts() == before


async def test_a_refused_call_leaves_its_key_free(api: Api, stored: Stored) -> None:
    headers = {"Idempotency-Key": "k1"}
    before = await stored.counts()
    refused(await api.post("/records", json=DEAL | {"stage": "nowhere"}, headers=headers), 422, "wrong-stage")
    assert await stored.counts() == before
    assert (await api.post("/records", json=DEAL, headers=headers)).status_code == 201


# -- what goes wrong inside ----------------------------------------------------------------------------
async def test_without_the_database_a_call_is_to_be_made_again_later(postgres: Any) -> None:
    gone = Database(postgres.dsn("there_is_no_such_database"))
    app = create_app(SETTINGS, clock=lambda: NOON, database=gone, connect=away)
    async with app.router.lifespan_context(app), Api(httpx2.ASGITransport(app=app)) as caller:
        answer = await caller.post("/records", json=DEAL)
        # whether it changed anything is not known where the answer to its commit was lost
        assert "Idempotency-Key" in refused(answer, 503, "database-away")["detail"]
        assert int(answer.headers["retry-after"]) > 0
        health = await caller.get("/health")
        assert (health.status_code, health.json()["database"]) == (503, "away")


async def test_a_mistake_of_our_own_tells_nothing_of_what_is_inside(database: Database) -> None:
    def broken_clock() -> Any:
        raise ZeroDivisionError("the password is 1234")

    app: FastAPI = create_app(SETTINGS, clock=broken_clock, database=database, connect=away)
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with app.router.lifespan_context(app), Api(transport) as caller:
        answer = await caller.post("/records", json=DEAL)
    refused(answer, 500, "internal-error")
    assert "1234" not in answer.text
    assert "ZeroDivision" not in answer.text


async def test_what_is_not_there_is_a_problem_too(api: Api) -> None:
    for method, path, status in (("GET", "/nothing", 404), ("PUT", "/records", 405)):
        answer = await api.request(method, path)
        assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM)


async def test_the_document_describes_the_problems(api: Api) -> None:
    document = await api.seen("/openapi.json")
    required = document["components"]["schemas"]["Refusal"]["required"]
    assert set(required) == {"type", "title", "status", "detail"}
    operation = document["paths"]["/api/v1/records"]["post"]
    assert operation["responses"]["422"]["content"].keys() == {PROBLEM}
