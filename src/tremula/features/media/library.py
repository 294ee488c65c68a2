"""Finding what an ``mxc://`` URI stands for, here or elsewhere."""

import asyncio
from contextlib import suppress
from typing import Final, Protocol

from msgspec import Struct

from tremula.features.media import storage
from tremula.features.media.arrivals import Arrivals
from tremula.features.media.blobs import Blob
from tremula.features.media.storage import Media
from tremula.infra.clock import Clock
from tremula.infra.db import Database, Statements
from tremula.protocol.errors import NotFound, NotYetUploaded
from tremula.protocol.identifiers import ServerName
from tremula.protocol.mxc import Mxc

WAIT_DEFAULT_MS: Final = 20_000
WAIT_MAX_MS: Final = 60_000
_TOUCH_EVERY_MS: Final = 3_600_000


class Elsewhere(Protocol):
    """Gets what only other servers have."""

    async def fetch(self, mxc: Mxc, *, timeout_ms: int) -> None:
        """Bring a copy of *mxc* here.

        Raises:
            MatrixError: there is none to be had; what the client is told.
        """
        ...


class Wanted(Struct, frozen=True):
    """What somebody asks for, and on what conditions.

    ``public_only``: who asks has no access token. Without ``allow_remote`` no other
    server is asked.
    """

    mxc: Mxc
    timeout_ms: int = WAIT_DEFAULT_MS
    public_only: bool = False
    allow_remote: bool = True


class Stored(Struct, frozen=True):
    """Media whose bytes are here."""

    media: Media
    blob: Blob


class Library(Struct, frozen=True):
    """Finds media for whoever may have them."""

    db: Database
    clock: Clock
    arrivals: Arrivals
    elsewhere: Elsewhere
    server_name: ServerName

    async def get(self, wanted: Wanted) -> Stored:
        """What is wanted, waited for or fetched if need be.

        Raises:
            NotFound: there is none, or not for this one who asks.
            NotYetUploaded: nothing was uploaded within the time.
            MatrixError: see `Elsewhere.fetch`.
        """
        mxc = wanted.mxc
        if mxc.server_name == self.server_name:
            media = await self._own(mxc, wanted)
        else:
            media = await self._copy(mxc, wanted)
        if media is None or media.is_quarantined:
            raise _no_media()
        if media.sha256 is None or media.object_key is None:
            raise _no_media()
        if wanted.public_only and not media.is_public:
            # "M_NOT_FOUND for media which exists, but is after the server froze
            # unauthenticated media access"
            raise _no_media()
        await self._touch(media)
        return Stored(media, Blob(media.sha256, media.object_key, media.size_bytes))

    async def _own(self, mxc: Mxc, wanted: Wanted) -> Media | None:
        with self.arrivals.expecting(mxc) as arrived:
            media = await storage.find_media(self.db, mxc)
            if media is None or media.sha256 is not None:
                return media
            now_ms = self.clock.now_ms()
            if media.expires_ts_ms is None or media.expires_ts_ms <= now_ms:
                return None
            with suppress(TimeoutError):
                async with asyncio.timeout(wanted.timeout_ms / 1000):
                    await arrived.wait()
        media = await storage.find_media(self.db, mxc)
        if media is not None and media.sha256 is None:
            raise NotYetUploaded("nothing has been uploaded to this media ID yet")
        return media

    async def _copy(self, mxc: Mxc, wanted: Wanted) -> Media | None:
        media = await storage.find_media(self.db, mxc)
        if media is None and wanted.allow_remote and not wanted.public_only:
            await self.elsewhere.fetch(mxc, timeout_ms=wanted.timeout_ms)
            media = await storage.find_media(self.db, mxc)
        return media

    async def _touch(self, media: Media) -> None:
        """To the hour: a file in use shall not cost a write each time."""
        now_ms = self.clock.now_ms()
        if now_ms - media.accessed_ts_ms < _TOUCH_EVERY_MS:
            return
        unit = Statements()
        storage.touch_media(unit, media.mxc, now_ms=now_ms)
        await self.db.commit(unit)


def _no_media() -> NotFound:
    return NotFound("there is no such media")
