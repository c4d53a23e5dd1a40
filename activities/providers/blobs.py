"""Keeping files: under the digest of what they hold, so that one that is there never changes."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Final, Protocol

LARGEST: Final = 20 * 1024 * 1024
"""Bytes of a file that is kept."""
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class StoreAway(Exception):
    """The store does not answer, is full, or has a defect; it may be well later."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class BlobMissing(Exception):
    """There is nothing under that digest."""

    def __init__(self, digest: str) -> None:
        super().__init__(f"nothing is kept under {digest}")


class Blobs(Protocol):
    """A store of files; one object a process, safe to use from several tasks."""

    async def put(self, content: bytes) -> str:
        """Keep it and answer its digest; once that is answered it outlives a loss of power.

        Keeping what is there already changes nothing. Raises `StoreAway`; then nothing of it can be read.
        """
        ...

    async def get(self, digest: str) -> bytes:
        """What is kept under a digest. Raises `BlobMissing`, or `StoreAway` also where it is damaged."""
        ...


def digest_of(content: bytes) -> str:
    """SHA-256 in hex (FIPS 180-4)."""
    return sha256(content).hexdigest()


def asked(digest: str) -> str:
    """The digest, if it is one. Raises `BlobMissing` for anything else: what it names is no file of ours."""
    if not _DIGEST.fullmatch(digest):
        raise BlobMissing(digest)
    return digest


def checked(content: bytes, digest: str) -> bytes:
    """The content, if it is what the digest says. Raises `StoreAway` if it is not."""
    if digest_of(content) != digest:
        raise StoreAway(f"what is kept under {digest} is damaged")
    return content
