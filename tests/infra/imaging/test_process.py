"""The worker, when an image does it harm."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from tests.features.media.files import picture
from tremula.infra.imaging.outcome import Outcome
from tremula.infra.imaging.process import (
    ImageFailed,
    ImageLimits,
    ImageProcess,
    Making,
)

PATIENCE_S: Final = 30.0


@pytest.fixture
async def images() -> AsyncIterator[ImageProcess]:
    images = ImageProcess(limits(PATIENCE_S))
    yield images
    await images.close()


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """A file whose first byte never comes."""
    path = tmp_path / "endless"
    os.mkfifo(path)
    return path


def limits(timeout_s: float) -> ImageLimits:
    return ImageLimits(pixels_max=1_000_000, memory_bytes=1024**3, timeout_s=timeout_s)


def making(source: Path) -> Making:
    return Making(
        source=source,
        target=source.with_name("thumbnail"),
        width=32,
        height=32,
        method="scale",
        is_animated=False,
    )


def workers() -> list[int]:
    """The processes that this one has started to decode images."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    return [
        int(pid)
        for pid in children.split()
        if b"tremula.infra.imaging.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


async def test_a_worker_that_dies_costs_one_image(
    images: ImageProcess, endless: Path, tmp_path: Path
) -> None:
    (tmp_path / "good").write_bytes(picture())
    deadly = asyncio.create_task(images.make(making(endless)))
    # Returns when the worker reads.
    descriptor = await asyncio.to_thread(os.open, endless, os.O_WRONLY)
    [worker] = workers()

    os.kill(worker, signal.SIGKILL)

    with pytest.raises(ImageFailed, match="the worker died"):
        await deadly
    os.close(descriptor)
    made = await images.make(making(tmp_path / "good"))
    assert made.outcome is Outcome.MADE


async def test_a_worker_that_died_while_it_had_nothing_to_do_costs_nothing(
    images: ImageProcess, tmp_path: Path
) -> None:
    """Linux kills what it likes if there is no memory left."""
    (tmp_path / "good").write_bytes(picture())
    await images.make(making(tmp_path / "good"))
    [worker] = workers()
    os.kill(worker, signal.SIGKILL)
    await asyncio.to_thread(os.waitid, os.P_PID, worker, os.WEXITED | os.WNOWAIT)

    made = await images.make(making(tmp_path / "good"))

    assert made.outcome is Outcome.MADE
    assert worker not in workers()


async def test_an_image_that_takes_too_long_costs_the_worker(endless: Path) -> None:
    images = ImageProcess(limits(timeout_s=0.1))

    with pytest.raises(ImageFailed, match="takes too long"):
        await images.make(making(endless))

    assert workers() == []


async def test_a_worker_works_for_who_still_waits(
    images: ImageProcess, endless: Path, tmp_path: Path
) -> None:
    (tmp_path / "good").write_bytes(picture())
    given_up = asyncio.create_task(images.make(making(endless)))
    descriptor = await asyncio.to_thread(os.open, endless, os.O_WRONLY)
    waiting = asyncio.create_task(images.make(making(tmp_path / "good")))

    given_up.cancel()

    assert (await waiting).outcome is Outcome.MADE
    assert given_up.cancelled()
    os.close(descriptor)
