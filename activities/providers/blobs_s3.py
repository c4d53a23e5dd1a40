"""Files in a bucket of an S3-compatible store."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, cast

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from activities.providers.blobs import BlobMissing, StoreAway, asked, checked, digest_of

if TYPE_CHECKING:
    from obstore.store import S3Config

_PATIENCE: Final = timedelta(seconds=2)  # twice this and the rendering is what a transaction may idle, 10 s


class S3Blobs:
    """Keeps each file as the object `<prefix>/<digest>`; an object appears whole or not at all.

    `endpoint` is empty for Amazon's own; one that begins with `http://` is used without encryption.
    """

    def __init__(
        self, bucket: str, *, endpoint: str = "", region: str = "us-east-1", access_key_id: str = "",
        secret_access_key: str = "", prefix: str = "",
    ) -> None:  # fmt: skip
        named = {
            "region": region, "endpoint": endpoint, "access_key_id": access_key_id,
            "secret_access_key": secret_access_key,
        }  # fmt: skip
        plain = endpoint.startswith("http://")
        self._store = S3Store(
            bucket,
            prefix=prefix or None,
            config=cast("S3Config", {name: value for name, value in named.items() if value}),
            client_options={"allow_http": plain, "timeout": _PATIENCE, "connect_timeout": _PATIENCE},
            retry_config={"max_retries": 1, "retry_timeout": _PATIENCE},
        )

    async def put(self, content: bytes) -> str:
        digest = digest_of(content)
        try:
            await obstore.put_async(self._store, digest, content, use_multipart=False)
        except (BaseError, OSError, ValueError) as error:
            raise _away(error) from error
        return digest

    async def get(self, digest: str) -> bytes:
        try:
            found = await obstore.get_async(self._store, asked(digest))
            content = bytes(await found.bytes_async())
        except FileNotFoundError:
            raise BlobMissing(digest) from None
        except (BaseError, OSError, ValueError) as error:
            raise _away(error) from error
        return checked(content, digest)


def _away(error: Exception) -> StoreAway:
    """What the store said is for the log of the store: it may tell of keys and addresses."""
    return StoreAway(f"the store of the documents: {type(error).__name__}")
