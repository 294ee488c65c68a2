"""What users upload, and what others are served of it."""

import secrets
from collections.abc import AsyncIterable, Callable
from typing import Final

from msgspec import Struct

from tremula.features.media import storage
from tremula.features.media.admission import Admission
from tremula.features.media.arrivals import TOPIC
from tremula.features.media.blobs import Blobs
from tremula.features.media.premaking import Premaking
from tremula.features.media.storage import Media
from tremula.infra.blobs.store import SpooledFile
from tremula.infra.clock import Clock
from tremula.infra.db import Database, Returned
from tremula.infra.journal import Journal
from tremula.infra.journal_unit import JournalUnit
from tremula.protocol.errors import (
    CannotOverwriteMedia,
    Forbidden,
    InvalidParam,
    NotFound,
)
from tremula.protocol.identifiers import ServerName, UserId
from tremula.protocol.mxc import Mxc

__all__ = ["TOPIC", "Created", "Description", "Kept", "Media", "Uploads"]

UNIQUE_ID_BYTES_MAX: Final = 255

_ID_BYTES: Final = 18
_TOO_MUCH: Final = "there is no room for all that you upload at this moment"


class Description(Struct, frozen=True):
    """What an upload says of itself."""

    content_type: str
    filename: str | None


class Created(Struct, frozen=True):
    """An ID that something may be uploaded to until ``expires_ts_ms``, or was at
    ``completed_ts_ms``.
    """

    mxc: Mxc
    expires_ts_ms: int | None
    completed_ts_ms: int | None = None


class Kept(Struct, frozen=True):
    """What something is kept as."""

    mxc: Mxc
    size_bytes: int


class Uploads(Struct, frozen=True):
    """Takes in what users of this server upload."""

    db: Database
    journal: Journal
    clock: Clock
    blobs: Blobs
    admission: Admission
    premaking: Premaking
    server_name: ServerName

    async def upload(
        self,
        user_id: UserId,
        description: Description,
        chunks: AsyncIterable[bytes],
        *,
        declared_bytes: int,
    ) -> Mxc:
        """Keep what comes under a new ID. ``declared_bytes`` is how much that may be.

        Raises:
            TooLarge, Forbidden: see `UploadLimits.check`, and `Admission.check`.
            BlobError: it can't be stored.
        """
        await self.admission.limits.check(user_id, declared_bytes)
        async with self.blobs.receive(chunks) as file:
            media = self._media(self._new_mxc(), user_id, file, description)
            added: list[Returned] = []

            def refer(unit: JournalUnit) -> None:
                added.append(self.admission.limits.insert(unit, media))

            await self._keep(user_id, file, refer)
        if not added[-1].rows:
            raise Forbidden(_TOO_MUCH)
        self._note(media)
        return media.mxc

    async def keep_for_a_while(
        self, description: Description, chunks: AsyncIterable[bytes]
    ) -> Kept:
        """Keep what is nobody's upload, as copies of other servers' media are kept.

        Raises:
            Forbidden: see `Admission.check`.
            BlobError: it can't be stored.
        """
        async with self.blobs.receive(chunks) as file:
            standing = await self.admission.check(file)
            media = self._media(self._new_mxc(), None, file, description)

            def refer(unit: JournalUnit) -> None:
                storage.insert_media(unit, media)

            await self.blobs.keep(file, refer, standing=standing)
        return Kept(media.mxc, media.size_bytes)

    async def create(self, user_id: UserId, unique_id: str | None = None) -> Created:
        """An ID that *user_id* may upload to later. It is the same, even when that is
        done, for what they call the same, so that nothing is uploaded twice.

        Raises:
            InvalidParam: *unique_id* is too long.
            LimitExceeded: the user has too many of them.
            Forbidden: the user, or this server, has no room for more.
        """
        if unique_id is not None:
            known = await self._find_created(user_id, unique_id)
            if known is not None:
                return known
        await self.admission.limits.check_pending(user_id)
        await self.admission.limits.check(user_id, 0)
        lifetime_ms = self.admission.limits.config.pending_lifetime_s * 1000
        expires_ts_ms = self.clock.now_ms() + lifetime_ms
        media = self._media(
            self._new_mxc(), user_id, None, Description("", None), expires_ts_ms
        )
        unit = self.journal.unit()
        storage.insert_media(unit, media)
        if unique_id is not None:
            storage.upsert_unique_id(
                unit, user_id, unique_id, media_id=media.mxc.media_id
            )
        await self.journal.commit(unit)
        return Created(media.mxc, expires_ts_ms)

    async def _find_created(self, user_id: UserId, unique_id: str) -> Created | None:
        if len(unique_id.encode()) > UNIQUE_ID_BYTES_MAX:
            raise InvalidParam(
                f"com.beeper.unique_id has at most {UNIQUE_ID_BYTES_MAX} bytes"
            )
        media_id = await storage.find_media_id(self.db, user_id, unique_id)
        if media_id is None:
            return None
        media = await storage.find_media(self.db, Mxc(self.server_name, media_id))
        if media is None or media.is_quarantined:
            return None
        if media.sha256 is not None:
            return Created(media.mxc, None, media.created_ts_ms)
        if media.expires_ts_ms is None or media.expires_ts_ms <= self.clock.now_ms():
            return None
        return Created(media.mxc, media.expires_ts_ms)

    async def upload_to(
        self,
        mxc: Mxc,
        user_id: UserId,
        description: Description,
        chunks: AsyncIterable[bytes],
        *,
        declared_bytes: int,
    ) -> None:
        """Keep what comes under an ID of `create`.

        Raises:
            NotFound: there is no such ID, or it has expired.
            Forbidden: it is another user's; also as `upload`.
            CannotOverwriteMedia: it has content.
            TooLarge, BlobError: as `upload`.
        """
        await self._check_pending(mxc, user_id)
        await self.admission.limits.check(user_id, declared_bytes)
        async with self.blobs.receive(chunks) as file:
            media = self._media(mxc, user_id, file, description)
            filled: list[Returned] = []

            def refer(unit: JournalUnit) -> None:
                filled.append(self.admission.limits.fill(unit, media))
                unit.announce(TOPIC, str(mxc), None, pos=unit.pos())

            await self._keep(user_id, file, refer)
        if not filled[-1].rows:
            # Somebody else was faster, or the time was over.
            await self._check_pending(mxc, user_id)
            raise Forbidden(_TOO_MUCH)
        self._note(media)

    async def _keep(
        self, user_id: UserId, file: SpooledFile, refer: Callable[[JournalUnit], None]
    ) -> None:
        standing = await self.admission.check(file)
        await self.admission.limits.check(user_id, file.size_bytes)
        await self.blobs.keep(file, refer, standing=standing)

    def _note(self, media: Media) -> None:
        self.admission.limits.note(media.size_bytes)
        self.premaking.note(media.mxc, media.content_type)

    async def _check_pending(self, mxc: Mxc, user_id: UserId) -> None:
        media = await storage.find_media(self.db, mxc)
        if media is None or (
            media.expires_ts_ms is not None
            and media.expires_ts_ms <= self.clock.now_ms()
        ):
            raise NotFound("there is no such media ID, or it has expired")
        if media.user_id != user_id:
            raise Forbidden("this media ID is another user's")
        if media.sha256 is not None:
            raise CannotOverwriteMedia("this media ID has content already")

    def _new_mxc(self) -> Mxc:
        return Mxc(self.server_name, secrets.token_urlsafe(_ID_BYTES))

    def _media(
        self,
        mxc: Mxc,
        user_id: UserId | None,
        file: SpooledFile | None,
        description: Description,
        expires_ts_ms: int | None = None,
    ) -> Media:
        now_ms = self.clock.now_ms()
        return Media(
            mxc=mxc,
            user_id=user_id,
            sha256=file.sha256 if file else None,
            size_bytes=file.size_bytes if file else 0,
            content_type=description.content_type,
            filename=description.filename,
            created_ts_ms=now_ms,
            accessed_ts_ms=now_ms,
            expires_ts_ms=expires_ts_ms,
            is_public=self.admission.limits.config.unauthenticated_access,
            is_protected=False,
        )
