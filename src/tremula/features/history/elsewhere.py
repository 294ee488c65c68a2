"""Events at a time that only other servers know of (SS getEventByTimestamp)."""

import asyncio
from typing import Final, Protocol

import structlog
from msgspec import Struct

from tremula.features.history.filling import FILLS_MAX, GapFilling
from tremula.protocol.identifiers import ServerName
from tremula.rooms.events import StoredEvent
from tremula.rooms.peers import EventAt, PeerFailed, RoomAt
from tremula.rooms.view import RoomView

_SERVERS_MAX: Final = 3
_ASKING_S: Final = 20.0

log = structlog.get_logger(__name__)


class RemoteTimes(Protocol):
    """Asks one server; the federation_events feature implements it."""

    async def timestamp_to_event(
        self, origin: ServerName, room: RoomAt, ts_ms: int, *, forwards: bool
    ) -> EventAt | None:
        """SS getEventByTimestamp; None if that server has none.

        Raises:
            PeerFailed: *origin* does not help.
        """
        ...


class Wanted(Struct, frozen=True):
    """The event closest to ``ts_ms``, not before it or else not after it."""

    ts_ms: int
    forwards: bool

    def prefers(self, other: EventAt, to: StoredEvent | None) -> bool:
        """Whether *other* is closer than what was found here."""
        at_ms = other.origin_server_ts
        if (at_ms < self.ts_ms) if self.forwards else (at_ms > self.ts_ms):
            return False
        if to is None:
            return True
        return abs(at_ms - self.ts_ms) < abs(to.origin_server_ts - self.ts_ms)


class Elsewhere(Struct, frozen=True):
    """Asks the servers in a room for what may be in its gaps."""

    times: RemoteTimes
    gaps: GapFilling

    async def closer(
        self, view: RoomView, wanted: Wanted, found: StoredEvent | None
    ) -> EventAt | None:
        """An event that is closer than *found*; None if none is known of.

        Nobody is asked if nothing is missing here.
        """
        if not await self.gaps.newest(view):
            return None
        at = RoomAt(view.room_id, view.version)
        try:
            async with asyncio.timeout(_ASKING_S):
                for server_name in self.gaps.others_in(view)[:_SERVERS_MAX]:
                    other = await self._ask(server_name, at, wanted)
                    if other is not None and wanted.prefers(other, found):
                        return other
        except TimeoutError:
            log.info("timestamp_to_event_timed_out", room_id=view.room_id)
        return None

    async def _ask(
        self, server_name: ServerName, at: RoomAt, wanted: Wanted
    ) -> EventAt | None:
        try:
            return await self.times.timestamp_to_event(
                server_name, at, wanted.ts_ms, forwards=wanted.forwards
            )
        except PeerFailed as error:
            log.info(
                "timestamp_to_event_failed", server_name=server_name, reason=str(error)
            )
            return None

    async def fetch(self, view: RoomView) -> None:
        """Fill in what is missing last, as far as one request may."""
        for _ in range(FILLS_MAX):
            gap = await self.gaps.newest(view)
            if gap is None or not await self.gaps.fill(view, gap):
                return
