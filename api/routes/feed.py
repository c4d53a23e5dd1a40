"""The activity feed: what employees see, and what they say about it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field
from pydantic_core import to_json
from sqlalchemy import BigInteger, String, bindparam, text

from api.input import Name, PathId, Sendable
from api.service import Served
from api.writing import Answer, Write
from db.engine import Transaction
from db.records import By
from db.rows import Rows
from db.rows import write as write_rows
from domain.errors import Refused

router = APIRouter(tags=["feed"])


class CommentOut(BaseModel):
    """What somebody said about a post. `at` is UTC."""

    id: int
    author: str
    body: str
    at: datetime


class PostOut(BaseModel):
    """A post; `attachments` are numbers of documents. `at` is UTC."""

    id: int
    record_id: int
    author: str
    subject: str
    body: str
    recipients: list[str]
    attachments: list[int]
    at: datetime
    comments: list[CommentOut]


class FeedPage(BaseModel):
    """Posts, the newest first. `next`, if there is more, is the `before` of the next page."""

    items: list[PostOut]
    next: int | None = None


class CommentIn(Sendable):
    """A comment on a post; its author is among those who see the post."""

    author: Name
    text: Annotated[str, Field(min_length=1, max_length=20_000)]


@router.get("/employees/{employee}/feed")
async def feed_of_employee(
    employee: Name,
    service: Served,
    before: Annotated[int, Query(ge=1, le=2**63 - 1)] = 2**63 - 1,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> FeedPage:
    """What an employee sees: the posts they are a recipient or the author of."""
    asked = {"who": employee, "one": to_json([employee]).decode(), "before": before, "limit": limit + 1}
    async with service.database.transaction() as tx:
        found = [PostOut.model_validate(row) for row in (await tx.execute(_FEED, asked)).scalars()]
    items = found[:limit]
    return FeedPage(items=items, next=items[-1].id if len(found) > limit else None)


@router.get("/feed/{post_id}")
async def feed_post(post_id: PathId, service: Served) -> PostOut:
    """One post with its comments."""
    async with service.database.transaction() as tx:
        return await _post(tx, post_id)


@router.post("/feed/{post_id}/comments", status_code=201, response_model=CommentOut)
async def comment_on_post(post_id: PathId, body: CommentIn, service: Served, write: Write) -> Response:
    """Say something about a post."""

    async def work(tx: Transaction, by: By) -> Answer:
        post = await _post(tx, post_id)
        if body.author not in (post.author, *post.recipients):
            raise Refused("not_a_recipient", f"{body.author!r} does not see the post", 403)
        number = await service.ids.take(tx, "feed_comment")
        comment = CommentOut(id=number, author=body.author, body=body.text, at=by.at)
        await write_rows(tx, [Rows("feed_comment", [comment.model_dump() | {"post_id": post_id}])])
        return Answer(201, comment)

    return await write(work, body.author)


async def _post(tx: Transaction, post_id: int) -> PostOut:
    found = (await tx.execute(_POST, {"id": post_id})).scalar_one_or_none()
    if found is None:
        raise Refused("gone", f"there is no post {post_id}", 404)
    return PostOut.model_validate(found)


_WITH_COMMENTS = """
to_jsonb(p) || jsonb_build_object('comments', (
  select coalesce(jsonb_agg(c order by c.id), '[]') from feed_comment c where c.post_id = p.id))
"""
_POST = text(f"select {_WITH_COMMENTS} from feed_post p where p.id = :id").bindparams(  # noqa: S608  # own text
    bindparam("id", type_=BigInteger)
)
_FEED = text(f"""
select {_WITH_COMMENTS} from feed_post p
where p.id < :before and (p.recipients @> cast(:one as jsonb) or p.author = :who)
order by p.id desc limit :limit
""").bindparams(  # noqa: S608  # own text
    bindparam("before", type_=BigInteger), bindparam("one", type_=String)
)
