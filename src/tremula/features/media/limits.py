"""How much users and this server may keep."""

from typing import Final

from msgspec import Struct

from tremula.features.media import storage
from tremula.features.media.blobs import Blobs
from tremula.features.media.storage import Media, Quota
from tremula.infra.clock import Clock
from tremula.infra.config import Media as MediaConfig
from tremula.infra.db import Database, Returned
from tremula.infra.journal_unit import JournalUnit
from tremula.protocol.errors import Forbidden, LimitExceeded, TooLarge
from tremula.protocol.identifiers import UserId

_PENDING_RETRY_MS: Final = 60_000
_TOTAL_KEPT_S: Final = 60
_NO_BOUND: Final = 2**62


class _Total(Struct):
    size_bytes: int = 0
    known_s: float | None = None


class UploadLimits(Struct, frozen=True):
    """Asked before an upload is taken in, and before it is kept.

    Files of several users may pass the bound of the server together if they come at the
    same moment, or to several processes.
    """

    db: Database
    clock: Clock
    blobs: Blobs
    config: MediaConfig
    _total: _Total

    async def check(self, user_id: UserId, size_bytes: int) -> None:
        """Refuse *size_bytes* more of *user_id*.

        Raises:
            TooLarge: no upload may be so large.
            Forbidden: the user, or this server, has no room for it.
        """
        if size_bytes > self.config.upload_bytes_max:
            raise TooLarge(f"at most {self.config.upload_bytes_max} bytes")
        await self._check_user(user_id, size_bytes)
        await self._check_total(size_bytes)

    def insert(self, unit: JournalUnit, media: Media) -> Returned:
        """Add an upload of *media*'s user: no row if they have no room for it by then,
        whatever else they upload at that moment.
        """
        quota = self._quota
        if quota is None or media.user_id is None:
            return storage.insert_media(unit, media)
        storage.lock_uploads(unit, media.user_id, self.db.engine)
        return storage.insert_media_within(
            unit, media, quota, now_ms=self.clock.now_ms()
        )

    def fill(self, unit: JournalUnit, media: Media) -> Returned:
        """Give a pending ID its content: no row if it is none, and as `insert`."""
        quota, now_ms = self._quota, self.clock.now_ms()
        if quota is None or media.user_id is None:
            return storage.fill_media(unit, media, now_ms=now_ms)
        storage.lock_uploads(unit, media.user_id, self.db.engine)
        return storage.fill_media_within(unit, media, quota, now_ms=now_ms)

    def note(self, size_bytes: int) -> None:
        """Count what has been kept."""
        self._total.size_bytes += size_bytes

    async def check_pending(self, user_id: UserId) -> None:
        """Refuse one more ID that nothing is uploaded to yet.

        Raises:
            LimitExceeded: the user has too many of them.
        """
        pending = await storage.pending_of(self.db, user_id, now_ms=self.clock.now_ms())
        if pending >= self.config.pending_max:
            raise LimitExceeded(
                "too many uploads are pending", retry_after_ms=_PENDING_RETRY_MS
            )

    @property
    def _quota(self) -> Quota | None:
        files_max, bytes_max = self.config.user_files_max, self.config.user_bytes_max
        if files_max is None and bytes_max is None:
            return None
        return Quota(
            _NO_BOUND if files_max is None else files_max,
            _NO_BOUND if bytes_max is None else bytes_max,
        )

    async def _check_user(self, user_id: UserId, size_bytes: int) -> None:
        quota = self._quota
        if quota is None:
            return
        usage = await storage.usage_of(self.db, user_id, now_ms=self.clock.now_ms())
        if usage.files - usage.pending >= quota.files_max:
            raise Forbidden(
                f"you have {quota.files_max} files here already, which is all"
            )
        if usage.size_bytes + size_bytes > quota.bytes_max:
            raise Forbidden(f"your files here may have {quota.bytes_max} bytes in all")

    async def _check_total(self, size_bytes: int) -> None:
        total_max = self.config.total_bytes_max
        if total_max is None:
            return
        total, now_s = self._total, self.clock.monotonic_s()
        if total.known_s is None or now_s - total.known_s >= _TOTAL_KEPT_S:
            total.size_bytes = await self.blobs.total_bytes()
            total.known_s = now_s
        if total.size_bytes + size_bytes > total_max:
            raise Forbidden("this server has no room for more files")


def upload_limits(
    db: Database, clock: Clock, blobs: Blobs, config: MediaConfig
) -> UploadLimits:
    """Limits that nothing has been counted for yet."""
    return UploadLimits(db, clock, blobs, config, _Total())
