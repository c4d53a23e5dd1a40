"""Rules that were spoilt by hand are answered with a problem, of their own records alone."""

from __future__ import annotations

from sqlalchemy import text

from db.engine import Database
from tests.stories.conftest import Api
from tests.stories.test_api import COMMENT, a_deal, published, refused


async def test_a_record_on_them_is_answered_with_a_problem_and_no_other(api: Api, database: Database) -> None:
    await published(api, new=[COMMENT])
    deal, other = await a_deal(api), await a_deal(api, pipeline="service")
    async with database.transaction() as tx:
        await tx.execute(text("set local session_replication_role = replica"))
        await tx.execute(text("update rule_set set stages = '[7]'"))
    problem = refused(await api.get(f"/records/{deal}"), 500, "rules-unreadable")
    assert "version 1 of the rules of 'sales'" in problem["detail"]
    assert (await api.get(f"/records/{other}")).status_code == 200
