"""Receipts of other servers' users for events that have not come yet.

An event may take longer than the receipt of somebody who has read it: it is sent by
another server. They are kept in memory for an hour.
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Hashable
from typing import Final

import structlog
from msgspec import Struct

from tremula.features.receipts.service import Markers, Receipts
from tremula.infra.clock import Clock
from tremula.infra.journal import Journal
from tremula.protocol.errors import MatrixError
from tremula.protocol.identifiers import (
    EventId,
    RoomId,
    ServerName,
    UserId,
    server_of,
)
from tremula.protocol.receipts import Receipt
from tremula.rooms.events import PersistedEvent
from tremula.rooms.staging import EVENT_TOPIC
from tremula.rooms.view import RoomView

log = structlog.get_logger(__name__)

KEPT_S: Final = 3600.0
KEPT_MAX: Final = 10_000
KEPT_PER_SERVER_MAX: Final = 1_000

# A user's newest receipt in a room and thread.
_Key = tuple[RoomId, UserId, str | None]
_Place = tuple[RoomId, EventId]


class _Early(Struct, frozen=True):
    """A receipt that is of use until *until_s*, by the monotonic clock."""

    receipt: Receipt
    until_s: float


class EarlyReceipts:
    """Records them when their events come; ``run`` is meant for the supervisor.

    Costs a look into a dictionary an event, none while nothing waits.
    """

    def __init__(self, receipts: Receipts, journal: Journal, clock: Clock) -> None:
        self._receipts = receipts
        self._clock = clock
        self._kept: OrderedDict[_Key, _Early] = OrderedDict()
        self._by_event: dict[_Place, set[_Key]] = {}
        self._counts: Counter[ServerName] = Counter()
        self._due: list[tuple[_Key, Receipt]] = []
        self._something_due = asyncio.Event()
        journal.subscribe(EVENT_TOPIC, self._on_event)

    async def run(self) -> None:
        """Record for ever."""
        while True:
            await self._something_due.wait()
            await self.record_due()

    async def record_due(self) -> None:
        """Record those whose events have come so far."""
        self._something_due.clear()
        due, self._due = self._due, []
        for (room_id, user_id, _), receipt in due:
            try:
                await self._receipts.record(user_id, room_id, Markers((receipt,)))
            except MatrixError as error:
                log.debug("early_receipt_dropped", reason=error.message)

    async def keep(self, view: RoomView, user_id: UserId, receipt: Receipt) -> None:
        """Keep the receipt of a user in a room for when its event comes. Those that
        are one too many for a server, or in all, are dropped.
        """
        self._drop_old()
        key = (view.room_id, user_id, receipt.thread_id)
        self._take(key)
        if self._counts[server_of(user_id)] >= KEPT_PER_SERVER_MAX:
            return
        if len(self._kept) >= KEPT_MAX:
            self._take(next(iter(self._kept)))
        until_s = self._clock.monotonic_s() + KEPT_S
        self._kept[key] = _Early(receipt, until_s)
        self._counts[server_of(user_id)] += 1
        place = (view.room_id, receipt.event_id)
        self._by_event.setdefault(place, set()).add(key)
        # It may have come while the receipt was looked at.
        if await self._receipts.events.find(view.nid, receipt.event_id) is not None:
            self._come(place)

    def _on_event(self, _pos: int, _key: Hashable, event: object) -> None:
        assert isinstance(event, PersistedEvent)
        if self._by_event:
            self._drop_old()
            self._come((event.room_id, event.stored.event_id))

    def _come(self, place: _Place) -> None:
        for key in list(self._by_event.get(place, ())):
            early = self._take(key)
            if early is not None:
                self._due.append((key, early.receipt))
                self._something_due.set()

    def _take(self, key: _Key) -> _Early | None:
        """Keep it no more."""
        early = self._kept.pop(key, None)
        if early is None:
            return None
        room_id, user_id, _ = key
        place = (room_id, early.receipt.event_id)
        self._by_event[place].discard(key)
        if not self._by_event[place]:
            del self._by_event[place]
        server = server_of(user_id)
        self._counts[server] -= 1
        if not self._counts[server]:
            del self._counts[server]
        return early

    def _drop_old(self) -> None:
        now_s = self._clock.monotonic_s()
        while self._kept:
            key, early = next(iter(self._kept.items()))
            if early.until_s > now_s:
                return
            self._take(key)
