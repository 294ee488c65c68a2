"""Receipts that are stored in one transaction with the events that they are for."""

from collections.abc import Callable

from msgspec import Struct

from tremula.features.account_data.service import (
    FULLY_READ,
    AccountData,
    SeenContent,
)
from tremula.features.receipts import storage
from tremula.features.receipts.storage import StoredReceipt
from tremula.infra.clock import Clock
from tremula.infra.journal import JournalUnit
from tremula.protocol.identifiers import EventId, UserId
from tremula.protocol.receipts import Receipt, ReceiptType
from tremula.rooms.event_store import EventStore
from tremula.rooms.view import RoomView

Add = Callable[[JournalUnit, RoomView, StoredReceipt], None]


class ReadMarks(Struct):
    """Marks a room as read by ``user_id`` up to an event that is being stored.

    Neither their receipt nor their read marker moves backwards.
    """

    user_id: UserId
    account_data: AccountData
    events: EventStore
    clock: Clock
    add_receipt: Add
    _receipt_pos: int | None = None
    _marker_pos: int | None = None
    _marker: SeenContent | None = None

    async def prepare(self, view: RoomView) -> None:
        """Read where the marks are."""
        receipt = Receipt(ReceiptType.READ, EventId(""))
        self._receipt_pos = await storage.find_room_pos(
            self.events.db, view.nid, self.user_id, receipt
        )
        self._marker = await self.account_data.find_seen(
            self.user_id, view.nid, FULLY_READ
        )
        event_id = self._marker.parsed().get("event_id") if self._marker else None
        at = None
        if isinstance(event_id, str):
            at = await self.events.find(view.nid, EventId(event_id))
        self._marker_pos = at.room_pos if at else None

    def add(
        self, unit: JournalUnit, view: RoomView, newest: EventId, room_pos: int
    ) -> None:
        """Move them to *newest*, which is at *room_pos*."""
        if self._receipt_pos is None or self._receipt_pos < room_pos:
            receipt = Receipt(ReceiptType.READ, newest)
            stored = StoredReceipt(
                view.nid, self.user_id, receipt, room_pos, self.clock.now_ms()
            )
            self.add_receipt(unit, view, stored)
        if self._marker_pos is None or self._marker_pos < room_pos:
            self.account_data.replace(
                unit,
                self.user_id,
                view.nid,
                FULLY_READ,
                {"event_id": newest},
                self._marker,
            )
