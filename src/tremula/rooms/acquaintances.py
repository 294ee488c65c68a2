"""Whom somebody may know of: by a room that they share, or one that is open to all."""

from collections.abc import Collection, Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from msgspec import Struct

from tremula.infra.db import Reader
from tremula.protocol.identifiers import RoomId, UserId
from tremula.rooms import memberships_storage
from tremula.rooms.event_store import EventStore
from tremula.rooms.events import StoredEvent
from tremula.rooms.memberships import Memberships

_AT_ONCE: Final = 500


class Acquaintances(Struct, frozen=True):
    """Answers for our users; of others as far as we are in their rooms."""

    db: Reader
    events: EventStore
    memberships: Memberships

    async def mutual_rooms(
        self, user_id: UserId, other: UserId
    ) -> Sequence[tuple[int, RoomId]]:
        """The rooms that both are joined to, by number and ID, in one order."""
        mine = await self.memberships.joined_by(user_id)
        theirs = await memberships_storage.our_rooms_with(self.db, [other])
        nids = {nid for _, nid in theirs}
        return [(nid, mine[nid]) for nid in sorted(nids & mine.keys())]

    async def sharing_with(
        self, user_id: UserId, others: Sequence[UserId]
    ) -> dict[UserId, StoredEvent]:
        """Those of *others*, at most 500, who are in a room with *user_id*, and a
        member event of each that *user_id* can see.
        """
        mine = await self.memberships.joined_by(user_id)
        return await self._member_events(mine.keys(), others)

    async def in_open_rooms(
        self, user_ids: Sequence[UserId]
    ) -> dict[UserId, StoredEvent]:
        """Those of the users, at most 500, who are in a room that anybody may join or
        read, and a member event of each there.
        """
        rooms = await memberships_storage.our_rooms_with(self.db, user_ids)
        is_open = await self._open_among({nid for _, nid in rooms})
        return await self._member_events(is_open, user_ids)

    async def _member_events(
        self, room_nids: Iterable[int], user_ids: Sequence[UserId]
    ) -> dict[UserId, StoredEvent]:
        nids: dict[UserId, int] = {}
        for part in _parts(list(room_nids)):
            joins = await memberships_storage.newest_joins(self.db, part, user_ids)
            for user_id, nid in joins.items():
                nids[user_id] = max(nid, nids.get(user_id, 0))
        found = await self.events.by_nids(nids.values())
        return {user_id: found[nid] for user_id, nid in nids.items() if nid in found}

    async def _open_among(self, room_nids: Collection[int]) -> AbstractSet[int]:
        rooms: dict[int, int] = {}
        for part in _parts(sorted(room_nids)):
            rooms |= await memberships_storage.openness_nids(self.db, part)
        found = await self.events.by_nids(rooms)
        return {rooms[nid] for nid, event in found.items() if _says_open(event)}


def _says_open(event: StoredEvent) -> bool:
    """CS searchUserDirectory: "a `public` join rule", "a `world_readable` history
    visibility".
    """
    return (
        event.content.get("join_rule") == "public"
        or event.content.get("history_visibility") == "world_readable"
    )


def _parts(nids: Sequence[int]) -> Iterable[Sequence[int]]:
    return (nids[at : at + _AT_ONCE] for at in range(0, len(nids), _AT_ONCE))
