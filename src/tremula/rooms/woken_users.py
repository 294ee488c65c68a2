"""Who of our users is woken here when another process has written to a room."""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from itertools import chain

from msgspec import Struct

from tremula.protocol.identifiers import RoomId, UserId
from tremula.rooms.memberships import Memberships


class WokenUsers:
    """By room, the users who are in it and in memory, as all are who wait; but for
    those that there was no place for any more, who are woken by everything.
    """

    def __init__(self, memberships: Memberships) -> None:
        self._memberships = memberships
        self._users: dict[int, set[UserId]] = {}
        self._unknown: set[UserId] = set()
        memberships.observe(self._move)

    def of(self, room_nids: AbstractSet[int] | None) -> "_Onlookers":
        """Our users in one of these rooms; None: everybody."""
        return _Onlookers(self, room_nids)

    def loaded(self, room_nids: AbstractSet[int] | None) -> list[AbstractSet[UserId]]:
        """Those of them whom the next news must wake."""
        if room_nids is None:
            return [self._memberships.loaded_users, self._unknown]
        found = [self._users[nid] for nid in room_nids if nid in self._users]
        return [*found, self._unknown]

    def has(self, room_nids: AbstractSet[int] | None, user_id: UserId) -> bool:
        """Whether *user_id* is one of them, or may be."""
        joined = self._memberships.find_joined(user_id)
        return room_nids is None or joined is None or not room_nids.isdisjoint(joined)

    def _move(
        self,
        user_id: UserId,
        before: Mapping[int, RoomId],
        now: Mapping[int, RoomId] | None,
    ) -> None:
        for nid in before:
            self._users[nid].discard(user_id)
            if not self._users[nid]:
                del self._users[nid]
        if now is None:
            self._unknown.add(user_id)
            return
        self._unknown.discard(user_id)
        for nid in now:
            self._users.setdefault(nid, set()).add(user_id)


class _Onlookers(Struct, frozen=True):
    """Implements ``Users``: whoever asks later is told of what they are then."""

    rooms: WokenUsers
    room_nids: AbstractSet[int] | None

    def __len__(self) -> int:
        return sum(map(len, self.rooms.loaded(self.room_nids)))

    def __iter__(self) -> Iterator[UserId]:
        return chain.from_iterable(self.rooms.loaded(self.room_nids))

    def __contains__(self, user_id: object) -> bool:
        return isinstance(user_id, str) and self.rooms.has(
            self.room_nids, UserId(user_id)
        )
