"""The extensions of an answer (MSC3959 to MSC3961, MSC4308).

Those about rooms are told of the rooms in their scope; what they leave out of others,
the state of the connection remembers.
"""

from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

import orjson
from msgspec import Struct
from msgspec.structs import replace

from tremula.features.sliding_sync.connection_state import (
    LIVE,
    NEVER,
    ConnectionState,
    SentRoom,
    left_out,
    since,
)
from tremula.features.sliding_sync.parts import GlobalEvents, RoomReceipts
from tremula.features.sliding_sync.request import Scope, Wanted
from tremula.features.sliding_sync.room_lists import UserRooms, Windows
from tremula.features.sync.parts import RoomPart, RoomRef, SyncContext
from tremula.features.thread_subscriptions.service import ThreadSubscriptions
from tremula.protocol.identifiers import RoomId
from tremula.rooms.events import StoredEvent

ACCOUNT_DATA: Final = "account_data"
THREAD_SUBSCRIPTIONS: Final = "io.element.msc4308.thread_subscriptions"
THREADS_MAX: Final = 1_000


class Told(Struct):
    """An answer so far: the rooms that the client knows, with what it has of each."""

    ctx: SyncContext
    pos: int
    rooms: UserRooms
    windows: Windows
    sent: dict[int, SentRoom]
    timelines: Mapping[int, Sequence[StoredEvent]]
    extensions: frozenset[str]

    def since(self, extension: str) -> int:
        """After which position what an extension has for no room is news; it is told
        from now on.
        """
        was_told = extension in self.extensions
        self.extensions |= {extension}
        return self.pos if was_told else 0

    def ref(self, room_nid: int) -> RoomRef:
        """The room's two names."""
        return RoomRef(room_nid, self.rooms.room_id(room_nid))

    def in_scope(self, scope: Scope | None) -> set[int]:
        """The rooms that the client knows and an extension is about."""
        if scope is None:
            return set()
        found: set[int] = set()
        for name, room_nids in self.windows.lists.items():
            if scope.lists is None or name in scope.lists:
                found.update(room_nids)
        for room_id, nid in self.windows.subscribed.items():
            if scope.rooms is None or room_id in scope.rooms:
                found.add(nid)
        return found & self.sent.keys()


class RoomExtensions(Struct, frozen=True):
    """Account data, receipts and typing; each section is left out where empty."""

    account_data: GlobalEvents
    room_account_data: RoomPart
    receipts: RoomReceipts
    typing: RoomPart
    threads: ThreadSubscriptions

    async def sections(
        self, told: Told, wanted: Wanted, before: ConnectionState
    ) -> dict[str, bytes]:
        """The news by extension; ``told.sent`` is brought up to date."""
        sections: dict[str, bytes] = {}
        extensions = wanted.extensions
        account_data = await self._account_data(told, extensions.account_data)
        if account_data is not None:
            sections[ACCOUNT_DATA] = account_data
        receipts = await self._receipts(told, extensions.receipts)
        if receipts:
            sections["receipts"] = rooms_json(receipts)
        typing = await self._typing(told, extensions.typing, before)
        if typing:
            sections["typing"] = rooms_json(typing)
        if extensions.thread_subscriptions:
            threads = await self._threads(told, extensions.thread_subscriptions)
            if threads:
                sections[THREAD_SUBSCRIPTIONS] = orjson.dumps(threads)
        return sections

    async def _threads(self, told: Told, limit: int) -> Mapping[str, object]:
        changes = await self.threads.changes(
            told.ctx.user_id,
            since=told.since(THREAD_SUBSCRIPTIONS),
            up_to=told.ctx.now,
            limit=min(limit, THREADS_MAX),
        )
        return changes.to_json("prev_batch")

    async def _account_data(self, told: Told, scope: Scope | None) -> bytes | None:
        events: Sequence[bytes] = ()
        if scope is not None:
            events = await self.account_data.events(told.ctx, told.since(ACCOUNT_DATA))
        changed: Collection[int] = ()
        if told.pos:
            changed = await self.room_account_data.changed_rooms(told.ctx, told.pos)
        scoped = told.in_scope(scope)
        found: dict[RoomId, bytes] = {}
        for after, refs in _by_since(
            told, {nid: told.sent[nid].account_data for nid in scoped}, changed
        ).items():
            news = await self.room_account_data.room_events(told.ctx, refs, after)
            for ref in refs:
                if ref.nid in news:
                    found[ref.room_id] = b"[%b]" % b",".join(news[ref.nid])
        _settle(told, scoped, changed, "account_data")
        if not (events or found):
            return None
        return b'{"global":[%b],"rooms":{%b}}' % (b",".join(events), members(found))

    async def _receipts(self, told: Told, scope: Scope | None) -> dict[RoomId, bytes]:
        ctx = told.ctx
        changed: Collection[int] = ()
        if told.pos:
            changed = await self.receipts.changed_rooms(ctx, told.pos)
        scoped = told.in_scope(scope) & ctx.joined_rooms.keys()
        new = {n for n in scoped if told.sent[n].receipts == NEVER}
        found: dict[RoomId, bytes] = {}
        if new:
            timelines = {nid: told.timelines.get(nid, ()) for nid in new}
            for nid, event in (
                await self.receipts.of_timelines(ctx, timelines)
            ).items():
                found[told.rooms.room_id(nid)] = event
        sent = {nid: told.sent[nid].receipts for nid in scoped - new}
        for after, refs in _by_since(told, sent, changed).items():
            for nid, event in (await self.receipts.of_rooms(ctx, refs, after)).items():
                found[told.rooms.room_id(nid)] = event
        _settle(told, scoped, changed, "receipts")
        return found

    async def _typing(
        self, told: Told, scope: Scope | None, before: ConnectionState
    ) -> dict[RoomId, bytes]:
        ctx = told.ctx
        scoped = told.in_scope(scope) & ctx.joined_rooms.keys()
        if not scoped:
            return {}
        found: dict[RoomId, bytes] = {}
        changed = scoped & set(await self.typing.changed_rooms(ctx, told.pos))
        new = {nid for nid in scoped if nid not in before.rooms}
        for nids, after in ((new, 0), (changed - new, told.pos)):
            refs = [told.ref(nid) for nid in nids]
            news = await self.typing.room_events(ctx, refs, after) if refs else {}
            for nid, events in news.items():
                # There is one such event a room.
                found[told.rooms.room_id(nid)] = events[-1]
        return found


def _by_since(
    told: Told, sent: Mapping[int, int], changed: Collection[int]
) -> dict[int, list[RoomRef]]:
    """The rooms that may have news, by the position after which it is news."""
    found: dict[int, list[RoomRef]] = {}
    for nid, up_to in sent.items():
        if up_to != LIVE or nid in changed:
            found.setdefault(since(up_to, told.pos), []).append(told.ref(nid))
    return found


def _settle(
    told: Told, scoped: AbstractSet[int], changed: Collection[int], field: str
) -> None:
    """Note what the client has now, and what was left out."""
    for nid in scoped:
        if getattr(told.sent[nid], field) != LIVE:
            told.sent[nid] = replace(told.sent[nid], **{field: LIVE})
    for nid in changed:
        sent = told.sent.get(nid)
        if sent is not None and nid not in scoped:
            now = left_out(getattr(sent, field), told.pos)
            if now != getattr(sent, field):
                told.sent[nid] = replace(sent, **{field: now})


def rooms_json(rooms: Mapping[RoomId, bytes]) -> bytes:
    """An extension that has one value a room."""
    return b'{"rooms":{%b}}' % members(rooms)


def members(entries: Mapping[RoomId, bytes]) -> bytes:
    """The members of a JSON object."""
    return b",".join(
        b"%b:%b" % (orjson.dumps(key), value) for key, value in entries.items()
    )
