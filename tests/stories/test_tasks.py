"""Tasks of people, by the API: made, read, changed, ticked off, ended; and what rules make of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx2
import pytest

from db.engine import Database
from tests import builders
from tests.builders import NOON
from tests.stories.conftest import Api, Stored
from tests.stories.test_api import a_deal, published, refused

HOUR = timedelta(hours=1)
HOLDING: dict[str, Any] = {
    "id": "measure", "kind": "create_task",
    "params": {"name": "Measure", "hold_until_closed": True, "hold_timeout": {"days": 1}},
}  # fmt: skip


async def a_task(api: Api, **more: Any) -> dict[str, Any]:
    return await api.made(
        f"/records/{await a_deal(api, responsible='ada')}/tasks", **{"name": "Measure"} | more
    )


async def events(api: Api, task: int) -> list[tuple[str, str]]:
    return [(line["event"], line["actor"]) for line in (await api.seen(f"/tasks/{task}"))["history"]]


async def test_a_task_has_what_was_asked_for_and_a_history(api: Api, stored: Stored) -> None:
    parent = await a_task(api)
    task = await a_task(
        api, name="Check", description="All of it", assignee="ben", deadline="2026-03-09T17:00:00+01:00",
        planned_start=NOON.isoformat(), planned_end=NOON.isoformat(), priority="high", participants=["ada"],
        observers=["hugo", "eve"], checklist=["One", "Two"], tags=["roof"], parent=parent["id"],
        estimate_minutes=90, complete_with_checklist=True, by="eve",
    )  # fmt: skip
    assert {name: task[name] for name in ("name", "assignee_id", "creator", "priority", "parent_id")} == {
        "name": "Check", "assignee_id": "ben", "creator": "eve", "priority": "high",
        "parent_id": parent["id"],
    }  # fmt: skip
    assert (task["participants"], task["observers"], task["tags"]) == (["ada"], ["hugo", "eve"], ["roof"])
    assert (task["deadline"], task["estimate_minutes"]) == ("2026-03-09T16:00:00Z", 90)
    assert [item["body"] for item in task["checklist"]] == ["One", "Two"]
    assert [(line["event"], line["actor"]) for line in task["history"]] == [("created", "eve")]
    assert await api.seen(f"/tasks/{task['id']}") == task
    (line,) = await stored(
        f"select * from journal where event = 'task_created' and record_id = {task['record_id']}"
    )
    assert (line["actor"], line["detail"]) == ("eve", {"task": task["id"]})


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"name": ""}, "invalid-request"),
        ({"assignee": "zoe"}, "wrong-assignee"),
        ({"participants": ["nobody"]}, "wrong-assignee"),
        ({"parent": 4711}, "unknown-parent"),
        ({"planned_start": "2026-03-09T17:00:00Z", "planned_end": "2026-03-09T16:00:00Z"}, "invalid-request"),
        ({"deadline": "2026-03-09T17:00:00"}, "invalid-request"),
        ({"priority": "urgent"}, "invalid-request"),
        ({"colour": "red"}, "invalid-request"),
        ({"by": "nobody"}, "unknown-actor"),
    ],
)
async def test_a_task_that_cannot_be_right_is_refused(
    api: Api, stored: Stored, database: Database, body: dict[str, Any], reason: str
) -> None:
    async with database.transaction() as tx:
        await builders.employee(tx, "zoe", active=False)
    record = await a_deal(api, responsible="ada")
    refused(await api.post(f"/records/{record}/tasks", json={"name": "Measure"} | body), 422, reason)
    assert await stored("select id from task") == []


async def test_a_record_without_a_responsible_does_not_say_whose_it_is(api: Api) -> None:
    answer = await api.post(f"/records/{await a_deal(api)}/tasks", json={"name": "Measure"})
    refused(answer, 422, "wrong-assignee")


async def test_a_task_there_is_not_or_whose_record_is_in_the_bin(api: Api) -> None:
    task = await a_task(api)
    for path in ("/tasks/4711", "/tasks/4711/complete", "/tasks/4711/checklist/1"):
        method = "GET" if path == "/tasks/4711" else "PUT" if "checklist" in path else "POST"
        refused(await api.request(method, path, json=None if method == "GET" else {}), 404, "gone")
    await api.delete(f"/records/{task['record_id']}")
    refused(await api.post(f"/tasks/{task['id']}/complete"), 404, "gone")
    assert (await api.seen("/employees/ada/tasks"))["items"] == []


async def test_completed_twice_it_is_completed_once(api: Api) -> None:
    task = (await a_task(api))["id"]
    done = await api.made(f"/tasks/{task}/complete", by="ben")
    api.now = NOON + HOUR
    again = await api.made(f"/tasks/{task}/complete", by="ada")
    assert (done["ended_how"], done["ended_by"], done["ended_at"]) == (
        "completed",
        "ben",
        "2026-03-02T12:00:00Z",
    )
    assert again == done
    assert await events(api, task) == [("created", "api"), ("completed", "ben")]


async def test_the_same_call_again_is_answered_as_before(api: Api, stored: Stored) -> None:
    record = await a_deal(api, responsible="ada")
    key = {"Idempotency-Key": "k-1"}
    calls = [
        await api.post(f"/records/{record}/tasks", json={"name": "Measure"}, headers=key) for _ in range(2)
    ]
    assert calls[0].json() == calls[1].json()
    assert len(await stored("select id from task")) == 1


async def test_a_deleted_task_keeps_its_history(api: Api) -> None:
    task = (await a_task(api))["id"]
    gone = (await api.delete(f"/tasks/{task}", headers={"X-Jalon-Actor": "ben"})).json()
    assert (gone["ended_how"], gone["ended_by"]) == ("deleted", "ben")
    assert await events(api, task) == [("created", "api"), ("deleted", "ben")]


async def test_another_assignee_and_deadline_stand_in_the_history(api: Api) -> None:
    task = (await a_task(api, deadline=NOON.isoformat()))["id"]
    changed = await change(api, task, assignee="ben", deadline=None, by="hugo")
    assert (changed["assignee_id"], changed["deadline"]) == ("ben", None)
    lines = {line["event"]: line["detail"] for line in changed["history"]}
    assert lines["assignee"] == {"from": "ada", "to": "ben"}
    assert lines["deadline"] == {"from": NOON.isoformat(), "to": None}
    assert await change(api, task, assignee="ben") == changed
    refused(await api.patch(f"/tasks/{task}", json={"assignee": "nobody"}), 422, "wrong-assignee")
    await api.made(f"/tasks/{task}/complete")
    refused(await api.patch(f"/tasks/{task}", json={"assignee": "ada"}), 409, "task-ended")


async def test_the_last_line_of_its_checklist_completes_it(api: Api) -> None:
    task = await a_task(api, checklist=["One", "Two"], complete_with_checklist=True)
    one, two = [item["id"] for item in task["checklist"]]
    await tick(api, task["id"], one)
    await tick(api, task["id"], one, done=False)
    assert (await tick(api, task["id"], two))["ended_how"] == ""
    done = await tick(api, task["id"], one)
    assert (done["ended_how"], done["ended_by"]) == ("auto_completed", "ben")
    assert {item["done_by"] for item in done["checklist"]} == {"ben"}
    refused(await api.put(f"/tasks/{task['id']}/checklist/{one}", json={"done": False}), 409, "task-ended")


async def test_an_item_of_another_task_is_none(api: Api) -> None:
    item = (await a_task(api, checklist=["One"]))["checklist"][0]["id"]
    other = (await a_task(api))["id"]
    refused(await api.put(f"/tasks/{other}/checklist/{item}", json={}), 404, "gone")


async def test_the_tasks_of_an_employee_are_listed_open_or_ended(api: Api) -> None:
    ids = [(await a_task(api))["id"] for _ in range(3)]
    await api.made(f"/tasks/{ids[1]}/complete")
    page = await api.seen("/employees/ada/tasks", limit=1)
    assert ([task["id"] for task in page["items"]], page["next"]) == ([ids[0]], ids[0])
    rest = await api.seen("/employees/ada/tasks", after=page["next"])
    assert ([task["id"] for task in rest["items"]], rest["next"]) == ([ids[2]], None)
    assert [task["id"] for task in (await api.seen("/employees/ada/tasks", ended=True))["items"]] == [ids[1]]
    assert (await api.seen("/employees/ben/tasks"))["items"] == []
    refused(await api.get("/employees/nobody/tasks"), 404, "gone")


async def test_the_tasks_of_a_record_are_listed(api: Api) -> None:
    task = await a_task(api)
    (listed,) = (await api.seen(f"/records/{task['record_id']}/tasks"))["items"]
    assert listed["id"] == task["id"]


async def test_a_completed_task_fires_its_trigger_a_deleted_one_does_not(api: Api, stored: Stored) -> None:
    trigger = {"id": "measured", "event": "task_completed", "stage": "offer"}
    answer = await api.put(
        "/pipelines/sales/rules", json={"owner": "eve", "stages": {}, "triggers": [trigger]}
    )
    assert answer.status_code == 201, answer.text
    for ends, stage in (("deleted", "new"), ("completed", "offer")):
        task = await a_task(api)
        if ends == "deleted":
            await api.delete(f"/tasks/{task['id']}")
        else:
            await api.made(f"/tasks/{task['id']}/complete")
        assert (await api.seen(f"/records/{task['record_id']}"))["stage"] == stage


async def test_while_a_chain_waits_the_record_says_so(api: Api, database: Database) -> None:
    await published(api, new=[HOLDING])
    record = await a_deal(api, responsible="ada")
    async with database.transaction() as tx:
        await tx.exec_driver_sql(_OPEN.format(record=record))
    (step,) = (await api.seen(f"/records/{record}"))["pending"]
    assert (step["rule"], step["status"]) == ("measure", "open")
    assert step["says"] == "waits for its task until 2026-03-03 13:00 (Europe/Paris)"


async def change(api: Api, task: int, **body: Any) -> dict[str, Any]:
    return _ok(await api.patch(f"/tasks/{task}", json=body))


async def tick(api: Api, task: int, item: int, *, done: bool = True) -> dict[str, Any]:
    return _ok(await api.put(f"/tasks/{task}/checklist/{item}", json={"done": done, "by": "ben"}))


def _ok(answer: httpx2.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


_OPEN = """
insert into hold (record_id, visit_no, rule, kind, turn, opened_at, due_at, state)
values ({record}, 1, 'measure', 'task', '2026-03-02T12:00Z', '2026-03-02T12:00Z', '2026-03-03T12:00Z',
  'waiting')
"""
