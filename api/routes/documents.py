"""Documents that rules made: what is known of them, and the files."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel
from sqlalchemy import BigInteger, TextClause, bindparam, text

from activities.providers.blobs import BlobMissing, StoreAway
from api.input import PathId
from api.problems import Away
from api.service import Served, Service
from domain.errors import Refused

router = APIRouter(tags=["documents"])
Token = Annotated[str, Path(min_length=20, max_length=100, pattern=r"^[A-Za-z0-9_-]+$")]
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Referrer-Policy": "no-referrer",  # the address of a shared document is its secret
}


class DocumentOut(BaseModel):
    """A document; `blob` is the SHA-256 of its file, `size` in bytes. The instant is UTC."""

    id: int
    record_id: int
    visit_no: int
    rule: str
    title: str
    number: str
    series: str | None
    template_id: str
    template_version: int
    media_type: str
    file: str
    blob: str
    size: int
    public: bool
    at: datetime


@router.get("/documents/{document_id}")
async def read_document(document_id: PathId, service: Served) -> DocumentOut:
    """What is known of a document."""
    return DocumentOut.model_validate(await _row(service, _BY_ID, document_id))


@router.get("/documents/{document_id}/file", response_class=Response)
async def read_file(document_id: PathId, service: Served) -> Response:
    """The file of a document."""
    return await _file(service, await _row(service, _BY_ID, document_id))


@router.get("/shared/{token}", response_class=Response)
async def read_shared(token: Token, service: Served) -> Response:
    """The file of a document, for whoever has its secret address; as long as its record is there."""
    return await _file(service, await _row(service, _BY_TOKEN, token))


async def _row(service: Service, asked: TextClause, key: object) -> Mapping[str, Any]:
    async with service.database.transaction() as tx:
        row = (await tx.execute(asked, {"key": key})).mappings().one_or_none()
    if row is None:
        raise Refused("gone", "there is no such document", 404)
    return dict(row)


async def _file(service: Service, row: Mapping[str, Any]) -> Response:
    try:
        content = await service.blobs.get(row["blob"])
    except BlobMissing as missing:
        raise Refused("gone", "the file of the document is gone", 404) from missing
    except StoreAway as away:
        raise Away("store_away", "the store of documents does not answer") from away
    # RFC 6266: a name outside of ASCII is written as RFC 8187 says
    shown = f"attachment; filename*=UTF-8''{quote(row['file'], safe='')}"
    return Response(content, media_type=row["media_type"], headers={"Content-Disposition": shown, **_HEADERS})


_ID = bindparam("key", type_=BigInteger)
_BY_ID = text("select *, public_token is not null as public from document where id = :key").bindparams(_ID)
_BY_TOKEN = text("""
select d.* from document d join record r on r.id = d.record_id
where d.public_token = :key and r.deleted_at is null
""")
