"""What is in memory is read at once, and nothing is waited for."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tremula.infra.blobs.warm_files import WarmFiles, read_now


class Memory:
    """A file system; what it has in memory, and how often it was asked."""

    def __init__(self) -> None:
        self.content = b"0123456789"
        self.failure: OSError | None = None
        self.asked = 0

    def read(self, path: str, start: int, into: memoryview) -> int:
        """Implements `ReadNow`."""
        assert path == "/file"
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        found = self.content[start : start + len(into)]
        into[: len(found)] = found
        return len(found)


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
async def files(memory: Memory) -> WarmFiles:
    return WarmFiles(memory.read)


@pytest.fixture
def disk_folder() -> Iterator[Path]:
    """A folder that is not in memory only, as those of other tests may be."""
    with TemporaryDirectory(dir="/var/tmp") as folder:
        yield Path(folder)


def found(files: WarmFiles, start: int, length: int) -> memoryview:
    """What is in memory of the file."""
    piece = files.read("/file", start, length)
    assert piece is not None
    return piece


async def test_what_is_in_use_is_read(files: WarmFiles) -> None:
    files.note("/file")

    assert bytes(found(files, 2, 3)) == b"234"


async def test_what_nobody_used_is_not_even_opened(
    files: WarmFiles, memory: Memory
) -> None:
    assert files.read("/file", 2, 3) is None

    assert memory.asked == 0


async def test_what_was_in_use_long_ago_is_not_opened(
    files: WarmFiles, memory: Memory
) -> None:
    files.note("/file")
    for number in range(1024):
        files.note(f"/other{number}")

    assert files.read("/file", 2, 3) is None
    assert memory.asked == 0


async def test_what_is_in_memory_in_part_is_left_to_a_thread(files: WarmFiles) -> None:
    files.note("/file")

    assert files.read("/file", 8, 3) is None


async def test_what_is_given_back_is_read_into_again(files: WarmFiles) -> None:
    files.note("/file")
    first = found(files, 0, 10)

    files.give_back(first)

    second = found(files, 2, 3)
    assert bytes(second) == b"234"
    assert second.obj is first.obj


async def test_nobody_reads_into_what_another_one_has(files: WarmFiles) -> None:
    files.note("/file")
    files.give_back(found(files, 0, 3))
    first = found(files, 0, 3)

    found(files, 5, 3)

    assert bytes(first) == b"012"


async def test_of_what_is_given_back_the_largest_is_kept(files: WarmFiles) -> None:
    files.note("/file")
    pieces = [found(files, 0, length) for length in (3, 10, 5)]

    for piece in pieces:
        files.give_back(piece)

    assert found(files, 0, 4).obj is pieces[1].obj


async def test_what_could_not_be_read_leaves_its_memory(files: WarmFiles) -> None:
    files.note("/file")
    piece = found(files, 0, 10)
    files.give_back(piece)

    assert files.read("/file", 8, 3) is None

    assert found(files, 0, 3).obj is piece.obj


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOENT])
async def test_what_would_be_waited_for_is_tried_again_later(
    files: WarmFiles, memory: Memory, number: int
) -> None:
    files.note("/file")
    memory.failure = OSError(number, "not now")
    assert files.read("/file", 0, 3) is None

    memory.failure = None

    assert bytes(found(files, 0, 3)) == b"012"


async def test_what_can_not_tell_is_not_asked_twice(
    files: WarmFiles, memory: Memory
) -> None:
    files.note("/file")
    memory.failure = OSError(errno.EOPNOTSUPP, "a network file system")

    assert files.read("/file", 0, 3) is None
    assert files.read("/file", 0, 3) is None

    assert memory.asked == 1


def test_a_disk_has_in_memory_what_was_just_written(disk_folder: Path) -> None:
    data = os.urandom(100_000)
    path = disk_folder / "file"
    path.write_bytes(data)
    buffer = memoryview(bytearray(50_000))

    try:
        got = read_now(str(path), 10, buffer)
    except OSError as error:
        assert error.errno == errno.EOPNOTSUPP  # noqa: PT017 - few systems do not
        pytest.skip("this file system can't tell what is in memory")

    assert got == 50_000
    assert bytes(buffer) == data[10:50_010]
    assert read_now(str(path), 99_990, buffer) == 10
    assert bytes(buffer[:10]) == data[99_990:]
