"""Receipts and read markers: check, store, announce."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import orjson
from msgspec import Struct, field

from tremula.features.account_data.service import (
    FULLY_READ,
    MARKED_UNREAD,
    AccountData,
    SeenContent,
)
from tremula.features.receipts import storage
from tremula.features.receipts.contents import receipt_contents
from tremula.features.receipts.reading import NOTHING_READ, ReadUpTo, read_by_room
from tremula.features.receipts.storage import StoredReceipt
from tremula.features.receipts.with_events import ReadMarks
from tremula.infra.clock import Clock
from tremula.infra.db import Reader
from tremula.infra.journal import Journal, JournalUnit
from tremula.infra.locks import KeyedLocks
from tremula.infra.rereading import reread_on_conflict
from tremula.protocol.errors import InvalidParam
from tremula.protocol.identifiers import EventId, RoomId, UserId
from tremula.protocol.receipts import Receipt, ReceiptType
from tremula.rooms.event_store import EventStore
from tremula.rooms.events import StoredEvent
from tremula.rooms.reader import RoomReader
from tremula.rooms.threads import MAIN, is_shown_in, thread_of
from tremula.rooms.view import RoomView

__all__ = [
    "NOTHING_READ",
    "PRIVATE_TOPIC",
    "PUBLIC_TOPIC",
    "RECEIPTS_MAX",
    "Markers",
    "ReadUpTo",
    "Receipts",
    "StoredReceipt",
    "receipt_contents",
]

# Announced with a `StoredReceipt` as payload. The key of a public receipt is the room
# nid; that of a private one is the user ID, so that nobody else even looks at it.
PUBLIC_TOPIC: Final = "receipt"
PRIVATE_TOPIC: Final = "private_receipt"

# Public and private receipts of all threads of one user in one room.
RECEIPTS_MAX: Final = 5_000
_ROOMS_PER_QUERY: Final = 500


class _Move(Struct, frozen=True):
    """A receipt and its event; of a read marker also what the marker was."""

    receipt: Receipt
    event: StoredEvent
    seen: SeenContent | None = None


class Markers(Struct, frozen=True):
    """Receipts that are given at once, of one type each.

    The read marker moves backwards if it ``may_go_back``. They take the user's mark
    that the room is unread away if that is what ``clears_unread``.
    """

    receipts: Sequence[Receipt]
    may_go_back: bool = False
    clears_unread: bool = False


class Receipts(Struct, frozen=True):
    """Records receipts, none of which ever moves backwards but the read marker, where
    that is asked for.
    """

    db: Reader
    journal: Journal
    reader: RoomReader
    events: EventStore
    account_data: AccountData
    clock: Clock
    _moving: KeyedLocks[tuple[UserId, int]] = field(default_factory=KeyedLocks)

    async def record(self, user_id: UserId, room_id: RoomId, markers: Markers) -> None:
        """Move the markers of *user_id* in a room, all in one transaction.

        One that stands at or past its event already stays where it is.

        Raises:
            Forbidden: *user_id* is not joined to *room_id*.
            NotFound: an event is not in the room.
            InvalidParam: an event is not in its ``thread_id``; too many threads.
        """
        view = await self.reader.get_joined(room_id, user_id)
        moved: list[tuple[Receipt, StoredEvent]] = []
        for receipt in markers.receipts:
            event = await self.events.get(view.nid, receipt.event_id)
            await self._check_thread(event, receipt.thread_id)
            moved.append((receipt, event))

        async def attempt() -> None:
            found = [
                await self._move(
                    user_id, receipt, event, may_go_back=markers.may_go_back
                )
                for receipt, event in moved
            ]
            marked = None
            if markers.clears_unread:
                marked = await self._find_marked_unread(user_id, view.nid)
            moves = [move for move in found if move is not None]
            if moves or marked:
                await self._write(user_id, view, moves, marked)

        async with self._moving.of((user_id, view.nid)):
            await reread_on_conflict(attempt)

    def with_events(self, user_id: UserId) -> ReadMarks:
        """What marks a room as read by *user_id* while events are being stored."""
        return ReadMarks(user_id, self.account_data, self.events, self.clock, self._add)

    async def read_up_to(
        self, user_id: UserId, room_nids: Iterable[int]
    ) -> Mapping[int, ReadUpTo]:
        """Up to where the user has read rooms, of those where they have receipts. One
        query for 500 rooms.
        """
        nids = list(room_nids)
        found: dict[int, ReadUpTo] = {}
        for start in range(0, len(nids), _ROOMS_PER_QUERY):
            receipts = await storage.receipts_of_user(
                self.db,
                user_id,
                nids[start : start + _ROOMS_PER_QUERY],
                up_to=self.journal.position,
            )
            found |= read_by_room(receipts)
        return found

    async def read_since(
        self, user_id: UserId, room_nids: Sequence[int], *, after: int, up_to: int
    ) -> set[int]:
        """The rooms in which the user has read something between two journal positions.
        One query for 500 rooms.
        """
        found: set[int] = set()
        for start in range(0, len(room_nids), _ROOMS_PER_QUERY):
            portion = room_nids[start : start + _ROOMS_PER_QUERY]
            found |= await storage.rooms_read(
                self.db, user_id, portion, after=after, up_to=up_to
            )
        return found

    async def _write(
        self,
        user_id: UserId,
        view: RoomView,
        moves: Sequence[_Move],
        marked: SeenContent | None,
    ) -> None:
        now_ms = self.clock.now_ms()
        unit = self.journal.unit()
        for move in moves:
            receipt = move.receipt
            if receipt.type is ReceiptType.FULLY_READ:
                self._add_marker(unit, user_id, move)
            else:
                stored = StoredReceipt(
                    room_nid=view.nid,
                    user_id=user_id,
                    receipt=receipt,
                    room_pos=move.event.room_pos,
                    ts_ms=now_ms if receipt.ts_ms is None else receipt.ts_ms,
                )
                self._add(unit, view, stored)
        if marked is not None:
            read = {**marked.parsed(), "unread": False}
            self.account_data.replace(
                unit, user_id, view.nid, MARKED_UNREAD, read, marked
            )
        await self.journal.commit(unit)

    async def _find_marked_unread(
        self, user_id: UserId, room_nid: int
    ) -> SeenContent | None:
        seen = await self.account_data.find_seen(user_id, room_nid, MARKED_UNREAD)
        return seen if seen and seen.parsed().get("unread") is True else None

    def _add_marker(self, unit: JournalUnit, user_id: UserId, move: _Move) -> None:
        receipt = move.receipt
        content = orjson.loads(receipt.extra) if receipt.extra else {}
        if receipt.ts_ms is not None:
            content["ts"] = receipt.ts_ms
        content["event_id"] = receipt.event_id
        room_nid = move.event.room_nid
        self.account_data.replace(
            unit, user_id, room_nid, FULLY_READ, content, move.seen
        )

    def _add(self, unit: JournalUnit, view: RoomView, stored: StoredReceipt) -> None:
        pos = unit.pos()
        storage.upsert_receipt(unit, stored, pos=pos)
        if stored.receipt.is_private:
            unit.announce(PRIVATE_TOPIC, stored.user_id, stored, pos=pos)
            unit.wake({stored.user_id})
        else:
            unit.announce(PUBLIC_TOPIC, view.nid, stored, pos=pos)
            unit.wake_rooms(view.joined_members(), (view.nid,))

    async def _move(
        self,
        user_id: UserId,
        receipt: Receipt,
        event: StoredEvent,
        *,
        may_go_back: bool,
    ) -> _Move | None:
        """The move that *receipt* is, if it is one that may be."""
        if receipt.type is ReceiptType.FULLY_READ:
            return await self._marker_move(
                user_id, receipt, event, may_go_back=may_go_back
            )
        room_pos = await storage.find_room_pos(
            self.db, event.room_nid, user_id, receipt
        )
        if room_pos is None and receipt.thread_id is not None:
            await self._check_count(user_id, event.room_nid)
        if room_pos is not None and event.room_pos <= room_pos:
            return None
        return _Move(receipt, event)

    async def _marker_move(
        self,
        user_id: UserId,
        receipt: Receipt,
        event: StoredEvent,
        *,
        may_go_back: bool,
    ) -> _Move | None:
        room_nid = event.room_nid
        seen = await self.account_data.find_seen(user_id, room_nid, FULLY_READ)
        before = seen.parsed().get("event_id") if seen else None
        if isinstance(before, str) and not (may_go_back and before != event.event_id):
            at = await self.events.find(room_nid, EventId(before))
            if at is not None and event.room_pos <= at.room_pos:
                return None
        return _Move(receipt, event, seen)

    async def _check_count(self, user_id: UserId, room_nid: int) -> None:
        count = await storage.count_receipts(self.db, room_nid, user_id)
        if count >= RECEIPTS_MAX:
            raise InvalidParam(f"no more than {RECEIPTS_MAX} receipts in a room")

    async def _check_thread(self, event: StoredEvent, thread_id: str | None) -> None:
        # A redaction takes the relation away, but not the event out of its thread.
        if thread_id is None or event.redacted_by_nid is not None:
            return
        if thread_id == MAIN:
            is_right = await thread_of(self.events, event) == MAIN
        else:
            is_right = await is_shown_in(self.events, event, EventId(thread_id))
        if not is_right:
            raise InvalidParam(f"the event is not in thread {thread_id}")
