"""A folder and an object store keep the same promises."""

import asyncio
import hashlib
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.infra.blobs.s3_server import BUCKET, OPTIONS, running_s3
from tremula.infra.blobs.local import LocalBlobs
from tremula.infra.blobs.objects import open_objects
from tremula.infra.blobs.spool import Disk, Spool
from tremula.infra.blobs.store import (
    CHUNK_BYTES,
    BlobError,
    BlobMissing,
    BlobStore,
    Place,
)

T = TypeVar("T")


class CountingDisk(Disk):
    """A disk; how often one of its threads was woken.

    Inherits, against the rule: it is a real one.
    """

    runs = 0

    async def run(self, work: Callable[..., T], *args: Any) -> T:  # noqa: ANN401 - as in `Disk`
        self.runs += 1
        return await super().run(work, *args)


SIZES = [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 9 * 1024 * 1024]


@pytest.fixture
def disk() -> Iterator[CountingDisk]:
    disk = CountingDisk()
    yield disk
    disk.close()


@pytest.fixture
def spool(tmp_path: Path, disk: Disk) -> Spool:
    return Spool(tmp_path / "blobs" / "incoming", disk)


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    with running_s3() as url:
        yield url


@pytest.fixture(params=["folder", "s3"])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, disk: Disk, spool: Spool
) -> BlobStore:
    if request.param == "folder":
        return LocalBlobs(tmp_path / "blobs", disk)
    url: str = request.getfixturevalue("s3_url")
    prefix = f"s3://{BUCKET}/{tmp_path.name}"
    return open_objects(prefix, {**OPTIONS, "endpoint": url}, spool, disk)


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 100_000):
        yield data[start : start + 100_000]


async def put(store: BlobStore, spool: Spool, key: str, data: bytes) -> None:
    async with spool.receive(pieces(data)) as file:
        assert file.size_bytes == len(data)
        assert file.sha256 == hashlib.sha256(data).hexdigest()
        await store.put(key, file)


async def read(store: BlobStore, key: str, start: int, length: int) -> bytes:
    found = [bytes(piece) async for piece in store.read(key, start, length)]
    assert all(0 < len(piece) <= CHUNK_BYTES for piece in found)
    return b"".join(found)


def content_of(path: str) -> bytes:
    return Path(path).read_bytes()


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("size", SIZES)
async def test_what_is_put_is_read(store: BlobStore, spool: Spool, size: int) -> None:
    data = os.urandom(size)

    await put(store, spool, "key", data)

    assert await read(store, "key", 0, size) == data
    assert await read(store, "key", size // 2, size - size // 2) == data[size // 2 :]
    assert await read(store, "key", 0, size // 3) == data[: size // 3]
    async with store.as_file("key") as file:
        assert file.read_bytes() == data
    assert not any(spool.folder.glob("*"))


async def test_the_same_can_be_put_again(store: BlobStore, spool: Spool) -> None:
    for _ in range(2):
        await put(store, spool, "again", b"same")

    assert await read(store, "again", 0, 4) == b"same"


async def test_what_is_not_there_is_missing(store: BlobStore, spool: Spool) -> None:
    await put(store, spool, "short", b"abc")

    for key, length in (("nothing", 3), ("short", 4)):
        with pytest.raises(BlobMissing):
            await read(store, key, 0, length)
    with pytest.raises(BlobMissing):
        async with store.as_file("nothing"):
            pytest.fail("it is not there")


async def test_what_is_deleted_is_gone(store: BlobStore, spool: Spool) -> None:
    await put(store, spool, "gone", b"abc")

    await store.delete(["gone", "never"])

    with pytest.raises(BlobMissing):
        await read(store, "gone", 0, 3)


async def test_a_megabyte_is_put_down_in_its_place_at_once(
    tmp_path: Path, disk: CountingDisk, spool: Spool
) -> None:
    store = LocalBlobs(tmp_path / "blobs", disk)
    data = os.urandom(1_048_576)

    async def find_place() -> Place:
        return store.place("key")

    async with spool.receive(pieces(data), find_place) as file:
        await store.put("key", file)

    assert disk.runs == 1
    assert await read(store, "key", 0, len(data)) == data
    # It was never anywhere else.
    assert not spool.folder.exists()


async def test_what_has_its_file_already_makes_one_thing_durable(
    tmp_path: Path, disk: Disk, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LocalBlobs(tmp_path / "blobs", disk)
    await store.prepare(["key1", "key2"])
    durable: list[int] = []

    async def find_place() -> Place:
        return store.place("key2")

    monkeypatch.setattr("os.fsync", durable.append)
    async with spool.receive(pieces(b"content"), find_place) as file:
        await store.put("key2", file)

    assert len(durable) == 1
    assert await read(store, "key2", 0, 7) == b"content"


async def test_a_file_that_somebody_has_tidied_up_is_made_again(
    tmp_path: Path, disk: Disk, spool: Spool
) -> None:
    store = LocalBlobs(tmp_path / "blobs", disk)
    await store.prepare(["key"])
    [file] = files_in(tmp_path)
    file.unlink()
    file.parent.rmdir()

    async def find_place() -> Place:
        return store.place("key")

    async with spool.receive(pieces(b"content"), find_place) as spooled:
        await store.put("key", spooled)

    assert await read(store, "key", 0, 7) == b"content"


async def test_what_comes_in_several_goes_is_moved_to_its_place(
    store: BlobStore, spool: Spool
) -> None:
    data = os.urandom(2_097_152)

    async def find_place() -> Place:
        assert len(list(spool.folder.iterdir())) == 1
        return store.place("key")

    async with spool.receive(pieces(data), find_place) as file:
        await store.put("key", file)

    assert await read(store, "key", 0, len(data)) == data
    assert not any(spool.folder.iterdir())


async def test_what_is_not_put_is_gone_from_its_place(
    store: BlobStore, spool: Spool
) -> None:
    async def find_place() -> Place:
        return store.place("refused")

    async with spool.receive(pieces(b"refused"), find_place) as file:
        assert content_of(file.path) == b"refused"

    with pytest.raises(BlobMissing):
        await read(store, "refused", 0, 7)
    assert not any(spool.folder.glob("*"))


async def test_what_was_put_down_elsewhere_is_moved(
    store: BlobStore, spool: Spool
) -> None:
    async def find_place() -> Place:
        return store.place("new")

    async with spool.receive(pieces(b"given up"), find_place) as file:
        await store.put("known", file)

    assert await read(store, "known", 0, 8) == b"given up"
    with pytest.raises(BlobMissing):
        await read(store, "new", 0, 8)


async def test_a_megabyte_of_a_folder_is_one_piece(
    tmp_path: Path, disk: Disk, spool: Spool
) -> None:
    store = LocalBlobs(tmp_path / "blobs", disk)
    await put(store, spool, "large", b"x" * 1_048_576)

    found = [len(piece) async for piece in store.read("large", 0, 1_048_576)]

    assert found == [1_048_576]


async def test_who_reads_at_the_same_time_has_memory_of_their_own(
    tmp_path: Path, disk: Disk, spool: Spool
) -> None:
    store = LocalBlobs(tmp_path / "blobs", disk)
    for key in ("one", "two"):
        await put(store, spool, key, key.encode())
        assert await read(store, key, 0, 3) == key.encode()
    readers = [store.read(key, 0, 3) for key in ("one", "two", "one")]

    first = await anext(readers[0])
    second = await anext(readers[1])
    await readers[1].aclose()
    third = await anext(readers[2])

    assert [bytes(piece) for piece in (first, second, third)] == [
        b"one",
        b"two",
        b"one",
    ]
    for reader in readers:
        await reader.aclose()


async def test_what_is_gone_is_missing_though_it_was_just_in_use(
    tmp_path: Path, disk: Disk, spool: Spool
) -> None:
    store = LocalBlobs(tmp_path / "blobs", disk)
    await put(store, spool, "gone", b"abc")

    await store.delete(["gone"])

    with pytest.raises(BlobMissing):
        await read(store, "gone", 0, 3)


async def test_a_reader_that_goes_leaves_no_file_open(tmp_path: Path) -> None:
    disk = Disk()
    slow = tmp_path / "sl" / "slow"
    slow.parent.mkdir()
    # To open it takes until there is a writer.
    os.mkfifo(slow)
    reading = asyncio.ensure_future(
        anext(LocalBlobs(tmp_path, disk).read("slow", 0, 1))
    )
    await asyncio.sleep(0)
    # Another thread has done something that came later.
    await disk.run(int)

    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    writer = os.open(slow, os.O_RDWR)
    disk.close()
    os.close(writer)

    with pytest.raises(OSError, match="No such device"):
        os.open(slow, os.O_WRONLY | os.O_NONBLOCK)


async def test_what_comes_at_once_waits_for_nobody_until_all_threads_are_busy() -> None:
    disk = Disk()
    all_busy = threading.Barrier(8, timeout=20)

    first = [disk.run(all_busy.wait) for _ in range(8)]
    last = disk.run(threading.active_count)
    *places, threads = await asyncio.gather(*first, last)

    assert sorted(places) == list(range(8))
    before = threading.active_count()
    assert threads == before
    disk.close()
    assert threading.active_count() == before - 8


@pytest.mark.parametrize("key", ["../x", "a/b", "", "a.b", "\0"])
async def test_a_key_is_no_path(store: BlobStore, key: str) -> None:
    with pytest.raises(AssertionError):
        await read(store, key, 0, 1)


async def test_what_breaks_off_leaves_nothing(spool: Spool) -> None:
    async def breaking() -> AsyncIterator[bytes]:
        yield b"x" * 2_000_000
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        async with spool.receive(breaking()):
            pytest.fail("it never came to its end")

    assert not any(spool.folder.glob("*"))


async def test_bytes_in_many_pieces_are_written_whole(
    store: BlobStore, spool: Spool
) -> None:
    data = os.urandom(5000)

    async def by_the_byte() -> AsyncIterator[bytes]:
        for start in range(len(data)):
            yield data[start : start + 1]

    async with spool.receive(by_the_byte()) as file:
        await store.put("bytes", file)

    assert await read(store, "bytes", 0, len(data)) == data


async def test_a_file_is_written_a_quarter_of_a_megabyte_at_a_time(
    store: BlobStore, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    write = os.writev

    def count(descriptor: int, group: Sequence[memoryview]) -> int:
        sizes.append(write(descriptor, group))
        return sizes[-1]

    monkeypatch.setattr(os, "writev", count)

    await put(store, spool, "cut", bytes(1_500_000))

    # From the second megabyte on as if it were the first.
    assert sizes == [262_144] * 3 + [213_568, 48_576, 262_144, 189_280]


async def test_what_a_disk_takes_only_some_of_is_written_whole(
    store: BlobStore, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = os.urandom(300_000)

    def write_some(descriptor: int, group: Sequence[memoryview]) -> int:
        return os.write(descriptor, b"".join(group)[:150_000])

    monkeypatch.setattr(os, "writev", write_some)

    await put(store, spool, "some", data)

    assert await read(store, "some", 0, len(data)) == data


async def test_what_nobody_waits_for_any_more_is_not_put_down(
    tmp_path: Path, disk: CountingDisk, spool: Spool
) -> None:
    store = LocalBlobs(tmp_path / "blobs", disk)
    go_on = threading.Event()
    is_placed = asyncio.Event()

    async def find_place() -> Place:
        is_placed.set()
        return store.place("late")

    async def receive() -> None:
        async with spool.receive(pieces(b"late"), find_place):
            pytest.fail("it was cancelled")

    busy = [asyncio.ensure_future(disk.run(go_on.wait)) for _ in range(8)]
    receiving = asyncio.create_task(receive())
    # All threads are busy, so it waits for one of them.
    await is_placed.wait()
    receiving.cancel()
    await asyncio.sleep(0)
    go_on.set()

    await asyncio.wait([receiving, *busy])
    assert receiving.cancelled()
    await disk.run(os.getpid)
    assert not files_in(tmp_path)


async def test_a_thread_that_nobody_waits_for_tells_nobody(disk: Disk) -> None:
    failures: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, e: failures.append(e))
    go_on = threading.Event()
    waiting = asyncio.create_task(disk.run(go_on.wait))
    await asyncio.sleep(0)
    waiting.cancel()

    go_on.set()

    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.gather(*(disk.run(os.getpid) for _ in range(8)))
    assert failures == []


async def test_a_disk_that_fails_is_a_failure_of_the_store(
    tmp_path: Path, disk: Disk
) -> None:
    (tmp_path / "file").write_bytes(b"in the way")
    spool = Spool(tmp_path / "file" / "incoming", disk)

    with pytest.raises(BlobError):
        async with spool.receive(pieces(b"x")):
            pytest.fail("there is no place for it")


async def test_a_store_that_is_not_there(spool: Spool, disk: Disk) -> None:
    with pytest.raises(BlobError):
        open_objects("ftp://nowhere/x", {}, spool, disk)


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("gs://bucket/prefix", {"skip_signature": "true"}),
        ("az://container/prefix", {"account_name": "us", "account_key": "a2V5"}),
        ("https://us.blob.core.windows.net/container", {"account_key": "a2V5"}),
    ],
)
async def test_other_clouds_have_stores_too(
    spool: Spool, disk: Disk, url: str, options: dict[str, str]
) -> None:
    store = open_objects(url, options, spool, disk)

    assert store.place("key") == Place("key", None)
