"""Thumbnails of what is here: made when first asked for, then kept."""

from typing import Final

import structlog
from msgspec import Struct

from tremula.features.media import thumbnails_storage as storage
from tremula.features.media.blobs import Blob, Blobs
from tremula.features.media.library import Stored
from tremula.features.media.thumbnails_storage import Known
from tremula.infra.db import Database, Statements
from tremula.infra.imaging.outcome import Outcome
from tremula.infra.imaging.process import ImageFailed, ImageProcess, Making
from tremula.infra.journal_unit import JournalUnit
from tremula.infra.locks import KeyedLocks
from tremula.protocol.errors import LimitExceeded, TooLarge, Unknown
from tremula.protocol.identifiers import ServerName
from tremula.protocol.thumbnails import Thumbnail, served

log = structlog.get_logger(__name__)

_PER_IMAGE_MAX: Final = 64
_RETRY_MS: Final = 60_000


class ThumbnailImage(Struct, frozen=True):
    """A thumbnail that was made, or an image that is its own."""

    blob: Blob
    content_type: str


class Thumbnails(Struct, frozen=True):
    """Makes each thumbnail once, of the same bytes for all who have them."""

    db: Database
    blobs: Blobs
    images: ImageProcess
    locks: KeyedLocks[tuple[str, str]]
    server_name: ServerName

    async def of(self, stored: Stored, wish: Thumbnail) -> ThumbnailImage:
        """The thumbnail of *stored* that suits *wish*.

        Raises:
            TooLarge: the image is (502 if it is another server's).
            Unknown: (400) there can be no thumbnail of it; (503) not now.
            LimitExceeded: it has too many of them.
        """
        thumbnail = served(wish)
        source = stored.blob
        known = await self._known(source, thumbnail)
        if known is None:
            async with self.locks.of((source.sha256, thumbnail.name)):
                known = await self._known(source, thumbnail)
                known = known or await self._make(source, thumbnail)
        match Outcome(known.outcome):
            case Outcome.MADE:
                assert known.sha256 is not None
                assert known.object_key is not None
                blob = Blob(known.sha256, known.object_key, known.size_bytes)
                return ThumbnailImage(blob, known.content_type)
            case Outcome.ORIGINAL:
                # "Servers should return the original content rather than thumbnail it."
                return ThumbnailImage(source, known.content_type)
            case Outcome.TOO_LARGE:
                is_own = stored.media.mxc.server_name == self.server_name
                raise TooLarge("the image is too large", status=413 if is_own else 502)
            case Outcome.UNDECODABLE:
                raise Unknown("this is no image that can be shown small", status=400)

    async def _known(self, source: Blob, thumbnail: Thumbnail) -> Known | None:
        known = await storage.find_thumbnail(self.db, source.sha256, thumbnail.name)
        if known is None:
            return None
        if known.outcome == Outcome.MADE and known.object_key is None:
            return None
        return known

    async def _make(self, source: Blob, thumbnail: Thumbnail) -> Known:
        count = await storage.count_thumbnails(self.db, source.sha256)
        if count >= _PER_IMAGE_MAX:
            raise LimitExceeded(
                "there are too many thumbnails of this image", retry_after_ms=_RETRY_MS
            )
        async with (
            self.blobs.as_file(source.object_key) as file,
            self.blobs.spool.scratch() as target,
        ):
            making = Making(
                source=file.absolute(),
                target=target.absolute(),
                width=thumbnail.width,
                height=thumbnail.height,
                method=thumbnail.method.value,
                is_animated=thumbnail.is_animated,
            )
            try:
                made = await self.images.make(making)
            except ImageFailed as error:
                log.warning("thumbnail_failed", sha256=source.sha256, reason=str(error))
                raise Unknown("there is no thumbnail now", status=503) from error
            if made.outcome is not Outcome.MADE:
                known = Known(made.outcome, made.content_type, 0, None, None)
                unit = Statements()
                storage.upsert_thumbnail(unit, source.sha256, thumbnail.name, known)
                await self.db.commit(unit)
                return known
            result = await self.blobs.spool.measure(target)
            known = Known(
                made.outcome, made.content_type, result.size_bytes, result.sha256, None
            )

            def refer(unit: JournalUnit) -> None:
                storage.upsert_thumbnail(unit, source.sha256, thumbnail.name, known)

            await self.blobs.keep(result, refer)
        found = await self._known(source, thumbnail)
        if found is None:
            raise Unknown("the image has just been deleted", status=404)
        return found
