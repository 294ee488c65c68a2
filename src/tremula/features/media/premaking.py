"""Thumbnails that are made before anybody asks for them."""

import asyncio
from collections.abc import Iterable
from typing import Final

import structlog

from tremula.features.media.library import Library, Wanted
from tremula.features.media.thumbnailing import Thumbnails
from tremula.infra.config import PremadeThumbnail
from tremula.protocol.errors import MatrixError
from tremula.protocol.mxc import Mxc
from tremula.protocol.thumbnails import Method, Thumbnail

log = structlog.get_logger(__name__)

# What is left out, or forgotten in a crash, is made when it is asked for.
_WAITING_MAX: Final = 1_000


class Premaking:
    """Makes the configured thumbnails of what is uploaded here, one image at a time."""

    def __init__(
        self,
        library: Library,
        thumbnails: Thumbnails,
        sizes: Iterable[PremadeThumbnail],
    ) -> None:
        self._library = library
        self._thumbnails = thumbnails
        self._wishes = [_thumbnail_of(size) for size in sizes]
        self.waiting: asyncio.Queue[Mxc] = asyncio.Queue(_WAITING_MAX)

    def note(self, mxc: Mxc, content_type: str) -> None:
        """Something was uploaded, which says that it is of that type."""
        if not self._wishes or not content_type.startswith("image/"):
            return
        if self.waiting.full():
            log.info("thumbnail_not_premade", mxc=str(mxc), reason="too much to do")
        else:
            self.waiting.put_nowait(mxc)

    async def run(self) -> None:
        """Make them for ever; meant for the supervisor."""
        while True:
            mxc = await self.waiting.get()
            try:
                await self._make_all(mxc)
            finally:
                self.waiting.task_done()

    async def _make_all(self, mxc: Mxc) -> None:
        try:
            stored = await self._library.get(Wanted(mxc))
            for wish in self._wishes:
                await self._thumbnails.of(stored, wish)
        except MatrixError as error:
            log.info("thumbnail_not_premade", mxc=str(mxc), reason=error.message)


def _thumbnail_of(size: PremadeThumbnail) -> Thumbnail:
    box, method = size.split("-")
    width, height = box.split("x")
    return Thumbnail(int(width), int(height), Method(method))
