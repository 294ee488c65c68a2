"""Who may see which event of a room (CS module "Room History Visibility")."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from tremula.infra.db import Reader
from tremula.protocol.identifiers import UserId
from tremula.protocol.room_state import HISTORY_VISIBILITY, StateKey, member_key
from tremula.rooms import storage
from tremula.rooms.event_store import EventStore
from tremula.rooms.events import StoredEvent
from tremula.rooms.state import MEMBER
from tremula.rooms.view import History, RoomView, visibility_value

_ANYTHING: Final = "shared"


@dataclass(frozen=True, slots=True)
class Viewer:
    """What one user may see of one room, and what they were at any time.

    Holds the changes of the user's membership and of the history visibility, so
    that an event costs two bisections and no query.
    """

    user_id: UserId
    memberships: History
    visibilities: History

    def membership_at(self, event: StoredEvent) -> str:
        """The user's membership at *event*, including what it changed itself."""
        return _value_at(self.memberships, event.room_pos, "leave")

    def can_see(self, event: StoredEvent) -> bool:
        """Whether the state at *event* lets the user see it."""
        pos = event.room_pos
        visibilities = {_value_before(self.visibilities, pos, _ANYTHING)}
        memberships = {_value_before(self.memberships, pos, "leave")}
        # "should be allowed to see the event if the history_visibility before or
        # after the event would allow them", and likewise their own member events.
        if event.state_key is not None:
            if event.type == HISTORY_VISIBILITY[0] and event.state_key == "":
                visibilities.add(_value_at(self.visibilities, pos, _ANYTHING))
            elif event.type == MEMBER and event.state_key == self.user_id:
                memberships.add(_value_at(self.memberships, pos, "leave"))
        if "world_readable" in visibilities or "join" in memberships:
            return True
        if "shared" in visibilities and self._joined_after(pos):
            return True
        return "invite" in memberships and "invited" in visibilities

    def _joined_after(self, pos: int) -> bool:
        newer = self.memberships[bisect_right(self.memberships, pos, key=_pos) :]
        return any(value == "join" for _, value in newer)


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

    async def _history(self, view: RoomView, key: StateKey) -> History:
        current = view.state.get(key)
        if current is None:
            return []
        known = view.histories.get(key)
        if known is not None:
            return known
        changes = await storage.changes_of_key(self.db, view.nid, key)
        found = await self.events.by_nids(nid for _, nid in changes)
        history = [(pos, _history_value(found[nid])) for pos, nid in changes]
        # What was committed between the query and here is in the view's state.
        newest = view.state.get(key)
        if newest is not None and changes and changes[-1][1] == newest.event_nid:
            view.remember_history(key, history)
        return history


def visible(viewer: Viewer, events: Iterable[StoredEvent]) -> list[StoredEvent]:
    """Those of *events* that *viewer* may see."""
    return [event for event in events if viewer.can_see(event)]


def _history_value(event: StoredEvent) -> str:
    if event.type == MEMBER:
        return str(event.content.get("membership"))
    return visibility_value(event.content)


def _pos(change: tuple[int, str]) -> int:
    return change[0]


def _value_at(history: History, pos: int, default: str) -> str:
    index = bisect_right(history, pos, key=_pos)
    return history[index - 1][1] if index else default


def _value_before(history: History, pos: int, default: str) -> str:
    index = bisect_left(history, pos, key=_pos)
    return history[index - 1][1] if index else default
