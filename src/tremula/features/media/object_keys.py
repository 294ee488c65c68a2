"""Keys for objects that are still to be stored.

The database knows of each before there is an object under it, so that a crash leaves
nothing that is never deleted. It is told many at once: what is kept costs one commit,
and not one before and one behind. And the store is told: a folder has their files.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from tremula.features.media import blobs_storage as storage
from tremula.infra.clock import Clock
from tremula.infra.db import Database, Statements

HOLD_MS: Final = 86_400_000
"""For how long nothing is deleted, whatever becomes of what is just being stored."""

RESERVED: Final = 32


class ObjectKeys:
    """Keys that nothing was stored under yet. Those that a process leaves unused are
    given up after a day.
    """

    def __init__(
        self,
        db: Database,
        clock: Clock,
        prepare: Callable[[Sequence[str]], Awaitable[None]],
    ) -> None:
        self._db = db
        self._clock = clock
        self._prepare = prepare
        self._reserved: list[str] = []
        self._free: list[str] = []
        self._usable_until_ms = 0
        self._reserving = asyncio.Lock()

    async def take(self) -> str:
        """One that is held for twelve hours at least.

        Raises:
            BlobError: the store can't be used.
        """
        while not self._has_one():
            async with self._reserving:
                if not self._has_one():
                    await self._refill()
        return self._free.pop()

    def _has_one(self) -> bool:
        return bool(self._free) and self._are_usable()

    def _are_usable(self) -> bool:
        return self._clock.now_ms() < self._usable_until_ms

    async def _refill(self) -> None:
        # A store that is broken for a while shall not cost more of them each time.
        if not self._reserved or not self._are_usable():
            await self._reserve()
        await self._prepare(self._reserved)
        self._free, self._reserved = self._reserved, []

    async def _reserve(self) -> None:
        # A folder has those that begin alike: it is made for all of them, and no less
        # often than another.
        folder = secrets.token_hex(1)
        keys = [folder + secrets.token_hex(15) for _ in range(RESERVED)]
        now_ms = self._clock.now_ms()
        unit = Statements()
        storage.insert_reserved(unit, keys, check_ts_ms=now_ms + HOLD_MS)
        await self._db.commit(unit)
        self._reserved = keys
        self._usable_until_ms = now_ms + HOLD_MS // 2
