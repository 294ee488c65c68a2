"""An event that weighs little while nobody waits for it."""

import asyncio


class LazyEvent:
    """What uvicorn uses of `asyncio.Event`, which takes 740 bytes, in 40.

    It has two of them a connection, and mostly nobody waits for either.
    """

    __slots__ = ("_event", "_is_set")

    def __init__(self, *, is_set: bool = False) -> None:
        self._is_set = is_set
        self._event: asyncio.Event | None = None

    def set(self) -> None:
        """Let those who wait go on."""
        self._is_set = True
        if self._event is not None:
            self._event.set()

    def clear(self) -> None:
        """Let those who come from now on wait."""
        self._is_set = False
        if self._event is not None:
            self._event.clear()

    async def wait(self) -> None:
        """Return once it is set."""
        if self._is_set:
            return
        if self._event is None:
            self._event = asyncio.Event()
        await self._event.wait()
