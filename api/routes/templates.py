"""What documents are made of: templates, number series, and images of signs and stamps."""

from __future__ import annotations

from base64 import b64decode
from datetime import datetime
from io import BytesIO
from typing import Annotated, Final, Literal
from zipfile import is_zipfile

from fastapi import APIRouter, Response
from pydantic import AfterValidator, BaseModel, Field
from sqlalchemy import BigInteger, DateTime, String, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from activities.number_series import pattern_problem
from activities.providers.blobs import StoreAway
from activities.providers.documents import Job, NotRendered
from activities.providers.render_process import RenderProcess
from api.input import Name, PathName, Sendable
from api.problems import Away
from api.service import Served, Service
from api.writing import Answer, Write
from db.engine import Transaction
from db.records import By
from domain.errors import Refused
from domain.languages import language

router = APIRouter(tags=["documents"])
_IMAGES: Final = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}
Base64 = Annotated[str, Field(min_length=1, max_length=1_000_000)]
Required = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}(\.[a-z][a-z0-9_]{0,62})?$")]


def _usable(pattern: str) -> str:
    if problem := pattern_problem(pattern):
        raise ValueError(problem)
    return pattern


def _known(tag: str) -> str:
    language(tag)
    return tag


Language = Annotated[
    str, Field(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$"), AfterValidator(_known)
]


class TemplateIn(Sendable):
    """A version of a template. `source` is Typst, or a Word document (DOCX), in Base64.

    `required` names what must not be empty: values a rule gives, and fields (`record.amount`).
    `language` (BCP 47, `de-DE`) is that of its dates and amounts; without one it is the pipeline's.
    """

    title: Annotated[str, Field(min_length=1, max_length=200)]
    format: Literal["typst", "docx"]
    source: Base64
    required: Annotated[list[Required], Field(max_length=100)] = []
    language: Language | None = None


class TemplateOut(BaseModel):
    """The present version of a template; `source` is the SHA-256 of its bytes. The instant is UTC."""

    id: str
    version: int
    title: str
    format: str
    source: str
    required: list[str]
    language: str | None
    published_at: datetime


class SeriesIn(Sendable):
    """A new series. `pattern` is like `INV-{year}-{number:05}`, `next` the number that comes first."""

    id: Name
    pattern: Annotated[str, Field(max_length=100), AfterValidator(_usable)]
    next: Annotated[int, Field(ge=1, le=10**15)] = 1


class SeriesOut(BaseModel):
    """A series of numbers; `next` is the one that comes next."""

    id: str
    pattern: str
    next: int


class StampIn(Sendable):
    """An image, PNG or JPEG, in Base64."""

    image: Base64


class StampOut(BaseModel):
    """The image of a sign or stamp; `blob` is the SHA-256 of its bytes. The instant is UTC."""

    id: str
    media_type: str
    blob: str
    size: int
    at: datetime


@router.put("/document-templates/{template}", status_code=201, response_model=TemplateOut)
async def publish_template(template: PathName, body: TemplateIn, service: Served, write: Write) -> Response:
    """Publish the next version of a template; documents made from now on are made of it."""
    source = _decoded(body.source)
    if body.format == "docx" and not is_zipfile(BytesIO(source)):
        raise Refused("wrong_template", "that is no Word document (DOCX)")
    if body.format == "typst" and not _is_text(source):
        raise Refused("wrong_template", "that is no text in UTF-8")
    try:
        await RenderProcess().render(Job(body.format, source, b"{}", parse_only=True))
    except NotRendered as broken:
        raise Refused("wrong_template", broken.message) from broken
    except OSError as full:
        raise Away("busy", "there is no room to look at the template") from full

    async def work(tx: Transaction, by: By) -> Answer:
        await tx.execute(_TAKE_TURNS, {"id": template})
        row = body.model_dump(exclude={"source"}) | {"id": template, "at": by.at}
        made = await tx.execute(_PUBLISH, row | {"source": await _kept(service, source)})
        return Answer(201, TemplateOut.model_validate(dict(made.mappings().one())))

    return await write(work)


@router.get("/document-templates")
async def list_templates(service: Served) -> list[TemplateOut]:
    """The present version of each template, in order."""
    async with service.database.transaction() as tx:
        rows = (await tx.execute(_TEMPLATES)).mappings().all()
    return [TemplateOut.model_validate(dict(row)) for row in rows]


@router.post("/number-series", status_code=201, response_model=SeriesOut)
async def create_series(body: SeriesIn, write: Write) -> Response:
    """Make a series. It is never changed again: what it has numbered stays unique."""

    async def work(tx: Transaction, by: By) -> Answer:
        del by
        if (await tx.execute(_MAKE_SERIES, body.model_dump())).one_or_none() is None:
            raise Refused("exists", f"there is a number series {body.id!r}", 409)
        return Answer(201, SeriesOut(**body.model_dump()))

    return await write(work)


@router.get("/number-series")
async def list_series(service: Served) -> list[SeriesOut]:
    """All number series, in order."""
    async with service.database.transaction() as tx:
        rows = (await tx.execute(_SERIES)).mappings().all()
    return [SeriesOut.model_validate(dict(row)) for row in rows]


@router.put("/stamps/{stamp}", response_model=StampOut)
async def put_stamp(stamp: PathName, body: StampIn, service: Served, write: Write) -> Response:
    """Keep the image of a sign or stamp; documents that bear it already keep the one they have."""
    image = _decoded(body.image)
    found = [kind for magic, kind in _IMAGES.items() if image.startswith(magic)]
    if not found:
        raise Refused("wrong_image", "that is neither PNG nor JPEG")

    async def work(tx: Transaction, by: By) -> Answer:
        blob = await _kept(service, image)
        own = StampOut(id=stamp, media_type=found[0], blob=blob, size=len(image), at=by.at)
        await tx.execute(_PUT_STAMP, own.model_dump())
        return Answer(body=own)

    return await write(work)


@router.get("/stamps")
async def list_stamps(service: Served) -> list[StampOut]:
    """All images of signs and stamps, in order."""
    async with service.database.transaction() as tx:
        rows = (await tx.execute(_STAMPS)).mappings().all()
    return [StampOut.model_validate(dict(row)) for row in rows]


async def _kept(service: Service, content: bytes) -> str:
    try:
        return await service.blobs.put(content)
    except StoreAway as away:
        raise Away("store_away", "the store of documents does not answer, or is full") from away


def _decoded(written: str) -> bytes:
    """Base64 as RFC 4648 has it, without anything in between."""
    try:
        return b64decode(written, validate=True)
    except ValueError as error:
        raise Refused("wrong_content", "that is no Base64") from error


def _is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


_TAKE_TURNS = text("select pg_advisory_xact_lock(hashtextextended('document_template/' || :id, 0))")
_PUBLISH = text("""
insert into document_template (id, version, title, format, source, required, language, published_at)
select :id, coalesce(max(version), 0) + 1, :title, :format, :source, :required, :language, :at
from document_template where id = :id
returning *
""").bindparams(
    bindparam("id", type_=String),
    bindparam("language", type_=String),
    bindparam("required", type_=JSONB),
    bindparam("at", type_=DateTime(timezone=True)),
)
_TEMPLATES = text("select distinct on (id) * from document_template order by id, version desc")
_MAKE_SERIES = text("""
insert into number_series (id, pattern, next) values (:id, :pattern, :next)
on conflict (id) do nothing returning id
""").bindparams(bindparam("next", type_=BigInteger))
_SERIES = text("select id, pattern, next from number_series order by id")
_PUT_STAMP = text("""
insert into stamp_image (id, media_type, blob, size, at) values (:id, :media_type, :blob, :size, :at)
on conflict (id) do update set media_type = :media_type, blob = :blob, size = :size, at = :at
""").bindparams(bindparam("at", type_=DateTime(timezone=True)))
_STAMPS = text("select id, media_type, blob, size, at from stamp_image order by id")
