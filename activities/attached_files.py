"""Documents of the record that go along: with a message their files, with a post their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from sqlalchemy import ARRAY, BigInteger, bindparam, text

from activities.act import Act
from activities.attachments import document_ids
from activities.providers.blobs import BlobMissing, StoreAway
from activities.providers.mime import Attachment
from domain.errors import NotNow, Refused

MOST: Final = 10 * 1024 * 1024
"""Bytes of all that one message takes with it."""


class AttachedDocument(NamedTuple):
    """A document of the record; `blob` is the digest its file is kept under, `size` its bytes."""

    id: int
    file: str
    media_type: str
    size: int
    blob: str


async def attached_documents(act: Act, written: Sequence[str]) -> list[AttachedDocument]:
    """The documents, in the order written. Those of other records are none, those of its source aside.

    Raises `Refused` (`attachment_missing`).
    """
    if not written:
        return []
    ids = document_ids(act, written)
    rows = await act.tx.execute(_DOCUMENTS, {"ids": ids, "record": act.record.id})
    found = {row.id: AttachedDocument(*row) for row in rows}
    if missing := [id_ for id_ in ids if id_ not in found]:
        raise Refused("attachment_missing", f"the record has no document {missing[0]}")
    return [found[id_] for id_ in ids]


async def attached_files(act: Act, written: Sequence[str]) -> tuple[Attachment, ...]:
    """The files of `attached_documents`, in their order.

    Raises `Refused`: `attachment_missing`, `attachments_too_large`; and `NotNow` (`store_away`) while they
    cannot be read.
    """
    documents = await attached_documents(act, written)
    if (size := sum(document.size for document in documents)) > MOST:
        raise Refused("attachments_too_large", f"the attachments have {size} bytes, more than {MOST}")
    files: list[Attachment] = []
    for document in documents:
        try:
            content = await act.documents.blobs.get(document.blob)
        except BlobMissing as missing_file:
            raise Refused(
                "attachment_missing", f"the file of document {document.id} is gone"
            ) from missing_file
        except StoreAway as away:
            raise NotNow("store_away", away.message) from away
        files.append(Attachment(document.file, document.media_type, content))
    return tuple(files)


_DOCUMENTS = text("""
select id, file, media_type, size, blob from document
where id = any(:ids)
  and (record_id = :record or record_id = (select parent_id from record where id = :record))
""").bindparams(bindparam("ids", type_=ARRAY(BigInteger)), bindparam("record", type_=BigInteger))
