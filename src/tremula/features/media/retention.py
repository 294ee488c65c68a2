"""What becomes of files over time: the part that nobody asks for."""

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog
from msgspec import Struct

from tremula.features.media import storage
from tremula.features.media.blobs import Blobs
from tremula.infra.clock import Clock
from tremula.infra.config import Media as MediaConfig
from tremula.infra.db import Database, Statements
from tremula.infra.slots import Slots
from tremula.protocol.mxc import Mxc

log = structlog.get_logger(__name__)

_EVERY_S: Final = 300
_PAGE: Final = 500
_DAY_MS: Final = 86_400_000
_KEY: Final = "media"


class Retention(Struct, frozen=True):
    """Deletes what is over. One process does: the holder of a slot."""

    db: Database
    clock: Clock
    blobs: Blobs
    config: MediaConfig
    slots: Slots

    async def run(self) -> None:
        """Every five minutes, for the supervisor."""
        while True:
            await asyncio.sleep(_EVERY_S)
            if self.slots.holds(_KEY):
                await self.tidy()

    async def tidy(self) -> None:
        """Delete what has expired or is too much, and the bytes that belonged to it."""
        now_ms = self.clock.now_ms()
        deleted = 0
        while mxcs := await storage.expired(self.db, now_ms=now_ms, limit=_PAGE):
            deleted += await self.delete(mxcs)
        days = self.config.cache_unused_days
        if days is not None:
            deleted += await self.purge_cache(now_ms - days * _DAY_MS)
        deleted += await self._trim_cache()
        days = self.config.uploads_unused_days
        if days is not None:
            deleted += await self.purge_uploads(now_ms - days * _DAY_MS)
        blobs = await self.blobs.collect()
        if deleted or blobs:
            log.info("media_tidied", media=deleted, blobs=blobs)

    async def purge_cache(self, unused_since_ms: int) -> int:
        """Delete copies that nobody has wanted since then, and say how many."""
        deleted = 0
        while found := await storage.unused_since(
            self.db, ts_ms=unused_since_ms, limit=_PAGE
        ):
            deleted += await self.delete([mxc for mxc, _ in found])
        return deleted

    async def purge_uploads(self, unused_since_ms: int) -> int:
        """Delete what users have uploaded and nobody has wanted since then."""
        deleted = 0
        while mxcs := await storage.uploads_unused_since(
            self.db, ts_ms=unused_since_ms, limit=_PAGE
        ):
            deleted += await self.delete(mxcs)
        return deleted

    async def delete(self, mxcs: Sequence[Mxc]) -> int:
        """Delete these, and say how many; their bytes go with the next `collect`."""
        unit = Statements()
        storage.delete_media(unit, mxcs, now_ms=self.clock.now_ms())
        await self.db.commit(unit)
        return len(mxcs)

    async def _trim_cache(self) -> int:
        """Make room, beginning with what was wanted least recently."""
        deleted = 0
        surplus = await storage.cached_bytes(self.db) - self.config.cache_bytes_max
        while surplus > 0:
            found = await storage.unused_since(
                self.db, ts_ms=self.clock.now_ms() + 1, limit=_PAGE
            )
            if not found:
                break
            over: list[Mxc] = []
            for mxc, size_bytes in found:
                if surplus > 0:
                    over.append(mxc)
                    surplus -= size_bytes
            deleted += await self.delete(over)
        return deleted
