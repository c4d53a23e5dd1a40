"""Documents that rules make: their templates, their numbers, and where they are kept."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Index, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from db.tables.columns import BLANK, LIST, ONE, identity, one_of


class DocumentTemplate(SQLModel, table=True):
    """A version of a template; once published it is never changed. `source` is the digest of its bytes.

    `language` (BCP 47) is that of its dates and amounts; null: that of the pipeline.
    """

    __tablename__ = "document_template"
    __table_args__ = (one_of("format", "typst", "docx"),)

    id: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    title: str
    format: str
    source: str
    required: list[str] = Field(default_factory=list, sa_type=JSONB, sa_column_kwargs=LIST)
    language: str | None = None
    published_at: datetime


class NumberSeries(SQLModel, table=True):
    """Numbers without gaps; `next` is the one that comes next, `pattern` how it is written."""

    __tablename__ = "number_series"

    id: str = Field(primary_key=True)
    pattern: str
    next: int = Field(default=1, sa_type=BigInteger, sa_column_kwargs=ONE)


class StampImage(SQLModel, table=True):
    """The image of a sign or a stamp; `blob` is the digest of its bytes."""

    __tablename__ = "stamp_image"

    id: str = Field(primary_key=True)
    media_type: str
    blob: str
    size: int
    at: datetime


class Document(SQLModel, table=True):
    """A document of a record. `blob` is the digest (SHA-256, hex) under which its bytes are kept.

    `number` is empty for one without a series; `public_token` is what its public link knows. It outlives the
    record, as its number was given: it has no foreign key.
    """

    __table_args__ = (
        UniqueConstraint("series", "number"),
        UniqueConstraint("public_token"),
        Index("ix_document_record_id_id", "record_id", "id"),
    )

    id: int | None = Field(default=None, sa_column=identity())
    record_id: int = Field(sa_type=BigInteger)
    visit_no: int
    rule: str = Field(default="", sa_column_kwargs=BLANK)
    template_id: str
    template_version: int
    title: str
    series: str | None = None
    number: str = Field(default="", sa_column_kwargs=BLANK)
    format: str
    media_type: str
    file: str
    blob: str
    size: int
    public_token: str | None = None
    at: datetime
