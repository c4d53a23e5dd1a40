"""Files in a folder of this machine, or one that several machines share."""

from __future__ import annotations

import asyncio
import os
import secrets
from pathlib import Path

from activities.providers.blobs import BlobMissing, StoreAway, asked, checked, digest_of
from db.fail_points import fail_point


class DiskBlobs:
    """Keeps each file under `root/ab/cd/<digest>`, two levels deep so that no folder grows large.

    A file is written beside its place, brought to the disk and only then given its name: half a file is never
    found under a digest. What a crash leaves are files that end in `.part`; nobody reads them.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    async def put(self, content: bytes) -> str:
        digest = await asyncio.to_thread(digest_of, content)
        try:
            await asyncio.to_thread(self._write, self._place(digest), content)
        except OSError as error:
            raise StoreAway(f"the folder of the documents: {error.strerror}") from error
        return digest

    async def get(self, digest: str) -> bytes:
        try:
            content = await asyncio.to_thread(self._place(asked(digest)).read_bytes)
        except FileNotFoundError:
            raise BlobMissing(digest) from None
        except OSError as error:
            raise StoreAway(f"the folder of the documents: {error.strerror}") from error
        return await asyncio.to_thread(checked, content, digest)

    def _place(self, digest: str) -> Path:
        return self._root / digest[:2] / digest[2:4] / digest

    def _write(self, place: Path, content: bytes) -> None:
        if place.exists() and place.stat().st_size == len(content):
            return
        _make(place.parent)
        part = place.with_name(f"{place.name}.{secrets.token_hex(8)}.part")
        try:
            with part.open("xb") as file:
                part.chmod(0o600)  # documents are for nobody else on the machine
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            fail_point("blobs.before_rename")
            part.replace(place)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        _to_disk(place.parent)


def _make(folder: Path) -> None:
    """Make a folder, and bring its name to the disk."""
    if not folder.is_dir():
        _make(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        _to_disk(folder.parent)


def _to_disk(folder: Path) -> None:
    """A new name outlives a loss of power only once its folder was synchronised (fsync(2))."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
