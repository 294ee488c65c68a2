"""How much users and this server may keep."""

from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Final

from msgspec import Struct

from tremula.features.media import storage
from tremula.features.media.blobs import Blobs
from tremula.infra.clock import Clock
from tremula.infra.config import Media as MediaConfig
from tremula.infra.db import Database
from tremula.infra.locks import KeyedLocks
from tremula.protocol.errors import Forbidden, LimitExceeded, TooLarge
from tremula.protocol.identifiers import UserId

_PENDING_RETRY_MS: Final = 60_000
_TOTAL_KEPT_S: Final = 60
_NO_TURN: Final = nullcontext()


class _Total(Struct):
    size_bytes: int = 0
    known_s: float | None = None


class UploadLimits(Struct, frozen=True):
    """Asked before an upload is taken in, and before it is kept.

    Files of several users, or that come to several processes, may pass a bound together
    if they come at the same moment.
    """

    db: Database
    clock: Clock
    blobs: Blobs
    config: MediaConfig
    _total: _Total
    _turns: KeyedLocks[UserId]

    def turn_of(self, user_id: UserId) -> AbstractAsyncContextManager[object]:
        """Held from `check` until the file is kept: so each is counted before the next
        one of the same user is looked at. Without quotas nobody waits.
        """
        return self._turns.of(user_id) if self._has_quotas else _NO_TURN

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
    def _has_quotas(self) -> bool:
        config = self.config
        return config.user_files_max is not None or config.user_bytes_max is not None

    async def _check_user(self, user_id: UserId, size_bytes: int) -> None:
        if not self._has_quotas:
            return
        files_max, bytes_max = self.config.user_files_max, self.config.user_bytes_max
        usage = await storage.usage_of(self.db, user_id, now_ms=self.clock.now_ms())
        if files_max is not None and usage.files - usage.pending >= files_max:
            raise Forbidden(f"you have {files_max} files here already, which is all")
        if bytes_max is not None and usage.size_bytes + size_bytes > bytes_max:
            raise Forbidden(f"your files here may have {bytes_max} bytes in all")

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
    return UploadLimits(db, clock, blobs, config, _Total(), KeyedLocks())
