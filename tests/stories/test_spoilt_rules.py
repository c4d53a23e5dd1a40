"""Rules that were spoilt by hand are answered with a problem, and stop their own records alone."""

from __future__ import annotations

from sqlalchemy import text

from db.engine import Database
from tests.stories.conftest import Api
from tests.stories.test_api import COMMENT, a_deal, published, refused


async def spoil(database: Database, pipeline: str) -> None:
    async with database.transaction() as tx:
        await tx.execute(text("set local session_replication_role = replica"))
        await tx.execute(text("update rule_set set stages = '[7]' where pipeline_id = :p"), {"p": pipeline})


async def test_a_record_on_them_is_answered_with_a_problem_and_no_other(api: Api, database: Database) -> None:
    await published(api, new=[COMMENT])
    deal, other = await a_deal(api), await a_deal(api, pipeline="service")
    await spoil(database, "sales")
    problem = refused(await api.get(f"/records/{deal}"), 500, "rules-unreadable")
    assert "version 1 of the rules of 'sales'" in problem["detail"]
    assert (await api.get(f"/records/{other}")).status_code == 200


async def test_what_a_client_does_reaches_the_other_records_and_the_owner_hears_of_the_one(
    api: Api, database: Database
) -> None:
    trigger = {"id": "called", "event": "client_activity", "names": ["call"]}
    for pipeline, stage in (("sales", "offer"), ("service", "repair")):
        body = {"owner": "eve", "stages": {}, "triggers": [trigger | {"stage": stage, "records": "all"}]}
        assert (await api.put(f"/pipelines/{pipeline}/rules", json=body)).status_code == 201
    contact = (await api.made("/contacts", first_name="Clara"))["id"]
    deal = await a_deal(api, contact=contact)
    other = await a_deal(api, contact=contact, pipeline="service")
    await spoil(database, "sales")
    told = {"id": "call-1", "type": "call", "contact": contact}
    answer = await api.post("/client-activities", json=told)
    assert answer.json()["happened"] == "moved", answer.text
    assert (await api.get(f"/records/{other}")).json()["stage"] == "repair"
    async with database.transaction() as tx:
        said = text("select event, reason from journal where record_id = :id and event = 'not_heard'")
        assert (await tx.execute(said, {"id": deal})).all() == [("not_heard", "rules_unreadable")]
        bodies = (await tx.execute(text("select body from notification where employee_id = 'eve'"))).scalars()
        assert ["cannot be read" in body for body in bodies] == [True]
    edited = await api.patch(f"/contacts/{contact}", json={"first_name": "Klara"})
    assert edited.status_code == 200, edited.text
