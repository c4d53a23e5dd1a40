"""With what an installation makes documents, and where it keeps them."""

from __future__ import annotations

from activities.providers.blobs import Blobs
from activities.providers.blobs_disk import DiskBlobs
from activities.providers.documents import Documents
from activities.providers.render_process import RenderProcess
from db.settings import Settings


def documents_of(settings: Settings) -> Documents:
    """The renderer and the store that the settings say."""
    return Documents(RenderProcess(fonts=settings.fonts), blobs_of(settings))


def blobs_of(settings: Settings) -> Blobs:
    """Where files are kept by the settings: in a bucket, or below `home`."""
    if not settings.s3_bucket:
        return DiskBlobs(settings.home / "blobs")
    from activities.providers.blobs_s3 import S3Blobs

    return S3Blobs(
        settings.s3_bucket,
        endpoint=settings.s3_endpoint,
        region=settings.s3_region,
        access_key_id=settings.s3_access_key_id,
        secret_access_key=settings.s3_secret_access_key.get_secret_value(),
        prefix=settings.s3_prefix,
    )
