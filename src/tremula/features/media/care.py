"""What administrators do with files."""

from collections.abc import Sequence

from msgspec import Struct

from tremula.features.media import blobs_storage, storage
from tremula.features.media.blobs import Blobs
from tremula.features.media.retention import Retention
from tremula.features.media.service import Uploads
from tremula.features.media.storage import Media
from tremula.infra.clock import Clock
from tremula.infra.db import Database, Statements
from tremula.protocol.errors import Forbidden, NotFound
from tremula.protocol.identifiers import UserId
from tremula.protocol.mxc import Mxc


class MediaCare(Struct, frozen=True):
    """Looks after files, whoever they belong to."""

    db: Database
    clock: Clock
    blobs: Blobs
    retention: Retention
    uploads: Uploads

    async def get(self, mxc: Mxc) -> Media:
        """What is known of *mxc*.

        Raises:
            NotFound: nothing.
        """
        media = await storage.find_media(self.db, mxc)
        if media is None:
            raise NotFound(f"there is no {mxc} here")
        return media

    async def of_user(
        self, user_id: UserId, *, after: str = "", limit: int
    ) -> list[Media]:
        """What *user_id* has uploaded, by media ID."""
        return await storage.media_of_user(self.db, user_id, after=after, limit=limit)

    async def delete(self, mxcs: Sequence[Mxc]) -> None:
        """Delete these, and what bytes nothing else needs."""
        await self.retention.delete(mxcs)
        await self.blobs.collect()

    async def purge_cache(self, *, unused_since_ms: int) -> int:
        """Delete copies that nobody has wanted since then, and say how many."""
        deleted = await self.retention.purge_cache(unused_since_ms)
        await self.blobs.collect()
        return deleted

    async def purge_uploads(self, *, unused_since_ms: int) -> int:
        """Delete uploads that nobody has wanted since then, and say how many."""
        deleted = await self.retention.purge_uploads(unused_since_ms)
        await self.blobs.collect()
        return deleted

    async def quarantine(self, mxc: Mxc, *, by: str) -> None:
        """Serve nobody the bytes of *mxc*, under whatever other ID they come.

        Raises:
            NotFound: there is no such media, or nothing was uploaded yet.
            Forbidden: it is protected.
        """
        media = await self.get(mxc)
        if media.is_protected:
            raise Forbidden(f"{mxc} is protected")
        unit = Statements()
        blobs_storage.insert_quarantined(unit, _bytes_of(media), quarantined_by=by)
        await self.db.commit(unit)

    async def release(self, mxc: Mxc) -> None:
        """Take *mxc* out of quarantine.

        Raises:
            NotFound: there is no such media, or nothing was uploaded yet.
        """
        unit = Statements()
        blobs_storage.delete_quarantined(unit, _bytes_of(await self.get(mxc)))
        await self.db.commit(unit)

    async def protect(self, mxc: Mxc, *, is_protected: bool) -> None:
        """Keep *mxc* from being quarantined and from being deleted by age, or not.

        Raises:
            NotFound: there is no such media.
        """
        await self.get(mxc)
        unit = Statements()
        storage.set_protected(unit, mxc, is_protected=is_protected)
        await self.db.commit(unit)


def _bytes_of(media: Media) -> str:
    if media.sha256 is None:
        raise NotFound(f"nothing was uploaded to {media.mxc} yet")
    return media.sha256
