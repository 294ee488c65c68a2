"""Builds the keeping of files."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import Struct

from tremula.assembly.base import Base
from tremula.features.media import download_routes, federation_routes
from tremula.features.media import routes as media_routes
from tremula.features.media.admission import Admission
from tremula.features.media.arrivals import Arrivals
from tremula.features.media.blobs import Blobs
from tremula.features.media.care import MediaCare
from tremula.features.media.download_routes import Downloads
from tremula.features.media.failures import Failures
from tremula.features.media.library import Library
from tremula.features.media.limits import upload_limits
from tremula.features.media.premaking import Premaking
from tremula.features.media.remote import RemoteMedia, Sources
from tremula.features.media.retention import Retention
from tremula.features.media.scanning import scanner
from tremula.features.media.service import Uploads
from tremula.features.media.thumbnailing import Thumbnails
from tremula.features.url_previews import routes as previews_routes
from tremula.features.url_previews.rules import UrlRules
from tremula.features.url_previews.service import Outside, UrlPreviews
from tremula.infra.blobs.local import LocalBlobs
from tremula.infra.blobs.spool import Disk, Spool
from tremula.infra.blobs.store import BlobStore
from tremula.infra.config import Config
from tremula.infra.imaging.process import ImageLimits, ImageProcess
from tremula.infra.locks import KeyedLocks

_MIB = 1024 * 1024


class Files(Struct, frozen=True):
    """What lies outside of the database and of this process."""

    store: BlobStore
    spool: Spool
    images: ImageProcess


@asynccontextmanager
async def open_media(config: Config) -> AsyncIterator[Files]:
    """The way to files and to thumbnails. Nothing is opened before it is needed."""
    disk = Disk()
    store, spool = _open_store(config, disk)
    thumbnails = config.media.thumbnails
    images = ImageProcess(
        ImageLimits(
            pixels_max=thumbnails.pixels_max,
            memory_bytes=thumbnails.memory_mib * _MIB,
            timeout_s=thumbnails.timeout_s,
        )
    )
    try:
        yield Files(store, spool, images)
    finally:
        await images.close()
        disk.close()


def add_media(base: Base, files: Files) -> MediaCare:
    """Uploads, downloads and thumbnails, here and between servers."""
    db, clock, config = base.database, base.clock, base.config.media
    blobs = Blobs(db, base.journal, clock, files.store, files.spool)
    scan = scanner(config)
    sources = Sources(
        base.federation,
        base.web,
        config.remote_bytes_max,
        frozenset(map(str.lower, config.blocked_servers)),
    )
    remote = RemoteMedia(
        db=db,
        clock=clock,
        blobs=blobs,
        sources=sources,
        scanner=scan,
        is_public=config.unauthenticated_access,
        locks=KeyedLocks(),
        failures=Failures(clock),
    )
    library = Library(db, clock, Arrivals(base.journal), remote, base.server_name)
    thumbnails = Thumbnails(db, blobs, files.images, KeyedLocks(), base.server_name)
    downloads = Downloads(library, blobs, thumbnails)
    base.router.add(download_routes, downloads)
    base.router.add(federation_routes, downloads)
    premaking = Premaking(library, thumbnails, config.thumbnails.premade)
    base.supervisor.keep_running("premade_thumbnails", premaking.run)
    admission = Admission(upload_limits(db, clock, blobs, config), blobs, scan)
    uploads = Uploads(
        db, base.journal, clock, blobs, admission, premaking, base.server_name
    )
    base.router.add(media_routes, uploads)
    _add_previews(base, uploads)
    retention = Retention(db, clock, blobs, config, base.slots)
    base.supervisor.keep_running("media_retention", retention.run)
    return MediaCare(db, clock, blobs, retention, uploads)


def _add_previews(base: Base, uploads: Uploads) -> None:
    config = base.config.url_previews
    rules = UrlRules.of(config.allowed_urls, config.denied_urls)
    outside = Outside(base.web, rules, config)
    previews = UrlPreviews(base.database, base.clock, outside, uploads, KeyedLocks())
    base.router.add(previews_routes, previews)


def _open_store(config: Config, disk: Disk) -> tuple[BlobStore, Spool]:
    media = config.media
    if "://" not in media.store:
        folder = config.data_dir / Path(media.store)
        # In the folder itself, so that what is complete need only be moved.
        return LocalBlobs(folder, disk), Spool(folder / "incoming", disk)
    # A server with a folder loads nothing of it.
    from tremula.infra.blobs.objects import open_objects  # noqa: PLC0415

    spool = Spool(config.data_dir / "media" / "incoming", disk)
    options = {
        "endpoint": media.endpoint,
        "region": media.region,
        "access_key_id": media.access_key_id,
        "secret_access_key": media.secret_access_key,
    }
    given = {name: value for name, value in options.items() if value is not None}
    return open_objects(media.store, given, spool, disk), spool
