"""The section ``join`` of `/sync`."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from tremula.features.sync.parts import RoomPart, RoomRef, RoomSection, SyncContext
from tremula.features.sync.request import StateForm
from tremula.features.sync.room_entries import EntryRequest, RoomEntries
from tremula.infra.journal import Journal
from tremula.protocol.identifiers import RoomId
from tremula.rooms.reader import RoomReader
from tremula.rooms.room import EVENT_TOPIC

# Rooms between two turns of the event loop: an initial sync must not stall others.
_ROOMS_PER_TURN: Final = 8

_PartEvents = dict[int, dict[RoomSection, list[bytes]]]


@dataclass(frozen=True, slots=True)
class JoinedRooms:
    """Finds the joined rooms with something new and builds their entries."""

    journal: Journal
    rooms: RoomReader
    built: RoomEntries
    parts: Sequence[RoomPart]

    async def entries(
        self, ctx: SyncContext, since: int, *, state_form: StateForm
    ) -> dict[RoomId, bytes]:
        """The entry of each room that has any, by room id.

        Finding them costs a dictionary look-up a joined room, and one query for 500
        rooms where *since* is older than what memory knows.
        """
        candidates = await self._candidates(ctx, since)
        new, known = await self._split(ctx, candidates, since)
        events: _PartEvents = {}
        await self._collect(ctx, new, 0, events)
        await self._collect(ctx, known, since, events)
        entries: dict[RoomId, bytes] = {}
        for at, ref in enumerate((*new, *known)):
            if at % _ROOMS_PER_TURN == _ROOMS_PER_TURN - 1:
                await asyncio.sleep(0)
            view = await self.rooms.get_room(ref.room_id)
            request = EntryRequest(
                since=since if at >= len(new) else 0,
                end_pos=view.room_pos,
                state_form=state_form,
                parts=events.get(ref.nid, {}),
            )
            entry = await self.built.joined(ctx, view, request)
            if entry is not None:
                entries[ref.room_id] = entry
        return entries

    async def _candidates(self, ctx: SyncContext, since: int) -> list[RoomRef]:
        admits = ctx.filter.room.rooms.admits
        joined = ctx.joined_rooms
        if not since or ctx.full_state:
            nids: Iterable[int] = joined
        else:
            changed = await self._rooms_with_events(ctx, since)
            for part in self.parts:
                changed.update(await part.changed_rooms(ctx, since))
            nids = sorted(changed & joined.keys())
        return [RoomRef(nid, joined[nid]) for nid in nids if admits(joined[nid])]

    async def _rooms_with_events(self, ctx: SyncContext, since: int) -> set[int]:
        changed_pos = self.journal.changed_pos
        changed = {
            nid for nid in ctx.joined_rooms if changed_pos(EVENT_TOPIC, nid) > since
        }
        if since >= self.journal.boot_position or not changed:
            return changed
        newest = await self.rooms.newest_nids(changed)
        return {nid for nid, event_nid in newest.items() if event_nid > since}

    async def _split(
        self, ctx: SyncContext, refs: Sequence[RoomRef], since: int
    ) -> tuple[list[RoomRef], list[RoomRef]]:
        """Rooms that the client does not know yet, and those that it does."""
        if not since:
            return list(refs), []
        new: list[RoomRef] = []
        known: list[RoomRef] = []
        for ref in refs:
            view = await self.rooms.get_room(ref.room_id)
            was_joined = await self.built.was_joined(ctx, view, since)
            (known if was_joined else new).append(ref)
        return new, known

    async def _collect(
        self, ctx: SyncContext, refs: Sequence[RoomRef], since: int, found: _PartEvents
    ) -> None:
        if not refs:
            return
        for part in self.parts:
            by_room = await part.room_events(ctx, refs, since)
            for nid, events in by_room.items():
                sections = found.setdefault(nid, {})
                sections.setdefault(part.section, []).extend(events)
