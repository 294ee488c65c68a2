"""Which member events each device has been sent (CS "Lazy-loading room members")."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from tremula.infra.journal import Journal
from tremula.protocol.identifiers import DeviceId, UserId
from tremula.rooms.memberships import TOPIC as MEMBERSHIP_TOPIC
from tremula.rooms.storage import UserRoom

TOPIC: Final = "lazy_members"
"""Announced to other processes, with the user ID as key and the device ID as payload,
when a device begins anew."""

_ROOMS_MAX: Final = 50_000
_MEMBERS_MAX: Final = 200
_ENDS_MAX: Final = 50_000

_NEVER: Final = (-1, -1)


class DeviceRoom(Struct, frozen=True):
    """One room on one device."""

    user_id: UserId
    device_id: DeviceId | None
    room_nid: int


class LazyMembers:
    """Remembers what was sent, and up to which token it was.

    An answer may be lost on its way. So a member counts as sent only once the client
    asks from a position that comes after the answer that held it. What a process has
    not sent itself it does not know of; but it has to know when a client forgets.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        # {room on a device: {user id: (event nid, position of the answer)}}, both in
        # order of use: the inner as a dict, since there are many, each half as big so.
        self._sent: OrderedDict[DeviceRoom, dict[str, tuple[int, int]]] = OrderedDict()
        # The positions before which nothing counts that a device was sent, or a user
        # of a room; for those that there was no place for, one position for all.
        self._ends: OrderedDict[tuple[UserId, DeviceId | int | None], int] = (
            OrderedDict()
        )
        self._end_of_all = 0
        journal.subscribe(TOPIC, self._device_began)
        journal.subscribe(MEMBERSHIP_TOPIC, self._membership_changed)
        journal.on_forget(self._forget_all)

    async def begin(self, user_id: UserId, device_id: DeviceId | None) -> None:
        """A device begins anew: what other processes have sent it does not count. The
        answer must reach up to a later position.
        """
        if not self._journal.is_alone:
            pos = self._journal.ephemeral(TOPIC, user_id, device_id)
            await self._journal.settled(pos)

    def without_sent(
        self, room: DeviceRoom, members: Mapping[str, int], *, since: int
    ) -> dict[str, int]:
        """Those of *members* (event nids by user) that the device has not got yet."""
        sent = self._sent.get(room)
        if not sent:
            return dict(members)
        end = self._end_of(room)
        missing: dict[str, int] = {}
        for user_id, nid in members.items():
            sent_nid, pos = sent.get(user_id, _NEVER)
            if sent_nid != nid or not end <= pos <= since:
                missing[user_id] = nid
        return missing

    def has_sent(
        self, room: DeviceRoom, members: Mapping[str, int], *, since: int
    ) -> bool:
        """Whether the device has got all of *members*."""
        sent = self._sent.get(room)
        if not sent:
            return not members
        end = self._end_of(room)
        for user_id, nid in members.items():
            sent_nid, pos = sent.get(user_id, _NEVER)
            if sent_nid != nid or not end <= pos <= since:
                return False
        return True

    def _end_of(self, room: DeviceRoom) -> int:
        ends = self._ends
        if not ends:
            return self._end_of_all
        return max(
            self._end_of_all,
            ends.get((room.user_id, room.device_id), 0),
            ends.get((room.user_id, room.room_nid), 0),
        )

    def forget(self, room: DeviceRoom) -> None:
        """The device begins anew: it has got none of the room's members."""
        self._sent.pop(room, None)

    def record(self, room: DeviceRoom, members: Mapping[str, int], *, now: int) -> None:
        """*members* are in an answer that reaches up to *now*."""
        if not members:
            return
        sent = self._sent.setdefault(room, {})
        self._sent.move_to_end(room)
        for user_id, nid in members.items():
            sent.pop(user_id, None)
            sent[user_id] = (nid, now)
        while len(sent) > _MEMBERS_MAX:
            del sent[next(iter(sent))]
        while len(self._sent) > _ROOMS_MAX:
            self._sent.popitem(last=False)

    def _device_began(self, pos: int, user_id: object, device_id: object) -> None:
        assert isinstance(user_id, str)
        assert device_id is None or isinstance(device_id, str)
        device = None if device_id is None else DeviceId(device_id)
        self._end((UserId(user_id), device), pos)

    def _membership_changed(self, pos: int, user_id: object, room: object) -> None:
        assert isinstance(user_id, str)
        assert isinstance(room, UserRoom)
        if room.membership != "join":
            self._end((UserId(user_id), room.room_nid), pos)

    def _end(self, key: tuple[UserId, DeviceId | int | None], pos: int) -> None:
        self._ends[key] = pos
        self._ends.move_to_end(key)
        if len(self._ends) > _ENDS_MAX:
            self._end_of_all = self._ends.popitem(last=False)[1]

    def _forget_all(self) -> None:
        self._sent.clear()
