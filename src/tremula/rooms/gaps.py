"""Asks other servers for what received events name and this server does not have."""

import asyncio
from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from tremula.infra.db import Reader
from tremula.infra.journal import Journal
from tremula.protocol.events import BuiltEvent, Event
from tremula.protocol.identifiers import EventId, ServerName
from tremula.protocol.received_events import ReceivedEvent
from tremula.protocol.room_state import CREATE, StateKey
from tremula.rooms import graph_storage
from tremula.rooms.outliers import RoomIdentity, check_outliers
from tremula.rooms.peers import PeerFailed, Peers, RoomAt
from tremula.rooms.room import Room
from tremula.rooms.topology import all_named, connected_among, ordered
from tremula.rooms.whole_events import nodes_of, portions, whole_events

MISSING_EVENTS_MAX: Final = 50
"""How many events before a received one are asked for."""

_SINGLY_MAX: Final = 20
"""Up to how many unknown events of a state are asked for one by one."""

_MISSING_NAMED_MAX: Final = 20
_STORED_AT_ONCE: Final = 1000


class ToldState(Struct, frozen=True):
    """A state as a server tells it: its event IDs, and those events that are new."""

    event_ids: Sequence[EventId]
    fetched: Sequence[ReceivedEvent]


class Gaps(Struct, frozen=True):
    """Fills gaps, with one server's help. *peers* is None without federation."""

    db: Reader
    journal: Journal
    peers: Peers | None

    async def older_events(
        self, room: Room, event: Event, origin: ServerName
    ) -> list[ReceivedEvent]:
        """Events between what is here and *event*, the oldest first.

        Raises:
            PeerFailed: *origin* does not help.
        """
        answer = await self._asked.get_missing_events(
            origin,
            _room_at(room),
            earliest=await self._earliest(room),
            latest=[event.event_id],
            limit=MISSING_EVENTS_MAX,
        )
        answer = answer[:MISSING_EVENTS_MAX]
        between = connected_among(event.prev_events, answer, _event_of)
        return ordered(between, _event_of, all_named)

    async def _earliest(self, room: Room) -> list[EventId]:
        """Where to stop: the extremities, and what is missing before known events, as
        that is history.
        """
        missing = await graph_storage.newest_missing(
            self.db, room.view.nid, up_to=room.head.room_pos, limit=_MISSING_NAMED_MAX
        )
        extremities = [each.event_id for each in room.head.extremities]
        return [*extremities, *(event_id for event_id, _ in missing)]

    async def fetch_auth_events(
        self, room: Room, event: Event, origin: ServerName
    ) -> None:
        """Store what *origin* says is the auth chain of *event*.

        Raises:
            PeerFailed: *origin* does not help.
        """
        chain = await self._asked.event_auth(origin, _room_at(room), event.event_id)
        await self._store(room, [each.stored for each in chain])

    async def state_before(
        self, room: Room, event: Event, origin: ServerName
    ) -> dict[StateKey, int]:
        """The state before *event* as *origin* knows it; what was not here is stored.

        What *origin* names but does not have, or what is rejected, is left out.

        Raises:
            PeerFailed: *origin* does not help, or the state can't be this room's.
        """
        return await self.store_state(
            room, await self.told_state(room, event.event_id, origin)
        )

    async def told_state(
        self, room: Room, event_id: EventId, origin: ServerName
    ) -> ToldState:
        """Ask *origin* for the state before an event. Nothing is stored.

        Raises:
            PeerFailed: *origin* does not help.
        """
        at = _room_at(room)
        ids = await self._asked.state_ids(origin, at, event_id)
        known = await nodes_of(self.db, room.view.nid, [*ids.state, *ids.auth_chain])
        unknown = [
            each
            for each in dict.fromkeys([*ids.state, *ids.auth_chain])
            if each not in known
        ]
        if len(unknown) > _SINGLY_MAX:
            fetched = list(await self._asked.state(origin, at, event_id))
        else:
            fetched = [
                found
                for each in unknown
                if (found := await self._asked.event(origin, at, each)) is not None
            ]
        return ToldState(ids.state, fetched)

    async def store_state(self, room: Room, told: ToldState) -> dict[StateKey, int]:
        """Store what is new of a told state, as far as it is to be believed; the state.

        Raises:
            PeerFailed: it can't be this room's.
        """
        if told.fetched:
            await self._store(room, [each.stored for each in told.fetched])
        return await self._state_of(room, told.event_ids)

    async def _state_of(
        self, room: Room, event_ids: Sequence[EventId]
    ) -> dict[StateKey, int]:
        state: dict[StateKey, int] = {}
        for part in portions(event_ids):
            for node in (await nodes_of(self.db, room.view.nid, part)).values():
                if not node.is_in_state:
                    continue
                key = (node.type, node.state_key or "")
                if state.setdefault(key, node.nid) != node.nid:
                    raise PeerFailed("a state with two events at one key")
            await asyncio.sleep(0)
        if state.get(CREATE) != room.view.create.event_nid:
            raise PeerFailed("a state with another create event")
        return state

    async def _store(self, room: Room, events: Sequence[BuiltEvent]) -> None:
        view = room.view
        (create,) = await whole_events(self.db, [view.create.event_nid])
        identity = RoomIdentity(view.nid, view.room_id, view.version, create.event)
        outliers = await check_outliers(self.db, identity, events)
        for start in range(0, len(outliers.new), _STORED_AT_ONCE):
            # Each after its auth events, so that a part of them may be stored alone.
            part = outliers.new[start : start + _STORED_AT_ONCE]
            unit = self.journal.unit()
            replace(outliers, new=part).insert(unit, view.nid)
            await self.journal.commit(unit)

    @property
    def _asked(self) -> Peers:
        if self.peers is None:
            raise PeerFailed("this server does not federate")
        return self.peers


def _room_at(room: Room) -> RoomAt:
    return RoomAt(room.view.room_id, room.version)


def _event_of(received: ReceivedEvent) -> Event:
    return received.event
