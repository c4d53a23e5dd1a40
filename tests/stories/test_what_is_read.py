"""What happened, and what something waits for, can be read with the record."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from temporalio.testing import WorkflowEnvironment

from db.engine import Database
from tests.stories.conftest import Api, Stored
from tests.stories.living import living
from tests.stories.test_api_and_journey import PATIENCE, a_deal, pending, until

SIGNED = {"field": "record.hot", "op": "equal", "value": True}
AT_ONCE = {"after": {"minutes": 0}}
LATE: dict[str, Any] = {"deadline": AT_ONCE, "message": "late", "recipients": ["employee:eve"]}


@pytest.fixture
async def api(database: Database, temporal: WorkflowEnvironment) -> AsyncIterator[Api]:
    async with living(database, temporal) as caller:
        yield caller


async def test_an_edit_stands_in_the_records_history_with_old_and_new_values(api: Api) -> None:
    deal = await a_deal(api, responsible="ada")
    await api.patch(f"/records/{deal}", json={"amount": "7200", "fields": {"tags": ["a", "b"]}, "by": "eve"})
    (line,) = (await api.seen(f"/records/{deal}/history"))["items"]
    assert (line["event_type"], line["author"]) == ("edited", "eve")
    assert line["body"] == "amount: empty → 7200; tags: empty → a, b"


async def test_a_suspended_record_says_who_stopped_it_since_when_and_why(api: Api) -> None:
    deal = await a_deal(api, PATIENCE)
    asked = {"verb": "suspend", "who": "eve", "why": "a complaint"}
    assert (await api.post(f"/records/{deal}/operations", json=asked)).status_code == 200
    (cover,) = (await api.seen(f"/records/{deal}"))["suspensions"]
    assert (cover["scope"], cover["by"], cover["why"]) == ("record", "eve", "a complaint")
    assert cover["since"] is not None


async def test_a_step_says_for_which_condition_it_waits(api: Api) -> None:
    step = {"id": "hand-over", "kind": "add_comment", "params": {"text": "x"}, "if_false": "wait"}
    deal = await a_deal(api, step | {"condition": SIGNED})
    waits = (await pending(api, deal))["hand-over"]
    assert waits["says"] == "waits until record.hot is true"
    assert waits["condition"] == SIGNED


async def test_a_late_control_says_so_while_it_is_late(api: Api, stored: Stored) -> None:
    deal = await a_deal(api, {"id": "watch", "kind": "control", "params": LATE})

    async def late() -> bool:
        return bool(await stored("select 1 from record where late"))

    await until(late)
    step = (await pending(api, deal))["watch"]
    assert step["says"].startswith("is late since 20")
    (hold,) = (await api.seen(f"/records/{deal}"))["holds"]
    assert (hold["state"], hold["late_since"] is None) == ("late", False)


async def test_a_record_shows_the_nearest_wait_and_counts_down_to_its_end(api: Api) -> None:
    def wait(name: str, **after: int) -> dict[str, Any]:
        return {"id": name, "kind": "wait", "params": {"until": {"after": after}, "instruction": name}}

    deal = await a_deal(api, wait("later", days=3), wait("sooner", hours=2))

    async def both() -> bool:
        return len((await api.seen(f"/records/{deal}"))["holds"]) == 2

    await until(both)
    nearest = (await api.seen(f"/records/{deal}"))["waits_for_client"]
    assert (nearest["rule"], nearest["instruction"]) == ("sooner", "sooner")
    assert nearest["until"] is not None
    assert nearest["seconds_left"] >= 0
    other = await a_deal(api)
    assert (await api.seen(f"/records/{other}"))["waits_for_client"] is None


async def test_pinned_comments_come_first(api: Api) -> None:
    rules = [
        {"id": f"c{n}", "kind": "add_comment", "params": {"text": f"{n}", "pinned": n == 2}} for n in range(4)
    ]
    deal = await a_deal(api, *rules)

    async def all_there() -> bool:
        return len((await api.seen(f"/records/{deal}/comments"))["items"]) == 4

    await until(all_there)
    first = await api.seen(f"/records/{deal}/comments", limit=2)
    second = await api.seen(f"/records/{deal}/comments", limit=2, after=first["next"])
    assert [row["body"] for row in first["items"] + second["items"]] == ["2", "0", "1", "3"]


async def test_somebody_who_has_left_and_is_passed_over_is_named_in_the_journal(
    api: Api, database: Database, stored: Stored
) -> None:
    tell = {"text": "Hi", "recipients": ["employee:ben", "employee:ada"]}
    mail = {"to": ["employee:ben", "employee:ada"], "subject": "Hi", "text": "Hi"}
    deal = await a_deal(
        api, {"id": "tell", "kind": "notify", "params": tell, "schedule": {"after": {"days": 1}}},
        {"id": "mail", "kind": "send_email", "params": mail, "schedule": {"after": {"days": 1}}},
    )  # fmt: skip
    async with database.transaction() as tx:
        await tx.exec_driver_sql("update employee set active = false where id = 'ben'")
        await tx.exec_driver_sql("update employee set email = 'ada@firm.example' where id = 'ada'")
    for rule in ("tell", "mail"):
        now = {"verb": "run_now", "rule": rule, "who": "eve"}
        assert (await api.post(f"/records/{deal}/operations", json=now)).status_code == 200

    async def said() -> bool:
        return len(await stored("select 1 from journal where event = 'left_out'")) == 2

    await until(said)
    lines = await stored("select rule, reason, detail from journal where event = 'left_out' order by rule")
    assert [(line["rule"], line["reason"], line["detail"]) for line in lines] == [
        ("mail", "inactive", {"employees": ["ben"]}), ("tell", "inactive", {"employees": ["ben"]}),
    ]  # fmt: skip
