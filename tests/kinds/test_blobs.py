"""What is kept is kept whole, under the digest of what it is, or not at all."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from activities.documents import blobs_of
from activities.providers.blobs import BlobMissing, Blobs, StoreAway
from activities.providers.blobs_disk import DiskBlobs
from activities.providers.blobs_s3 import S3Blobs
from db.settings import Settings
from tests.s3_store import s3_store

BILL = b"a bill\n" * 1000
DIGEST = sha256(BILL).hexdigest()


def files(folder: Path) -> list[Path]:
    return sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.name)


async def is_kept_once(blobs: Blobs) -> None:
    with pytest.raises(BlobMissing):
        await blobs.get(DIGEST)
    assert await asyncio.gather(*(blobs.put(BILL) for _ in range(5))) == [DIGEST] * 5
    assert await blobs.get(DIGEST) == BILL
    assert await blobs.get(await blobs.put(b"")) == b""
    for nothing in ("0" * 64, "", "../secret", DIGEST.upper()):
        with pytest.raises(BlobMissing):
            await blobs.get(nothing)


# -- a folder ----------------------------------------------------------------------------------------
async def test_on_disk_it_lies_under_its_digest_two_levels_deep(tmp_path: Path) -> None:
    await is_kept_once(DiskBlobs(tmp_path / "new" / "blobs"))
    place = tmp_path / "new" / "blobs" / DIGEST[:2] / DIGEST[2:4] / DIGEST
    assert place.read_bytes() == BILL
    assert place.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in files(tmp_path)] == sorted([DIGEST, sha256(b"").hexdigest()])


CRASH = """
import asyncio, sys
from pathlib import Path
from activities.providers.blobs_disk import DiskBlobs
asyncio.run(DiskBlobs(Path(sys.argv[1])).put(b"a bill\\n" * 1000))
"""


async def test_a_crash_before_the_rename_leaves_no_half_document(tmp_path: Path) -> None:
    crashed = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CRASH, str(tmp_path),
        env=os.environ | {"JALON_FAIL_POINT": "blobs.before_rename"},
    )  # fmt: skip
    assert await crashed.wait() == -signal.SIGKILL
    blobs = DiskBlobs(tmp_path)
    with pytest.raises(BlobMissing):
        await blobs.get(DIGEST)
    assert await blobs.put(BILL) == DIGEST
    assert await blobs.get(DIGEST) == BILL


@pytest.mark.parametrize("code", ["ENOSPC", "EIO"])
async def test_a_disk_that_is_full_or_broken_keeps_nothing_and_is_well_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    blobs = DiskBlobs(tmp_path)

    def broken(_: int) -> None:
        number = {"ENOSPC": 28, "EIO": 5}[code]
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr("activities.providers.blobs_disk.os.fsync", broken)
        with pytest.raises(StoreAway, match=os.strerror({"ENOSPC": 28, "EIO": 5}[code])):
            await blobs.put(BILL)
    assert files(tmp_path) == []
    assert await blobs.get(await blobs.put(BILL)) == BILL


async def test_a_folder_that_cannot_be_had_is_a_store_that_is_away(tmp_path: Path) -> None:
    blobs = DiskBlobs(tmp_path / "file")
    (tmp_path / "file").write_bytes(b"no folder")
    with pytest.raises(StoreAway):
        await blobs.put(BILL)
    with pytest.raises(StoreAway):
        await blobs.get(DIGEST)


async def test_what_was_damaged_is_not_handed_out_and_can_be_put_again(tmp_path: Path) -> None:
    blobs = DiskBlobs(tmp_path)
    await blobs.put(BILL)
    place = tmp_path / DIGEST[:2] / DIGEST[2:4] / DIGEST
    place.write_bytes(BILL[:-1])
    with pytest.raises(StoreAway, match="damaged"):
        await blobs.get(DIGEST)
    await blobs.put(BILL)
    assert await blobs.get(DIGEST) == BILL


# -- a bucket ----------------------------------------------------------------------------------------
def bucket(url: str, **more: Any) -> S3Blobs:
    return S3Blobs("crm", endpoint=url, access_key_id="id", secret_access_key="secret", **more)


async def test_in_a_bucket_it_is_an_object_under_its_digest() -> None:
    async with s3_store() as store:
        await is_kept_once(bucket(store.url, prefix="docs"))
        assert store.objects[f"/crm/docs/{DIGEST}"] == BILL
        assert all(signed.startswith("AWS4-HMAC-SHA256 Credential=id/") for signed in store.signed)


async def test_a_store_that_refuses_or_is_away_is_well_later() -> None:
    async with s3_store() as store:
        blobs = bucket(store.url)
        for status in (403, 500, 503):
            store.fails += [status] * 2  # it is asked once more by itself
            with pytest.raises(StoreAway) as away:
                await blobs.put(BILL)
            assert "secret" not in away.value.message
            store.fails.clear()
        assert store.objects == {}
        assert await blobs.get(await blobs.put(BILL)) == BILL
        store.objects[f"/crm/{DIGEST}"] = b"another"
        with pytest.raises(StoreAway, match="damaged"):
            await blobs.get(DIGEST)
    with pytest.raises(StoreAway):
        await blobs.put(BILL)


# -- the settings ------------------------------------------------------------------------------------
async def test_the_settings_say_where_it_is_kept(tmp_path: Path) -> None:
    await blobs_of(Settings(home=tmp_path)).put(BILL)
    assert (tmp_path / "blobs" / DIGEST[:2] / DIGEST[2:4] / DIGEST).is_file()
    async with s3_store() as store:
        chosen = Settings(s3_bucket="crm", s3_endpoint=store.url, s3_access_key_id="id",
                          s3_secret_access_key="secret", s3_prefix="a/b")  # fmt: skip
        await blobs_of(chosen).put(BILL)
        assert list(store.objects) == [f"/crm/a/b/{DIGEST}"]
