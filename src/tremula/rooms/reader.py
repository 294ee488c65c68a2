"""Reading rooms: committed state only."""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from tremula.infra.db import Reader
from tremula.protocol.errors import Forbidden, NotFound
from tremula.protocol.identifiers import RoomId, UserId
from tremula.protocol.room_state import StateKey, member_key
from tremula.rooms import events_storage, partial_storage, storage
from tremula.rooms.event_store import EventStore
from tremula.rooms.events import StoredEvent
from tremula.rooms.partial import PATIENCE_S
from tremula.rooms.registry import RoomRegistry
from tremula.rooms.view import RoomView


class RoomReader(Struct, frozen=True):
    """Rooms as their members see them."""

    db: Reader
    registry: RoomRegistry
    events: EventStore

    async def find_room(self, room_id: RoomId) -> RoomView | None:
        """The room of this id, if this server knows it."""
        room = await self.registry.find(room_id)
        return room.view if room else None

    def find_loaded(self, room_id: RoomId) -> RoomView | None:
        """The room of this id if it is in memory, as one that just changed is."""
        room = self.registry.find_loaded(room_id)
        return room.view if room else None

    def loaded(self) -> list[RoomView]:
        """The rooms in memory: those that were in use lately."""
        return [room.view for room in self.registry.loaded()]

    async def get_room(self, room_id: RoomId) -> RoomView:
        """The room of this id.

        Raises:
            NotFound: this server knows no such room.
        """
        view = await self.find_room(room_id)
        if view is None:
            raise NotFound("Unknown room.")
        return view

    async def whole_room(
        self, room_id: RoomId, *, patience_s: float = PATIENCE_S
    ) -> RoomView:
        """As `get_room`, once all of its members are known.

        Raises:
            NotFound: this server knows no such room, or left before it knew them.
            Unknown: (504) that takes too long.
        """
        view = await self.get_room(room_id)
        if view.partial is None:
            return view
        if self.registry.own.name not in view.joined_servers:
            raise NotFound("This server has left before it knew all of the room.")
        await self.registry.completions.wait(view.nid, patience_s=patience_s)
        return await self.get_room(room_id)

    async def partial_rooms(self) -> list[RoomId]:
        """The rooms of whose state a part is missing, or where events wait for it."""
        return await partial_storage.partial_rooms(self.db)

    async def get_joined(self, room_id: RoomId, user_id: UserId) -> RoomView:
        """The room, which *user_id* must be joined to.

        Raises:
            Forbidden: there is no such room, or the user is not in it.
        """
        view = await self.find_room(room_id)
        if view is None or not view.is_joined(user_id):
            raise Forbidden(f"{user_id} is not in room {room_id}.")
        return view

    async def get_joined_with(
        self, target: UserId, room_id: RoomId, user_id: UserId
    ) -> RoomView:
        """As `get_joined`, once it is known what *target* is to the room.

        Raises:
            Forbidden: there is no such room, or the user is not in it.
            Unknown: (504) that takes too long.
        """
        view = await self.get_joined(room_id, user_id)
        return view if view.knows(target) else await self.whole_room(room_id)

    async def room_ids(self, nids: Iterable[int]) -> dict[int, RoomId]:
        """The ids of rooms by number."""
        wanted = list(nids)
        found: dict[int, RoomId] = {}
        for start in range(0, len(wanted), 500):
            found |= await storage.room_ids(self.db, wanted[start : start + 500])
        return found

    async def state_events(self, view: RoomView) -> Sequence[StoredEvent]:
        """The whole current state."""
        nids = [event.event_nid for event in view.state.values()]
        found = await self.events.by_nids(nids)
        return [found[nid] for nid in nids]

    async def state_at(self, view: RoomView, room_pos: int) -> dict[StateKey, int]:
        """The event nids of the state after *room_pos*.

        From memory if it has not changed since, else it reads the room's changes.
        """
        if room_pos >= view.state_pos:
            state = view.state
            return {(e.type, e.state_key): e.event_nid for e in state.values()}
        return await storage.state_nids_at(self.db, view.nid, room_pos=room_pos)

    async def state_changes(
        self, view: RoomView, *, since_nid: int, before_pos: int
    ) -> dict[StateKey, int]:
        """The event nids of the keys that changed after a journal position and
        before a place in the room.
        """
        after_pos = await events_storage.newest_pos_up_to(
            self.db, view.nid, event_nid=since_nid
        )
        return await self.state_changes_between(
            view, after_pos=after_pos, before_pos=before_pos
        )

    async def state_changes_between(
        self, view: RoomView, *, after_pos: int, before_pos: int
    ) -> dict[StateKey, int]:
        """The event nids of the keys that changed between two places in the room."""
        return await storage.state_changes_between(
            self.db, view.nid, after_pos=after_pos, before_pos=before_pos
        )

    async def room_pos_at(self, room_nid: int, pos: int) -> int:
        """The place of the room's newest live event at a journal position."""
        return await events_storage.newest_pos_up_to(self.db, room_nid, event_nid=pos)

    async def newest_nids(self, room_nids: Iterable[int]) -> dict[int, int]:
        """The journal position of the newest live event of each room; one query for
        500 rooms.
        """
        wanted = list(room_nids)
        found: dict[int, int] = {}
        for start in range(0, len(wanted), 500):
            found |= await events_storage.newest_nids(
                self.db, wanted[start : start + 500]
            )
        return found

    async def other_state_at(
        self, view: RoomView, room_pos: int
    ) -> dict[StateKey, int]:
        """The event nids of the state but its members after *room_pos*.

        No query for keys that have not changed since.
        """
        found: dict[StateKey, int] = {}
        changed: dict[str, list[str]] = {}
        for key, event in view.other_state.items():
            if event.room_pos <= room_pos:
                found[key] = event.event_nid
            else:
                changed.setdefault(key[0], []).append(key[1])
        for event_type, state_keys in changed.items():
            for start in range(0, len(state_keys), 500):
                nids = await storage.nids_of_keys_at(
                    self.db,
                    view.nid,
                    event_type,
                    state_keys[start : start + 500],
                    room_pos=room_pos,
                )
                found |= {(event_type, key): nid for key, nid in nids.items()}
        return found

    async def members_at(
        self, view: RoomView, user_ids: Sequence[UserId], *, room_pos: int
    ) -> dict[str, int]:
        """The member events that users had after *room_pos* (lazy loading)."""
        found: dict[str, int] = {}
        missing: list[str] = []
        for user_id in user_ids:
            event = view.state.get(member_key(user_id))
            if event is None:
                continue
            if event.room_pos <= room_pos:
                found[user_id] = event.event_nid
            else:
                missing.append(user_id)
        for start in range(0, len(missing), 500):
            found |= await storage.nids_of_keys_at(
                self.db,
                view.nid,
                "m.room.member",
                missing[start : start + 500],
                room_pos=room_pos,
            )
        return found
