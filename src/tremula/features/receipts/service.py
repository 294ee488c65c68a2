"""Receipts and read markers: check, store, announce."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct, field

from tremula.features.account_data.service import FULLY_READ, AccountData
from tremula.features.receipts import storage
from tremula.features.receipts.storage import StoredReceipt
from tremula.infra.clock import Clock
from tremula.infra.db import Reader
from tremula.infra.journal import Journal, JournalUnit
from tremula.infra.locks import KeyedLocks
from tremula.protocol.errors import InvalidParam
from tremula.protocol.identifiers import EventId, RoomId, UserId
from tremula.protocol.receipts import (
    MAIN_THREAD,
    RELATION_HOPS_MAX,
    Receipt,
    ReceiptType,
    relation_of,
)
from tremula.rooms.event_store import EventStore
from tremula.rooms.events import StoredEvent
from tremula.rooms.reader import RoomReader
from tremula.rooms.view import RoomView

# Announced with a `StoredReceipt` as payload. The key of a public receipt is the room
# nid; that of a private one is the user ID, so that nobody else even looks at it.
PUBLIC_TOPIC: Final = "receipt"
PRIVATE_TOPIC: Final = "private_receipt"

# Public and private receipts of all threads of one user in one room.
RECEIPTS_MAX: Final = 5_000


class Receipts(Struct, frozen=True):
    """Records receipts, none of which ever moves backwards."""

    db: Reader
    journal: Journal
    reader: RoomReader
    events: EventStore
    account_data: AccountData
    clock: Clock
    _moving: KeyedLocks[tuple[UserId, int]] = field(default_factory=KeyedLocks)

    async def record(
        self,
        user_id: UserId,
        room_id: RoomId,
        receipts: Sequence[Receipt],
        *,
        ts_ms: int | None = None,
    ) -> None:
        """Move the markers of *user_id* in a room, all in one transaction.

        They were given at *ts_ms*, or else now. One that stands at or past its event
        already stays where it is.

        Raises:
            Forbidden: *user_id* is not joined to *room_id*.
            NotFound: an event is not in the room.
            InvalidParam: an event is not in its ``thread_id``; too many threads.
        """
        view = await self.reader.get_joined(room_id, user_id)
        moved: list[tuple[Receipt, StoredEvent]] = []
        for receipt in receipts:
            event = await self.events.get(view.nid, receipt.event_id)
            await self._check_thread(event, receipt.thread_id)
            moved.append((receipt, event))
        async with self._moving.of((user_id, view.nid)):
            ahead = [
                (receipt, event)
                for receipt, event in moved
                if await self._moves_forward(user_id, receipt, event)
            ]
            if ahead:
                given_ms = self.clock.now_ms() if ts_ms is None else ts_ms
                await self._write(user_id, view, ahead, given_ms)

    async def _write(
        self,
        user_id: UserId,
        view: RoomView,
        moved: Sequence[tuple[Receipt, StoredEvent]],
        ts_ms: int,
    ) -> None:
        unit = self.journal.unit()
        for receipt, event in moved:
            if receipt.type is ReceiptType.FULLY_READ:
                content = {"event_id": event.event_id}
                self.account_data.store(unit, user_id, view.nid, FULLY_READ, content)
            else:
                stored = StoredReceipt(
                    room_nid=view.nid,
                    user_id=user_id,
                    receipt=receipt,
                    room_pos=event.room_pos,
                    ts_ms=ts_ms,
                )
                self._add(unit, view, stored)
        await self.journal.commit(unit)

    def _add(self, unit: JournalUnit, view: RoomView, stored: StoredReceipt) -> None:
        pos = unit.pos()
        storage.upsert_receipt(unit, stored, pos=pos)
        if stored.receipt.is_private:
            unit.announce(PRIVATE_TOPIC, stored.user_id, stored, pos=pos)
            unit.wake({stored.user_id})
        else:
            unit.announce(PUBLIC_TOPIC, view.nid, stored, pos=pos)
            unit.wake_rooms(view.joined_members(), (view.nid,))

    async def _moves_forward(
        self, user_id: UserId, receipt: Receipt, event: StoredEvent
    ) -> bool:
        if receipt.type is ReceiptType.FULLY_READ:
            marker = await self.account_data.find_in_room(
                user_id, event.room_nid, FULLY_READ
            )
            before = marker.get("event_id")
            if not isinstance(before, str):
                return True
            at = await self.events.find(event.room_nid, EventId(before))
            return at is None or event.room_pos > at.room_pos
        room_pos = await storage.find_room_pos(
            self.db, event.room_nid, user_id, receipt
        )
        if room_pos is not None:
            return event.room_pos > room_pos
        if receipt.thread_id is not None:
            await self._check_count(user_id, event.room_nid)
        return True

    async def _check_count(self, user_id: UserId, room_nid: int) -> None:
        count = await storage.count_receipts(self.db, room_nid, user_id)
        if count >= RECEIPTS_MAX:
            raise InvalidParam(f"no more than {RECEIPTS_MAX} receipts in a room")

    async def _check_thread(self, event: StoredEvent, thread_id: str | None) -> None:
        # A redaction takes the relation away, but not the event out of its thread.
        if thread_id is None or event.redacted_by_nid is not None:
            return
        # A client that shows a thread shows its root there too.
        if thread_id in (event.event_id, await self._thread_of(event)):
            return
        raise InvalidParam(f"the event is not in thread {thread_id}")

    async def _thread_of(self, event: StoredEvent) -> str:
        """``main`` or the thread root (CS "Threaded read receipts")."""
        current: StoredEvent | None = event
        for _ in range(RELATION_HOPS_MAX):
            relation = relation_of(current.content) if current else None
            if relation is None:
                return MAIN_THREAD
            if relation.rel_type == "m.thread":
                return relation.event_id
            current = await self.events.find(event.room_nid, relation.event_id)
        return MAIN_THREAD
