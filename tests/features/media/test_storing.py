"""What storing new bytes costs, and what happens when it does not end."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from tests.fakes.clock import FakeClock
from tests.features.media.files import DOWNLOAD, stored_files, upload
from tests.query_counter import counted
from tests.server import Server, UserClient
from tremula.features.media.blobs import Blobs
from tremula.features.media.object_keys import RESERVED
from tremula.infra.blobs.local import LocalBlobs
from tremula.infra.blobs.spool import Disk
from tremula.infra.blobs.store import BlobError, SpooledFile
from tremula.infra.journal_unit import JournalUnit

DAY_MS = 86_400_000

pytestmark = pytest.mark.one_process(reason="it looks into one process")


class InterruptedStore(LocalBlobs):
    """A folder; something happens whenever a file was put there.

    Inherits, against the rule: everything else is as in any folder.
    """

    def __init__(self, folder: Path, disk: Disk) -> None:
        super().__init__(folder, disk)
        self.happens: Callable[[], Awaitable[object]] | None = None
        self.is_full = False

    async def prepare(self, keys: Sequence[str]) -> None:
        if self.is_full:
            raise BlobError("no space left on device")
        await super().prepare(keys)

    async def put(self, key: str, file: SpooledFile) -> None:
        await super().put(key, file)
        if self.happens is not None:
            await self.happens()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[InterruptedStore]:
    disk = Disk()
    yield InterruptedStore(tmp_path / "media", disk)
    disk.close()


@pytest.fixture
async def blobs(server: Server, clock: FakeClock, store: InterruptedStore) -> Blobs:
    spool = server.app.media.blobs.spool
    return Blobs(server.db, server.app.journal, clock, store, spool)


async def keep(blobs: Blobs, data: bytes) -> None:
    """Store *data*, which nothing refers to."""

    async def content() -> AsyncGenerator[bytes]:
        yield data

    def refer(unit: JournalUnit) -> None:
        del unit

    async with blobs.receive(content()) as file:
        await blobs.keep(file, refer)


def files_of_any_size(folder: Path) -> list[Path]:
    return [
        path
        for path in (folder / "media").rglob("*")
        if path.is_file() and not path.name.startswith("mark-")
    ]


async def test_new_bytes_cost_one_unit_of_work(
    server: Server, alice: UserClient, tmp_path: Path
) -> None:
    await upload(alice, b"the first reserves keys")

    with counted(server.db) as queries:
        for number in range(RESERVED - 1):
            await upload(alice, b"%d" % number)

    kept = [
        unit
        for unit in queries.units
        if any("media" in statement.sql for statement in unit.statements)
    ]
    assert len(kept) == RESERVED - 1
    # Whether they may be here, and are, is one question.
    asked = [sql for sql in queries.reads if "media" in sql]
    assert len(asked) == RESERVED - 1
    # Beside the one with the mark.
    folders = {path.parent for path in stored_files(tmp_path)}
    assert len(folders) == 1


async def test_the_same_bytes_at_the_same_moment_are_stored_once(
    server: Server,
    alice: UserClient,
    bob: UserClient,
    tmp_path: Path,
    clock: FakeClock,
) -> None:
    await upload(alice, b"first")
    await upload(bob, b"second")

    paths = await asyncio.gather(
        *(upload(client, b"same" * 1000) for client in (alice, bob) * 4)
    )

    clock.advance_ms(2 * DAY_MS)
    await server.app.media.blobs.collect()
    for path in paths:
        assert (await alice.get(f"{DOWNLOAD}/{path}")).body == b"same" * 1000
    assert len(stored_files(tmp_path)) == 3


async def test_what_a_crash_left_in_the_store_goes_after_a_day(
    blobs: Blobs, store: InterruptedStore, tmp_path: Path, clock: FakeClock
) -> None:
    async def crash() -> None:
        raise ConnectionResetError

    await blobs.check_store()
    store.happens = crash
    with pytest.raises(ConnectionResetError):
        await keep(blobs, b"never referred to")
    assert len(stored_files(tmp_path)) == 1

    await blobs.collect()
    assert len(stored_files(tmp_path)) == 1
    clock.advance_ms(DAY_MS)
    await blobs.collect()

    assert not stored_files(tmp_path)


async def test_files_that_nothing_was_stored_in_go_after_a_day(
    blobs: Blobs, tmp_path: Path, clock: FakeClock
) -> None:
    await keep(blobs, b"never referred to")
    assert len(files_of_any_size(tmp_path)) == RESERVED

    clock.advance_ms(DAY_MS)
    await blobs.collect()

    assert not files_of_any_size(tmp_path)


async def test_a_full_disk_reserves_no_keys_again_and_again(
    server: Server, blobs: Blobs, store: InterruptedStore
) -> None:
    await blobs.check_store()
    store.is_full = True

    for _ in range(3):
        with pytest.raises(BlobError):
            await keep(blobs, b"no room")
    store.is_full = False
    await keep(blobs, b"now there is")

    [(count,)] = await server.db.all("SELECT COUNT(*) FROM media_blobs")
    assert count == RESERVED


async def test_bytes_that_were_given_up_meanwhile_are_not_referred_to(
    server: Server, blobs: Blobs, store: InterruptedStore, clock: FakeClock
) -> None:
    async def jump() -> None:
        clock.advance_ms(2 * DAY_MS)
        await blobs.collect()

    await blobs.check_store()
    store.happens = jump

    with pytest.raises(BlobError, match="clock"):
        await keep(blobs, b"too late")

    assert await server.app.media.blobs.total_bytes() == 0


async def test_keys_that_were_reserved_long_ago_are_not_used(
    blobs: Blobs, alice: UserClient, clock: FakeClock
) -> None:
    await upload(alice, b"before")
    clock.advance_ms(2 * DAY_MS)
    await blobs.collect()

    path = await upload(alice, b"after")

    assert (await alice.get(f"{DOWNLOAD}/{path}")).body == b"after"
