"""Who may see which event of a room (CS module "Room History Visibility")."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tremula.infra.db import Reader
from tremula.protocol.history_visibility import Viewer
from tremula.protocol.identifiers import UserId
from tremula.protocol.room_state import HISTORY_VISIBILITY, StateKey, member_key
from tremula.rooms import events_storage, storage
from tremula.rooms.event_store import EventStore
from tremula.rooms.events import StoredEvent
from tremula.rooms.view import History, RoomView, history_value

__all__ = ["Viewer", "Visibility", "visible"]


@dataclass(frozen=True, slots=True)
class Visibility:
    """Makes viewers."""

    db: Reader
    events: EventStore

    async def viewer(
        self, view: RoomView, user_id: UserId, *, oldest_pos: int = 0
    ) -> Viewer:
        """*user_id* as a viewer of events from *oldest_pos* on.

        No query where the user has been joined since before *oldest_pos*, nor for
        keys that were asked for lately; else one or two for each key.
        """
        member = view.state.get(member_key(user_id))
        if (
            member is not None
            and member.content["membership"] == "join"
            and member.room_pos < oldest_pos
        ):
            return Viewer(user_id, [(member.room_pos, "join")], [])
        return Viewer(
            user_id,
            await self._history(view, member_key(user_id)),
            await self._history(view, HISTORY_VISIBILITY),
        )

    async def filter(
        self, view: RoomView, user_id: UserId, events: Sequence[StoredEvent]
    ) -> list[StoredEvent]:
        """Those of *events* that *user_id* may see, in their order."""
        if not events:
            return []
        oldest = min(event.room_pos for event in events)
        viewer = await self.viewer(view, user_id, oldest_pos=oldest)
        return visible(viewer, events)

    async def membership_at_nid(
        self, view: RoomView, user_id: UserId, event_nid: int
    ) -> str:
        """*user_id*'s membership at a journal position; ``leave`` before any."""
        return (await self.memberships_from_nid(view, user_id, event_nid))[0]

    async def memberships_from_nid(
        self, view: RoomView, user_id: UserId, event_nid: int
    ) -> Sequence[str]:
        """*user_id*'s membership at a journal position, and each one after it."""
        at_pos = await events_storage.newest_pos_up_to(
            self.db, view.nid, event_nid=event_nid
        )
        first, later = "leave", []
        for pos, membership in await self._stored(view, member_key(user_id)):
            if pos <= at_pos:
                first = membership
            else:
                later.append(membership)
        return [first, *later]

    async def _history(self, view: RoomView, key: StateKey) -> History:
        current = view.state.get(key)
        if current is None:
            return []
        known = view.histories.get(key)
        if known is not None:
            return known
        history = await self._stored(view, key)
        # What was committed between the query and here is in the view's state.
        newest = view.state.get(key)
        if newest is not None and history and history[-1][0] == newest.room_pos:
            view.remember_history(key, history)
        return history

    async def _stored(self, view: RoomView, key: StateKey) -> History:
        changes = await storage.changes_of_key(self.db, view.nid, key)
        found = await self.events.by_nids(nid for _, nid in changes if nid)
        return [(pos, history_value(key, found.get(nid))) for pos, nid in changes]


def visible(viewer: Viewer, events: Iterable[StoredEvent]) -> list[StoredEvent]:
    """Those of *events* that *viewer* may see."""
    return [event for event in events if viewer.can_see(event)]
