"""Receipts in `/sync`: one ``m.receipt`` event a room and thread."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

import orjson
from msgspec import Struct

from tremula.features.receipts import storage
from tremula.features.receipts.contents import (
    Content,
    add_receipt,
    receipt_contents,
)
from tremula.features.receipts.service import PRIVATE_TOPIC, PUBLIC_TOPIC
from tremula.features.receipts.storage import StoredReceipt
from tremula.features.sync.parts import RoomRef, RoomSection, SyncContext
from tremula.infra.db import Reader
from tremula.infra.journal import Journal
from tremula.rooms.events import StoredEvent

_EVENT_TYPE: Final = "m.receipt"
_ROOMS_PER_QUERY: Final = 500


class ReceiptsPart(Struct, frozen=True):
    """Everybody's public receipts, and the user's own private ones."""

    db: Reader
    journal: Journal
    section: RoomSection = RoomSection.EPHEMERAL
    topics: Collection[str] = (PUBLIC_TOPIC, PRIVATE_TOPIC)

    async def changed_rooms(self, ctx: SyncContext, since: int) -> Collection[int]:
        """Joined rooms with a receipt since; from memory for a recent token."""
        public = self.journal.changed_keys(PUBLIC_TOPIC, since)
        own = self.journal.tail(PRIVATE_TOPIC, ctx.user_id, since)
        if public is None or own is None:
            return await self._rooms_changed_in_db(ctx, list(ctx.joined_rooms), since)
        changed = {nid for nid in public if isinstance(nid, int)}
        changed.update(_payload(entry).room_nid for entry in own)
        return changed & ctx.joined_rooms.keys()

    async def room_events(
        self, ctx: SyncContext, rooms: Sequence[RoomRef], since: int
    ) -> Mapping[int, Sequence[bytes]]:
        """The ``m.receipt`` events of those of *rooms* that have news."""
        wanted = ctx.filter.room.ephemeral
        if not wanted.events.admits_type(_EVENT_TYPE):
            return {}
        nids = [room.nid for room in rooms if wanted.rooms.admits(room.room_id)]
        return _events_by_room(await self._after(ctx, nids, since), ctx)

    async def _after(
        self, ctx: SyncContext, nids: Sequence[int], since: int
    ) -> list[StoredReceipt]:
        receipts, unknown = self._in_memory(ctx, nids, since)
        for start in range(0, len(unknown), _ROOMS_PER_QUERY):
            receipts += await storage.receipts_after(
                self.db,
                ctx.user_id,
                unknown[start : start + _ROOMS_PER_QUERY],
                after=since,
                up_to=ctx.now,
            )
        return receipts

    async def of_rooms(
        self, ctx: SyncContext, rooms: Sequence[RoomRef], since: int
    ) -> Mapping[int, bytes]:
        """The same as one event a room, as sliding sync has them."""
        receipts = await self._after(ctx, [room.nid for room in rooms], since)
        return _whole_events(receipts, ctx)

    async def of_timelines(
        self, ctx: SyncContext, timelines: Mapping[int, Sequence[StoredEvent]]
    ) -> Mapping[int, bytes]:
        """Of each room the receipts for the events that are shown, and the user's own:
        in a large room, all would be too many.
        """
        nids = list(timelines)
        found: list[StoredReceipt] = []
        for start in range(0, len(nids), _ROOMS_PER_QUERY):
            found += await storage.receipts_of_user(
                self.db,
                ctx.user_id,
                nids[start : start + _ROOMS_PER_QUERY],
                up_to=ctx.now,
            )
        for nid, events in timelines.items():
            if events:
                # Nobody has read an event before it came.
                since = min(event.journal_pos for event in events)
                shown = {event.event_id for event in events}
                receipts = await self._after(ctx, [nid], since)
                found += [each for each in receipts if each.receipt.event_id in shown]
        return _whole_events(found, ctx)

    async def _rooms_changed_in_db(
        self, ctx: SyncContext, nids: Sequence[int], since: int
    ) -> set[int]:
        changed: set[int] = set()
        for start in range(0, len(nids), _ROOMS_PER_QUERY):
            changed |= await storage.rooms_changed(
                self.db,
                ctx.user_id,
                nids[start : start + _ROOMS_PER_QUERY],
                after=since,
                up_to=ctx.now,
            )
        return changed

    def _in_memory(
        self, ctx: SyncContext, nids: Sequence[int], since: int
    ) -> tuple[list[StoredReceipt], list[int]]:
        """What the tails know, and the rooms of which they do not know enough."""
        own = self.journal.tail(PRIVATE_TOPIC, ctx.user_id, since)
        if own is None:
            return [], list(nids)
        known, unknown = list(own), []
        for nid in nids:
            entries = self.journal.tail(PUBLIC_TOPIC, nid, since)
            if entries is None:
                unknown.append(nid)
            else:
                known += entries
        among = set(nids).difference(unknown)
        receipts = [_payload(entry) for entry in known if entry[0] <= ctx.now]
        return [stored for stored in receipts if stored.room_nid in among], unknown


def _payload(entry: tuple[int, object]) -> StoredReceipt:
    stored = entry[1]
    assert isinstance(stored, StoredReceipt)
    return stored


def _events_by_room(
    receipts: Iterable[StoredReceipt], ctx: SyncContext
) -> dict[int, list[bytes]]:
    """ "Batched into one event per room and thread"; later receipts count."""
    by_room: dict[int, list[StoredReceipt]] = {}
    for stored in _newest(receipts, ctx):
        by_room.setdefault(stored.room_nid, []).append(stored)
    return {
        nid: [_event(content) for content in receipt_contents(found)]
        for nid, found in by_room.items()
    }


def _whole_events(
    receipts: Iterable[StoredReceipt], ctx: SyncContext
) -> dict[int, bytes]:
    """One event a room. Of what somebody has read both in a thread and outside of any,
    it says the latter.
    """
    contents: dict[int, Content] = {}
    newest = _newest(receipts, ctx)
    for stored in sorted(newest, key=lambda each: each.receipt.thread_id is None):
        add_receipt(contents.setdefault(stored.room_nid, {}), stored)
    return {nid: _event(content) for nid, content in contents.items()}


def _newest(
    receipts: Iterable[StoredReceipt], ctx: SyncContext
) -> Collection[StoredReceipt]:
    newest = {
        (s.room_nid, s.user_id, s.receipt.type, s.receipt.thread_id): s
        for s in receipts
        if s.user_id not in ctx.ignored_users
    }
    return newest.values()


def _event(content: Content) -> bytes:
    return orjson.dumps({"type": _EVENT_TYPE, "content": content})
