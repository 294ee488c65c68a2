"""Unread counts in `/sync` (CS "Receiving notifications")."""

from collections.abc import Collection, Mapping
from functools import lru_cache

import orjson
from msgspec import Struct

from tremula.features.push.unread import (
    Count,
    Unread,
    UnreadCounts,
)
from tremula.features.receipts.service import (
    PRIVATE_TOPIC,
    PUBLIC_TOPIC,
    Receipts,
    StoredReceipt,
)
from tremula.features.sync.parts import SyncContext
from tremula.infra.journal import Journal


class UnreadRooms(Struct, frozen=True):
    """Says of joined rooms how much of them is unread."""

    journal: Journal
    receipts: Receipts
    counts: UnreadCounts
    topics: Collection[str] = (PUBLIC_TOPIC, PRIVATE_TOPIC)

    async def changed_rooms(self, ctx: SyncContext, since: int) -> Collection[int]:
        """Joined rooms in which the user has read something since; what came since are
        events anyway.
        """
        public = self.journal.changed_keys(PUBLIC_TOPIC, since)
        own = self.journal.tail(PRIVATE_TOPIC, ctx.user_id, since)
        if public is None or own is None:
            return await self._changed_in_db(ctx, since)
        changed = {_payload(entry).room_nid for entry in own}
        for nid in ctx.joined_rooms.keys() & public:
            told = self.journal.tail(PUBLIC_TOPIC, nid, since)
            if told is None:
                return await self._changed_in_db(ctx, since)
            if any(_payload(entry).user_id == ctx.user_id for entry in told):
                changed.add(nid)
        return changed & ctx.joined_rooms.keys()

    async def fields(
        self, ctx: SyncContext, room_nids: Collection[int]
    ) -> Mapping[int, bytes]:
        """What the entry of each room says of it, as members of a JSON object."""
        found: dict[int, bytes] = {}
        missing: list[int] = []
        for nid in room_nids:
            unread = self.counts.recall(ctx.user_id, nid)
            if unread is None:
                missing.append(nid)
            else:
                found[nid] = _fields(ctx, unread)
        if missing:
            counted = await self.counts.of(ctx.user_id, missing)
            found |= {nid: _fields(ctx, unread) for nid, unread in counted.items()}
        return found

    async def _changed_in_db(self, ctx: SyncContext, since: int) -> Collection[int]:
        return await self.receipts.read_since(
            ctx.user_id, list(ctx.joined_rooms), after=since, up_to=ctx.now
        )


class MainUnread(Struct, frozen=True):
    """The same outside of threads, for sliding sync."""

    rooms: UnreadRooms

    async def changed_rooms(self, ctx: SyncContext, since: int) -> Collection[int]:
        """As `UnreadRooms.changed_rooms`."""
        return await self.rooms.changed_rooms(ctx, since)

    async def of_rooms(
        self, ctx: SyncContext, room_nids: Collection[int]
    ) -> Mapping[int, Count]:
        """By room nid."""
        found = await self.rooms.counts.of(ctx.user_id, room_nids)
        return {nid: unread.main for nid, unread in found.items()}


def _payload(entry: tuple[int, object]) -> StoredReceipt:
    stored = entry[1]
    assert isinstance(stored, StoredReceipt)
    return stored


def _fields(ctx: SyncContext, unread: Unread) -> bytes:
    if not unread.threads:
        return _main_fields(unread.main)
    if not ctx.filter.room.timeline.unread_thread_notifications:
        return _main_fields(unread.total)
    fields = _main_fields(unread.main)
    threads = b",".join(
        b"%b:%b" % (orjson.dumps(root), _count(count))
        for root, count in unread.threads.items()
    )
    return b'%b,"unread_thread_notifications":{%b}' % (fields, threads)


@lru_cache(maxsize=1_024)
def _main_fields(count: Count) -> bytes:
    """The same for all who have as much unread, of whom there are many."""
    return b'"unread_notifications":%b' % _count(count)


def _count(count: Count) -> bytes:
    return b'{"notification_count":%d,"highlight_count":%d}' % (
        count.notifications,
        count.highlights,
    )
