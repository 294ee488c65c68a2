"""Who has come into a room or left it since a position of the journal."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Final

from msgspec import Struct

from tremula.infra.db import Reader
from tremula.protocol.identifiers import UserId
from tremula.rooms import events_storage, storage
from tremula.rooms.event_store import EventStore
from tremula.rooms.state import MEMBER
from tremula.rooms.view import RoomView

_AT_ONCE: Final = 500


class MembersThen(Struct, frozen=True):
    """Who was joined to a room at an earlier time, told by who is now.

    Of those ``changed`` since, ``joined`` were; all others are what they were.
    ``changed`` counts how often: who has left and come back did so more than once.
    """

    view: RoomView
    changed: Mapping[UserId, int]
    joined: AbstractSet[UserId]

    def had(self, user_id: UserId) -> bool:
        """Whether *user_id* was joined then."""
        if user_id in self.changed:
            return user_id in self.joined
        return self.view.is_joined(user_id)

    def all(self) -> AbstractSet[UserId]:
        """Everyone who was joined then."""
        return (self.view.joined_members() - self.changed.keys()) | self.joined

    def come(self) -> AbstractSet[UserId]:
        """Everyone who is there now and was not then, or not at times since."""
        stayed = {each for each in self.joined if self.changed[each] == 1}
        return (self.changed.keys() & self.view.joined_members()) - stayed

    def gone(self) -> AbstractSet[UserId]:
        """Everyone who was joined then, and is not now."""
        return self.joined - self.view.joined_members()

    def stayed_among(self, user_ids: AbstractSet[UserId]) -> AbstractSet[UserId]:
        """Those of *user_ids* whose membership has always been that they are joined."""
        return (user_ids & self.view.joined_members()) - self.changed.keys()


class MemberChanges(Struct, frozen=True):
    """Reads them from the history of the state."""

    db: Reader
    events: EventStore

    async def since(self, view: RoomView, pos: int) -> MembersThen:
        """The members at the journal position *pos*; costs what has changed since."""
        room_pos = await events_storage.newest_pos_up_to(
            self.db, view.nid, event_nid=pos
        )
        changed = await storage.member_changes_after(
            self.db, view.nid, room_pos=room_pos
        )
        user_ids = list(changed)
        joined: set[UserId] = set()
        for start in range(0, len(user_ids), _AT_ONCE):
            nids = await storage.nids_of_keys_at(
                self.db,
                view.nid,
                MEMBER,
                user_ids[start : start + _AT_ONCE],
                room_pos=room_pos,
            )
            events = await self.events.by_nids(nids.values())
            joined |= {
                UserId(user_id)
                for user_id, nid in nids.items()
                if events[nid].content.get("membership") == "join"
            }
        return MembersThen(view, changed, joined)
