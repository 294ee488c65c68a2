"""Which rooms our own users are in, kept in memory for those who are active."""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from types import MappingProxyType
from typing import Final

from msgspec.structs import replace

from tremula.infra.db import Reader
from tremula.infra.journal import Journal, JournalUnit
from tremula.protocol.identifiers import RoomId, UserId
from tremula.rooms import memberships_storage as storage
from tremula.rooms.storage import UserRoom

_USERS_MAX: Final = 20_000
_JOINS_PER_QUERY: Final = 1_000
_NO_ROOMS: Final[Mapping[int, RoomId]] = MappingProxyType({})

TOPIC: Final = "membership"

Observer = Callable[[UserId, Mapping[int, RoomId], Mapping[int, RoomId] | None], None]
"""Called with a user and the rooms joined before, and now; None: that is not in memory
any more.
"""


class _UserRooms:
    """One user's rooms; ``joined`` is replaced, never changed, so it can be kept."""

    __slots__ = ("all", "joined")

    def __init__(self, rooms: Iterable[UserRoom]) -> None:
        self.all = {room.room_nid: room for room in rooms}
        self.joined = self._joined()

    def put(self, room: UserRoom) -> None:
        """Take over what the user now is to a room."""
        before = self.all.get(room.room_nid)
        began_pos = room.event_nid
        if before is not None and before.membership == room.membership:
            began_pos = before.began_pos
        self.all[room.room_nid] = replace(room, began_pos=began_pos)
        was_joined = before is not None and before.membership == "join"
        if was_joined is not (room.membership == "join"):
            self.joined = self._joined()

    def _joined(self) -> Mapping[int, RoomId]:
        return {
            nid: room.room_id
            for nid, room in self.all.items()
            if room.membership == "join"
        }


class Memberships:
    """The rooms of each user by room nid, as committed."""

    def __init__(self, db: Reader, journal: Journal) -> None:
        self._db = db
        self._journal = journal
        self._rooms: OrderedDict[UserId, _UserRooms] = OrderedDict()
        self._loads: Counter[UserId] = Counter()
        self._stale: set[UserId] = set()
        self._observer: Observer | None = None
        journal.subscribe(TOPIC, self._apply)
        journal.on_forget(self._forget_all)

    async def of_user(self, user_id: UserId) -> Mapping[int, UserRoom]:
        """The user's rooms, whatever their membership, as a live view.

        No query for a user who was asked for lately.
        """
        return MappingProxyType((await self._of_user(user_id)).all)

    async def joined_by(self, user_id: UserId) -> Mapping[int, RoomId]:
        """The ids of the rooms that the user is joined to, as they are now.

        No query for a user who was asked for lately.
        """
        return (await self._of_user(user_id)).joined

    async def joined_to(self, room_nid: int) -> set[UserId]:
        """Our users who are joined to a room: one query, which may take long."""
        return await storage.own_joined(self._db, room_nid)

    async def joined_since(
        self, prefix: str, matches: Callable[[UserId], bool]
    ) -> dict[int, int]:
        """The rooms that any of our users whose IDs begin with *prefix*, and who
        *matches* admits, is joined to; and since which journal position.
        """
        found: dict[int, int] = {}
        after = (prefix, 0)
        while True:
            page = await storage.joins_after(self._db, *after, limit=_JOINS_PER_QUERY)
            for user_id, room_nid, began_pos in page:
                if not user_id.startswith(prefix):
                    return found
                if matches(user_id):
                    found[room_nid] = min(found.get(room_nid, began_pos), began_pos)
            if len(page) < _JOINS_PER_QUERY:
                return found
            after = page[-1][:2]

    def find_joined(self, user_id: UserId) -> Mapping[int, RoomId] | None:
        """As `joined_by`, if that is in memory, as it is of everyone who syncs."""
        rooms = self._rooms.get(user_id)
        return None if rooms is None else rooms.joined

    @property
    def loaded_users(self) -> AbstractSet[UserId]:
        """The users whose rooms are in memory."""
        return self._rooms.keys()

    def changed_pos(self, user_id: UserId) -> int:
        """A journal position after which none of the user's memberships changed."""
        return self._journal.changed_pos(TOPIC, user_id)

    def observe(self, observer: Observer) -> None:
        """Tell *observer* of those in memory, none of whom is there yet."""
        self._observer = observer

    def record(self, unit: JournalUnit, user_id: UserId, room: UserRoom) -> None:
        """Store a new membership with the event that made it."""
        storage.upsert_membership(unit, user_id, room)
        unit.announce(TOPIC, user_id, room, pos=room.event_nid)

    async def forget(self, user_id: UserId, room: UserRoom) -> None:
        """Leave *room* out of everything that *user_id* is shown from now on.

        Raises:
            Conflict: the user's membership is another one by now.
        """
        unit = self._journal.unit()
        forgotten = replace(room, forgotten=True)
        storage.update_forgotten(unit, user_id, room)
        unit.announce(TOPIC, user_id, forgotten, pos=unit.pos())
        await self._journal.commit(unit)

    def _forget_all(self) -> None:
        while self._rooms:
            self._drop_oldest()
        self._stale.update(self._loads)

    def _apply(self, _pos: int, user_id: object, room: object) -> None:
        assert isinstance(user_id, str)
        assert isinstance(room, UserRoom)
        user_id = UserId(user_id)
        if user_id in self._loads:
            self._stale.add(user_id)
        rooms = self._rooms.get(user_id)
        if rooms is not None:
            before = rooms.joined
            rooms.put(room)
            self._note(user_id, before, rooms.joined)

    def _note(
        self,
        user_id: UserId,
        before: Mapping[int, RoomId],
        now: Mapping[int, RoomId] | None,
    ) -> None:
        if self._observer is not None and before is not now:
            self._observer(user_id, before, now)

    def _drop_oldest(self) -> None:
        user_id, rooms = self._rooms.popitem(last=False)
        self._note(user_id, rooms.joined, None)

    async def _of_user(self, user_id: UserId) -> _UserRooms:
        rooms = self._rooms.get(user_id)
        if rooms is None:
            return await self._load(user_id)
        self._rooms.move_to_end(user_id)
        return rooms

    async def _load(self, user_id: UserId) -> _UserRooms:
        self._loads[user_id] += 1
        try:
            rows = await storage.memberships_of_user(self._db, user_id)
            # A commit may have come between the query and its answer.
            while user_id in self._stale:
                self._stale.discard(user_id)
                rows = await storage.memberships_of_user(self._db, user_id)
        finally:
            self._loads[user_id] -= 1
            if not self._loads[user_id]:
                del self._loads[user_id]
                self._stale.discard(user_id)
        # Of two concurrent loads the first one's answer is kept up to date.
        rooms = self._rooms.get(user_id)
        if rooms is None:
            rooms = self._rooms[user_id] = _UserRooms(rows)
            self._note(user_id, _NO_ROOMS, rooms.joined)
        while len(self._rooms) > _USERS_MAX:
            self._drop_oldest()
        return rooms
