"""How long a client may take to begin a request, and to send it.

One that comes too slowly would hold a connection for as long as its sender likes
("slow-loris").
"""

import asyncio
from collections.abc import Callable
from typing import Final

START_S: Final = 20.0
SLOWEST_BYTES_PER_S: Final = 4096


class Patience:
    """With the client of one connection.

    *on_silence* is called when no request begins in time, *on_slowness* when one that
    has begun does not come in *start_s* and the time for its length.
    """

    __slots__ = (
        "_began_s",
        "_due_s",
        "_loop",
        "_on_silence",
        "_on_slowness",
        "_pace_timer",
        "_silence_timer",
        "_start_s",
        "received_bytes",
    )

    def __init__(
        self,
        start_s: float,
        *,
        on_silence: Callable[[], None],
        on_slowness: Callable[[], None],
    ) -> None:
        self._start_s = start_s
        self._on_silence = on_silence
        self._on_slowness = on_slowness
        self._loop = asyncio.get_running_loop()
        self._due_s: float | None = None
        self._silence_timer: asyncio.TimerHandle | None = None
        self._began_s = 0.0
        self._pace_timer: asyncio.TimerHandle | None = None
        self.received_bytes = 0
        """How much of the request has come."""

    def expect(self, seconds: float | None = None) -> None:
        """A request has to begin within *seconds*; the first one, within *start_s*."""
        if seconds is None:
            seconds = self._start_s
        self._due_s = self._loop.time() + seconds
        # One that runs is left to run: most often the next request comes before it.
        if self._silence_timer is None:
            self._silence_timer = self._loop.call_later(seconds, self._check_silence)

    def expect_nothing(self) -> None:
        """A request has begun."""
        self._due_s = None

    def watch(self, received_bytes: int) -> None:
        """So much has come of a request, and more has to."""
        if self._pace_timer is None:
            self.received_bytes = 0
            self._began_s = self._loop.time()
            self._pace_timer = self._loop.call_later(self._start_s, self._check_pace)
        self.received_bytes += received_bytes

    def rest(self) -> None:
        """The request has come, or it is us who do not read on."""
        if self._pace_timer is not None:
            self._pace_timer.cancel()
            self._pace_timer = None

    def end(self) -> None:
        """There is nothing to wait for any more."""
        self.rest()
        if self._silence_timer is not None:
            self._silence_timer.cancel()
            self._silence_timer = None

    def _check_silence(self) -> None:
        self._silence_timer = None
        if self._due_s is None:
            return
        left_s = self._due_s - self._loop.time()
        if left_s > 0:
            self._silence_timer = self._loop.call_later(left_s, self._check_silence)
        else:
            self._on_silence()

    def _check_pace(self) -> None:
        allowed_s = self._start_s + self.received_bytes / SLOWEST_BYTES_PER_S
        left_s = self._began_s + allowed_s - self._loop.time()
        if left_s > 0:
            self._pace_timer = self._loop.call_later(left_s, self._check_pace)
        else:
            self._pace_timer = None
            self._on_slowness()
