"""The files of documents that a message takes with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import ARRAY, BigInteger, bindparam, text

from activities.act import Act
from activities.attachments import document_ids
from activities.providers.blobs import BlobMissing, StoreAway
from activities.providers.mime import Attachment
from domain.errors import NotNow, Refused

MOST: Final = 10 * 1024 * 1024
"""Bytes of all that one message takes with it."""


async def attached_files(act: Act, written: Sequence[str]) -> tuple[Attachment, ...]:
    """The files, in the order written. Documents of other records are none, those of its source aside.

    Raises `Refused`: `attachment_missing`, `attachments_too_large`; and `NotNow` (`store_away`) while they
    cannot be read.
    """
    if not written:
        return ()
    ids = document_ids(act, written)
    found = {row.id: row for row in await act.tx.execute(_DOCUMENTS, {"ids": ids, "record": act.record.id})}
    if missing := [id_ for id_ in ids if id_ not in found]:
        raise Refused("attachment_missing", f"the record has no document {missing[0]}")
    if (size := sum(found[id_].size for id_ in ids)) > MOST:
        raise Refused("attachments_too_large", f"the attachments have {size} bytes, more than {MOST}")
    files: list[Attachment] = []
    for id_ in ids:
        try:
            content = await act.documents.blobs.get(found[id_].blob)
        except BlobMissing as missing_file:
            raise Refused("attachment_missing", f"the file of document {id_} is gone") from missing_file
        except StoreAway as away:
            raise NotNow("store_away", away.message) from away
        files.append(Attachment(found[id_].file, found[id_].media_type, content))
    return tuple(files)


_DOCUMENTS = text("""
select id, file, media_type, size, blob from document
where id = any(:ids)
  and (record_id = :record or record_id = (select parent_id from record where id = :record))
""").bindparams(bindparam("ids", type_=ARRAY(BigInteger)), bindparam("record", type_=BigInteger))
