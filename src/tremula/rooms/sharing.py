"""Who shares a room with whom, and which servers do."""

from collections.abc import Collection, Iterator
from collections.abc import Set as AbstractSet
from typing import Final

from msgspec import Struct

from tremula.infra.db import Reader
from tremula.protocol.identifiers import ServerName, UserId
from tremula.rooms import storage
from tremula.rooms.memberships import Memberships
from tremula.rooms.reader import RoomReader

_AT_ONCE: Final = 500


class OwnUsersInRooms(Struct, frozen=True):
    """Those of our users who are in one of some rooms, to be woken.

    None for the rooms: they are not known, so that anybody may be in one of them.
    Nobody is collected and no room loaded: it is looked at who waits, and the rooms of
    those are in memory.
    """

    memberships: Memberships
    room_nids: AbstractSet[int] | None

    def __len__(self) -> int:
        # An upper bound; it decides only who goes through whom.
        return len(self.memberships.loaded_users)

    def __iter__(self) -> Iterator[UserId]:
        return (each for each in self.memberships.loaded_users if each in self)

    def __contains__(self, user_id: object) -> bool:
        if self.room_nids is None or not isinstance(user_id, str):
            return True
        joined = self.memberships.find_joined(UserId(user_id))
        return joined is None or not self.room_nids.isdisjoint(joined.keys())


class Shared(Struct, frozen=True):
    """The rooms of another server's user that we are in, too. That has been so at
    least since the journal position ``since_pos``, in one of them or another.
    """

    room_nids: AbstractSet[int]
    since_pos: int


class SharedRooms(Struct, frozen=True):
    """Answers for users of ours and, as far as we are in their rooms, of others."""

    own: ServerName
    db: Reader
    reader: RoomReader
    memberships: Memberships

    async def with_remote(self, user_ids: Collection[UserId]) -> dict[UserId, Shared]:
        """What we share with each of these users of other servers; others are absent.

        Costs one query for 500 users, and what their rooms are.
        """
        wanted = list(user_ids)
        found: dict[UserId, Shared] = {}
        for start in range(0, len(wanted), _AT_ONCE):
            part = wanted[start : start + _AT_ONCE]
            for user_id, nid, pos in await storage.rooms_shared_by(self.db, part):
                before = found.get(user_id)
                if before is None:
                    found[user_id] = Shared({nid}, pos)
                else:
                    since = min(pos, before.since_pos)
                    found[user_id] = Shared(before.room_nids | {nid}, since)
        return found

    async def sharing_with(
        self, user_id: UserId, others: Collection[UserId]
    ) -> set[UserId]:
        """Those of *others* who are in a room with our user *user_id*.

        Costs what *others* and their rooms are; rooms in memory need no query.
        """
        missing = set(others)
        found: set[UserId] = set()
        cold: list[int] = []
        for nid, room_id in (await self.memberships.joined_by(user_id)).items():
            if not missing:
                return found
            view = self.reader.find_loaded(room_id)
            if view is None:
                cold.append(nid)
                continue
            here = missing & view.joined_members()
            found |= here
            missing -= here
        return found | await self._in_cold_rooms(cold, list(missing))

    async def _in_cold_rooms(
        self, nids: list[int], user_ids: list[UserId]
    ) -> set[UserId]:
        found: set[UserId] = set()
        for first in range(0, len(nids), _AT_ONCE):
            for start in range(0, len(user_ids), _AT_ONCE):
                found |= await storage.joined_among(
                    self.db,
                    nids[first : first + _AT_ONCE],
                    user_ids[start : start + _AT_ONCE],
                )
        return found

    async def servers_with(
        self, user_id: UserId, *, but_nid: int | None = None
    ) -> set[ServerName]:
        """The other servers that share a room with our user *user_id*, or one but for
        the room *but_nid*.

        It loads the user's rooms: they are about to be in use, or were lately.
        """
        found: set[ServerName] = set()
        for nid, room_id in (await self.memberships.joined_by(user_id)).items():
            view = await self.reader.find_room(room_id) if nid != but_nid else None
            if view is not None:
                found |= view.joined_servers.keys()
        return found - {self.own}

    def is_known_unshared(self, user_id: UserId) -> bool:
        """Whether `servers_with` would find none, as far as that is in memory."""
        joined = self.memberships.find_joined(user_id)
        if joined is None:
            return False
        for room_id in joined.values():
            view = self.reader.find_loaded(room_id)
            if view is None or view.joined_servers.keys() - {self.own}:
                return False
        return True
