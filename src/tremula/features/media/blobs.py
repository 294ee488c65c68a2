"""Bytes by their SHA-256: stored once, and deleted when nothing refers to them.

A blob is written down in the database before it is stored, and so is what is to be
deleted: no crash leaves anything in the store that the database does not know of.
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import Final

from msgspec import Struct

from tremula.features.media import blobs_storage as storage
from tremula.features.media.blobs_storage import Standing
from tremula.features.media.object_keys import HOLD_MS, ObjectKeys
from tremula.infra.blobs.spool import Spool
from tremula.infra.blobs.store import (
    BlobError,
    BlobMissing,
    BlobStore,
    Piece,
    Place,
    SpooledFile,
)
from tremula.infra.clock import Clock
from tremula.infra.db import Conflict, Database, Returned, Statements
from tremula.infra.journal import Journal
from tremula.infra.journal_unit import JournalUnit

_STORE_S: Final = 3600
_PAGE: Final = 200
_MARK: Final = b"tremula"


class Blob(Struct, frozen=True):
    """Bytes that are in the store, and where."""

    sha256: str
    object_key: str
    size_bytes: int


class Blobs:
    """Keeps blobs for those who refer to them."""

    def __init__(
        self,
        db: Database,
        journal: Journal,
        clock: Clock,
        store: BlobStore,
        spool: Spool,
    ) -> None:
        self.spool = spool
        self._db = db
        self._journal = journal
        self._clock = clock
        self._store = store
        self._keys = ObjectKeys(db, clock, store.prepare)
        self._is_checked = False
        self._checking = asyncio.Lock()

    def receive(
        self, chunks: AsyncIterable[bytes]
    ) -> AbstractAsyncContextManager[SpooledFile]:
        """Put *chunks* down where `keep` will want them, if they are new here. What is
        not kept is gone afterwards.

        Raises:
            BlobError: the store can't be used, or it is not the right one.
        """
        return self.spool.receive(chunks, self._next_place)

    async def _next_place(self) -> Place:
        await self.check_store()
        return self._store.place(await self._keys.take())

    async def keep(
        self,
        file: SpooledFile,
        refer: Callable[[JournalUnit], None],
        *,
        standing: Standing | None = None,
    ) -> None:
        """Store what is in *file*, and with it the rows that *refer* adds.

        That is one commit for bytes that are new here, and one read unless the caller
        has just asked for their *standing*. *refer* is called a second time, for
        another unit, if the same come elsewhere at the same moment.

        Raises:
            BlobError: the store can't be used, or not in time.
        """
        await self.check_store()
        if standing is None:
            standing = await self.standing_of(file.sha256)
        if not standing.is_known:
            with suppress(Conflict):
                await self._keep_new(file, refer)
                return
        await self._keep_known(file, refer)

    async def _keep_new(
        self, file: SpooledFile, refer: Callable[[JournalUnit], None]
    ) -> None:
        place = file.place or await self._next_place()
        object_key = place.object_key
        await self._put(object_key, file)
        unit = self._journal.unit()
        filled = storage.fill_reserved(
            unit, object_key, sha256=file.sha256, size_bytes=file.size_bytes
        )
        refer(unit)
        await self._journal.commit(unit)
        _check_kept(filled)

    async def _keep_known(
        self, file: SpooledFile, refer: Callable[[JournalUnit], None]
    ) -> None:
        claim = Statements()
        claimed = storage.claim_blob(
            claim,
            file.sha256,
            object_key=f"{file.sha256}-{secrets.token_hex(4)}",
            size_bytes=file.size_bytes,
            check_ts_ms=self._clock.now_ms() + HOLD_MS,
        )
        await self._db.commit(claim)
        [(object_key, is_stored)] = claimed.rows
        if not is_stored:
            await self._put(object_key, file)
        unit = self._journal.unit()
        marked = storage.mark_stored(
            unit,
            file.sha256,
            object_key=object_key,
            check_ts_ms=self._clock.now_ms() + HOLD_MS,
        )
        refer(unit)
        await self._journal.commit(unit)
        _check_kept(marked)

    async def _put(self, object_key: str, file: SpooledFile) -> None:
        if file.is_at(object_key):
            # Nothing is waited for, so that there is no need of a timer.
            await self._store.put(object_key, file)
            return
        try:
            async with asyncio.timeout(_STORE_S):
                await self._store.put(object_key, file)
        except TimeoutError as error:
            raise BlobError("the store takes too long") from error

    def read(self, object_key: str, start: int, length: int) -> AsyncGenerator[Piece]:
        """A part of a blob, piece by piece.

        Raises:
            BlobError: it can't be read.
        """
        if self._is_checked:
            return self._store.read(object_key, start, length)
        return self._read_checked(object_key, start, length)

    async def _read_checked(
        self, object_key: str, start: int, length: int
    ) -> AsyncGenerator[Piece]:
        await self.check_store()
        async for chunk in self._store.read(object_key, start, length):
            yield chunk

    def as_file(self, object_key: str) -> AbstractAsyncContextManager[Path]:
        """A blob as a file, which must not be changed."""
        return self._store.as_file(object_key)

    async def total_bytes(self) -> int:
        """What all blobs weigh."""
        return await storage.total_bytes(self._db)

    async def standing_of(self, sha256: str) -> Standing:
        """What is known of these bytes."""
        return await storage.standing_of(self._db, sha256)

    async def collect(self) -> int:
        """Delete what nothing refers to any more, and what crashes left behind.

        Says how many blobs those were.
        """
        deleted = 0
        await self.spool.sweep(self._clock.now_ms() / 1000)
        now_ms = self._clock.now_ms()
        unit = Statements()
        storage.give_up_reserved(unit, now_ms=now_ms)
        await self._db.commit(unit)
        while due := await storage.due_blobs(self._db, now_ms=now_ms, limit=_PAGE):
            unit = Statements()
            storage.settle_blobs(unit, due, now_ms=now_ms)
            await self._db.commit(unit)
        while keys := await storage.garbage(self._db, limit=_PAGE):
            await self._store.delete(keys)
            unit = Statements()
            storage.delete_garbage(unit, keys)
            await self._db.commit(unit)
            deleted += len(keys)
        return deleted

    async def check_store(self) -> None:
        """See that the store is the one that the database speaks of.

        A folder that is not mounted, or that the processes of a cluster do not share,
        would take in uploads that are gone tomorrow.

        Raises:
            BlobError: it is another one, or can't be read.
        """
        if self._is_checked:
            return
        async with self._checking:
            if not self._is_checked:
                await self._compare_marks()
                self._is_checked = True

    async def _compare_marks(self) -> None:
        mark = await storage.find_store_mark(self._db) or await self._mark_store()
        try:
            async for _ in self._store.read(mark, 0, len(_MARK)):
                pass
        except BlobMissing as error:
            raise BlobError(
                f"the media are somewhere else: {error}. If they should be here, put"
                f" the word {_MARK.decode()} there"
            ) from error

    async def _mark_store(self) -> str:
        """In the store first, each under a name of its own: so no crash leaves it
        half done, and of two processes the slower one takes the other's.
        """

        async def content() -> AsyncGenerator[bytes]:
            yield _MARK

        mark = f"mark-{secrets.token_hex(8)}"
        async with self.spool.receive(content()) as file:
            await self._store.put(mark, file)
        unit = Statements()
        inserted = storage.insert_store_mark(unit, mark)
        await self._db.commit(unit)
        if not inserted.rows:
            await self._store.delete([mark])
        found = await storage.find_store_mark(self._db)
        assert found is not None
        return found


def _check_kept(stored: Returned) -> None:
    if not stored.rows:
        raise BlobError("the clock has jumped: the blob was given up meanwhile")
