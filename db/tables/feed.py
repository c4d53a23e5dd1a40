"""The activity feed: posts and what is said about them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from db.tables.columns import BLANK, LIST, identity


class FeedPost(SQLModel, table=True):
    """A post that its `recipients`, employees by id, see. `attachments` are ids of documents."""

    __tablename__ = "feed_post"
    __table_args__ = (
        Index("ix_feed_post_recipients", "recipients", postgresql_using="gin"),
        Index("ix_feed_post_record_id", "record_id"),
    )

    id: int | None = Field(default=None, sa_column=identity())
    record_id: int = Field(sa_type=BigInteger, foreign_key="record.id", ondelete="CASCADE")
    visit_no: int
    rule: str = Field(default="", sa_column_kwargs=BLANK)
    author: str
    subject: str = Field(default="", sa_column_kwargs=BLANK)
    body: str
    recipients: list[str] = Field(default_factory=list, sa_type=JSONB, sa_column_kwargs=LIST)
    attachments: list[int] = Field(default_factory=list, sa_type=JSONB, sa_column_kwargs=LIST)
    at: datetime


class FeedComment(SQLModel, table=True):
    """What somebody who sees a post says about it."""

    __tablename__ = "feed_comment"
    __table_args__ = (Index("ix_feed_comment_post_id_id", "post_id", "id"),)

    id: int | None = Field(default=None, sa_column=identity())
    post_id: int = Field(sa_type=BigInteger, foreign_key="feed_post.id", ondelete="CASCADE")
    author: str
    body: str
    at: datetime
