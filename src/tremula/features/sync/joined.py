"""The section ``join`` of `/sync`."""

import asyncio
from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from msgspec import Struct

from tremula.features.sync.parts import (
    Parts,
    RoomPart,
    RoomRef,
    RoomSection,
    SyncContext,
    UnreadRooms,
)
from tremula.features.sync.request import StateForm
from tremula.features.sync.room_entries import EntryRequest, RoomEntries
from tremula.infra.journal import Journal
from tremula.protocol.identifiers import RoomId
from tremula.rooms.partial import COMPLETED_TOPIC
from tremula.rooms.reader import RoomReader
from tremula.rooms.room import EVENT_TOPIC

# Rooms between two turns of the event loop: an initial sync must not stall others.
_ROOMS_PER_TURN: Final = 8

_PartEvents = dict[int, dict[RoomSection, list[bytes]]]


class JoinedRooms(Struct, frozen=True):
    """Finds the joined rooms with something new and builds their entries."""

    journal: Journal
    rooms: RoomReader
    built: RoomEntries
    parts: Parts[RoomPart]
    unread: UnreadRooms

    async def entries(
        self, ctx: SyncContext, since: int, *, state_form: StateForm, stayed: bool
    ) -> dict[RoomId, bytes]:
        """The entry of each room that has any, by room id.

        Finding them costs what changed, of which the first who asks counts the rooms;
        nothing where all news is of something else; and one query for 500 rooms where
        *since* is older than what memory knows. One who *stayed* in all rooms since,
        and is to be shown what others were, costs a look at a dict a room.
        """
        if self._are_silent(ctx):
            return {}
        if ctx.only_events_in is None:
            changed = await self._changed(ctx, since)
        else:
            changed = _Changed(ctx.joined_rooms.keys() & ctx.only_events_in)
        if not changed.nids:
            return {}
        entries: dict[int, bytes] | None = None
        if stayed and not (changed.by_part or changed.read):
            # There is nothing but events.
            entries = self.built.shared.find_all(ctx, changed.nids, since, state_form)
        if entries is None:
            entries = await self._build(ctx, changed, since, state_form)
        unread = await self.unread.fields(ctx, entries)
        found: dict[RoomId, bytes] = {}
        for nid, entry in entries.items():
            fields = unread.get(nid)
            # The entry is the same for others, and the fields are the user's own.
            whole = entry if fields is None else b"%b,%b}" % (entry[:-1], fields)
            found[ctx.joined_rooms[nid]] = whole
        return found

    def _are_silent(self, ctx: SyncContext) -> bool:
        """Whether no room has news: what there is, is of the user or the device."""
        heard = ctx.heard
        return (
            heard is not None
            and EVENT_TOPIC not in heard
            and COMPLETED_TOPIC not in heard
            and heard.isdisjoint(self.parts.topics)
            and heard.isdisjoint(self.unread.topics)
            and not ctx.full_state
        )

    async def _build(
        self, ctx: SyncContext, changed: "_Changed", since: int, state_form: StateForm
    ) -> dict[int, bytes]:
        new, known = await self._split(ctx, changed, since)
        events: _PartEvents = {}
        if new:
            for part in self.parts.all:
                await _collect(part, ctx, new, 0, events)
        for part, part_rooms in changed.by_part:
            news = [ref for ref in known if ref.nid in part_rooms]
            if news:
                await _collect(part, ctx, news, since, events)
        entries: dict[int, bytes] = {}
        for at, ref in enumerate((*new, *known)):
            if at % _ROOMS_PER_TURN == _ROOMS_PER_TURN - 1:
                await asyncio.sleep(0)
            view = await self.rooms.get_room(ref.room_id)
            if view.partial is not None and not _takes_partial_state(ctx):
                continue
            request = EntryRequest(
                since=since if at >= len(new) else 0,
                end_pos=view.room_pos,
                state_form=state_form,
                parts=events.get(ref.nid, {}),
                was_read=ref.nid in changed.read,
            )
            entry = await self.built.joined(ctx, view, request)
            if entry is not None:
                entries[ref.nid] = entry
        return entries

    async def _changed(self, ctx: SyncContext, since: int) -> "_Changed":
        joined = ctx.joined_rooms.keys()
        if not since:
            return _Changed(joined)
        heard = ctx.heard
        by_part: Sequence[tuple[RoomPart, Collection[int]]] = ()
        if speaking := self.parts.speaking(heard):
            by_part = [
                (part, await part.changed_rooms(ctx, since)) for part in speaking
            ]
        read: Collection[int] = ()
        if heard is None or not heard.isdisjoint(self.unread.topics):
            read = await self.unread.changed_rooms(ctx, since)
        if ctx.full_state:
            return _Changed(joined, by_part, read)
        nids = await self._rooms_with_events(ctx, since)
        if read or by_part:
            nids.update(read, *(part_rooms for _, part_rooms in by_part))
            nids &= joined
        return _Changed(nids, by_part, read)

    async def _rooms_with_events(self, ctx: SyncContext, since: int) -> set[int]:
        joined = ctx.joined_rooms.keys()
        with_events = self.journal.changed_keys(EVENT_TOPIC, since)
        completed: AbstractSet[object] | None = frozenset()
        if ctx.may_have(COMPLETED_TOPIC):
            completed = self.journal.changed_keys(COMPLETED_TOPIC, since)
        if with_events is None or completed is None:
            newest = await self.rooms.newest_nids(joined)
            return {nid for nid, event_nid in newest.items() if event_nid > since}
        found = joined & with_events
        return found | (joined & completed) if completed else found

    async def _split(
        self, ctx: SyncContext, changed: "_Changed", since: int
    ) -> tuple[list[RoomRef], list[RoomRef]]:
        """Wanted rooms that the client does not know yet, and those that it does."""
        wanted = ctx.filter.room.rooms
        was_joined = self.built.visibility.was_joined
        new: list[RoomRef] = []
        known: list[RoomRef] = []
        for nid in sorted(changed.nids):
            room_id = ctx.joined_rooms[nid]
            if not wanted.admits(room_id):
                continue
            is_known = False
            if since:
                view = self.rooms.find_loaded(room_id)
                if view is None:
                    view = await self.rooms.get_room(room_id)
                is_known = await was_joined(view, ctx.user_id, since)
            (known if is_known else new).append(RoomRef(nid, room_id))
        return new, known


def _takes_partial_state(ctx: SyncContext) -> bool:
    """Whether the client does not take the members that it is sent for all there are,
    whom it would encrypt for.
    """
    return ctx.filter.room.state.lazy_load_members


class _Changed(Struct, frozen=True):
    """Rooms with something new; ``by_part`` of the parts that may have any. In those of
    ``read`` less is unread.
    """

    nids: AbstractSet[int]
    by_part: Sequence[tuple[RoomPart, Collection[int]]] = ()
    read: Collection[int] = ()


async def _collect(
    part: RoomPart,
    ctx: SyncContext,
    refs: Sequence[RoomRef],
    since: int,
    found: _PartEvents,
) -> None:
    for nid, events in (await part.room_events(ctx, refs, since)).items():
        found.setdefault(nid, {}).setdefault(part.section, []).extend(events)
