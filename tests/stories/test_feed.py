"""The activity feed: what rules post is seen by its recipients, who can comment on it."""

from __future__ import annotations

from typing import Any

from db.engine import Database
from tests import builders
from tests.stories.conftest import Api, Stored
from tests.stories.test_api import a_deal, published, refused
from tests.stories.test_meetings import ruled


async def a_post(api: Api, database: Database, **more: Any) -> dict[str, Any]:
    """What a rule posts about a new deal of ada's, as the API shows it at the address the rule knows."""
    params = {"subject": "Won", "text": "{{ record.title }}"} | more
    await published(api, new=[{"id": "tell", "kind": "post_to_feed", "params": params}])
    deal = await a_deal(api, responsible="ada")
    assert await ruled(database, deal, "tell") == ["done"]
    steps = (await api.seen(f"/records/{deal}/journal"))["items"]
    (results,) = [line["detail"]["results"] for line in steps if line["rule"] == "tell"]
    return await api.seen(results["url"].removeprefix("http://127.0.0.1:8000/api/v1"))


async def feed(api: Api, employee: str, **asked: Any) -> list[int]:
    return [item["id"] for item in (await api.seen(f"/employees/{employee}/feed", **asked))["items"]]


async def test_recipients_and_the_author_see_a_post_and_nobody_else(api: Api, database: Database) -> None:
    post = await a_post(api, database, recipients=["employee:ben"])
    assert (post["author"], post["recipients"], post["subject"]) == ("ada", ["ben"], "Won")
    assert (post["body"], post["comments"]) == ("A roof for Klein", [])
    seen = {who: await feed(api, who) for who in ("ada", "ben", "eve", "hugo")}
    assert seen == {"ada": [post["id"]], "ben": [post["id"]], "eve": [], "hugo": []}


async def test_who_sees_a_post_can_comment_on_it(api: Api, database: Database, stored: Stored) -> None:
    post = await a_post(api, database, recipients=["employee:ben"])
    path = f"/feed/{post['id']}/comments"
    headers = {"Idempotency-Key": "k"}
    for _ in range(2):  # the same call again says it once
        answer = await api.post(path, json={"author": "ben", "text": "Well done"}, headers=headers)
        assert answer.status_code == 201, answer.text
    await api.made(path, author="ada", text="Thanks")
    comments = (await api.seen(f"/feed/{post['id']}"))["comments"]
    assert [(said["author"], said["body"]) for said in comments] == [("ben", "Well done"), ("ada", "Thanks")]
    (shown,) = (await api.seen("/employees/ben/feed"))["items"]
    assert shown["comments"] == comments
    refused(await api.post(path, json={"author": "hugo", "text": "Me too"}), 403, "not-a-recipient")
    refused(await api.post(path, json={"author": "nobody", "text": "Me too"}), 422, "unknown-actor")
    refused(await api.post(path, json={"author": "ben", "text": ""}), 422, "invalid-request")
    refused(await api.post("/feed/4711/comments", json={"author": "ben", "text": "Hi"}), 404, "gone")
    refused(await api.get("/feed/4711"), 404, "gone")
    assert (await stored("select count(*) as n from feed_comment"))[0]["n"] == 2


async def test_a_post_for_everybody_reaches_who_works_here_when_it_is_made(
    api: Api, database: Database
) -> None:
    async with database.transaction() as tx:
        await builders.employee(tx, "gone", active=False)
    post = await a_post(api, database)
    async with database.transaction() as tx:
        await builders.employee(tx, "zoe")
    assert post["recipients"] == ["ada", "ben", "eve", "hugo"]
    assert (await feed(api, "zoe"), await feed(api, "gone")) == ([], [])


async def test_a_feed_is_read_a_page_at_a_time_the_newest_first(api: Api, database: Database) -> None:
    posts = [(await a_post(api, database))["id"] for _ in range(3)]
    first = await api.seen("/employees/eve/feed", limit="2")
    assert ([item["id"] for item in first["items"]], first["next"]) == ([posts[2], posts[1]], posts[1])
    last = await api.seen("/employees/eve/feed", before=str(first["next"]))
    assert ([item["id"] for item in last["items"]], last["next"]) == ([posts[0]], None)
