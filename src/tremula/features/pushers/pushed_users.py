"""Which of our users have pushers, and who of them is in a room."""

from collections import OrderedDict
from collections.abc import Collection, Hashable
from collections.abc import Set as AbstractSet
from typing import Final

from msgspec import Struct

from tremula.features.pushers import storage
from tremula.features.pushers.service import TOPIC
from tremula.infra.db import Reader
from tremula.infra.journal import Journal
from tremula.protocol.identifiers import RoomId, UserId
from tremula.rooms import memberships
from tremula.rooms.memberships import Memberships
from tremula.rooms.reader import RoomReader
from tremula.rooms.storage import UserRoom

_ROOMS_MAX: Final = 10_000


class PushedRoom(Struct):
    """A room, and those who are joined to it and have pushers."""

    room_id: RoomId
    users: set[UserId]


class PushedUsers:
    """In memory, so that an event costs nothing for all who have no pushers.

    Somebody may be there who has none any more, or has left the room: it is looked at
    their pushers, and at what has notified them, in any case.
    """

    def __init__(
        self, db: Reader, journal: Journal, rooms: Memberships, reader: RoomReader
    ) -> None:
        self._db = db
        self._memberships = rooms
        self._reader = reader
        self._users: set[UserId] = set()
        # Those of rooms where something happened lately; emptied when somebody new has
        # a pusher, who is in rooms that nobody knows here.
        self._in_rooms: OrderedDict[int, PushedRoom] = OrderedDict()
        self._joined_meanwhile: dict[int, set[UserId]] = {}
        self._forgotten = 0
        self.changes = 0
        """How often it was announced that somebody's pushers had changed."""
        journal.subscribe(TOPIC, self._pushers_changed)
        journal.subscribe(memberships.TOPIC, self._membership_changed)
        journal.on_forget(self._forget)

    async def load(self) -> Collection[UserId]:
        """Read who has pushers; returns everybody who is known to."""
        after = ""
        while page := await storage.users_after(self._db, after):
            self._users.update(page)
            after = page[-1]
        self._in_rooms.clear()
        return self._users

    def __contains__(self, user_id: object) -> bool:
        """Whether a user may have pushers."""
        return user_id in self._users

    def __bool__(self) -> bool:
        """Whether anybody may."""
        return bool(self._users)

    def known(self) -> AbstractSet[UserId]:
        """Everybody who may have pushers: a live view."""
        return self._users

    def count_rooms(self) -> int:
        """How many rooms are in memory."""
        return len(self._in_rooms)

    def discard(self, user_id: UserId, *, seen_changes: int) -> None:
        """The user had no pusher when there had been that many changes."""
        if seen_changes == self.changes:
            self._users.discard(user_id)

    async def in_room(self, room_nid: int) -> PushedRoom:
        """Those who are joined to a room. No query where something happened lately.

        Asked for one room after the other.
        """
        found = self._in_rooms.get(room_nid)
        if found is not None:
            self._in_rooms.move_to_end(room_nid)
            return found
        room_ids = await self._reader.room_ids([room_nid])
        meanwhile = self._joined_meanwhile[room_nid] = set()
        forgotten = self._forgotten
        joined = await self._memberships.joined_to(room_nid)
        while forgotten != self._forgotten:
            forgotten = self._forgotten
            joined = await self._memberships.joined_to(room_nid)
        del self._joined_meanwhile[room_nid]
        users = (joined | meanwhile) & self._users
        found = self._in_rooms[room_nid] = PushedRoom(room_ids[room_nid], users)
        while len(self._in_rooms) > _ROOMS_MAX:
            self._in_rooms.popitem(last=False)
        return found

    def _pushers_changed(self, _pos: int, user_id: Hashable, _payload: object) -> None:
        assert isinstance(user_id, str)
        self.changes += 1
        if user_id not in self._users:
            self._users.add(UserId(user_id))
            self._in_rooms.clear()

    def _membership_changed(self, _pos: int, user_id: Hashable, room: object) -> None:
        assert isinstance(user_id, str)
        assert isinstance(room, UserRoom)
        if room.membership != "join" or user_id not in self._users:
            return
        known = self._in_rooms.get(room.room_nid)
        users = known.users if known else self._joined_meanwhile.get(room.room_nid)
        if users is not None:
            users.add(UserId(user_id))

    def _forget(self) -> None:
        self._forgotten += 1
        self._in_rooms.clear()
