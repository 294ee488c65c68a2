"""Which member events each device has been sent (CS "Lazy-loading room members")."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from tremula.protocol.identifiers import DeviceId, UserId

_ROOMS_MAX: Final = 50_000
_MEMBERS_MAX: Final = 200


class DeviceRoom(Struct, frozen=True):
    """One room on one device."""

    user_id: UserId
    device_id: DeviceId | None
    room_nid: int


class LazyMembers:
    """Remembers what was sent, and up to which token it was.

    An answer may be lost on its way. So a member counts as sent only once the client
    asks from a position that comes after the answer that held it.
    """

    def __init__(self) -> None:
        # {room on a device: {user id: (event nid, position of the answer)}}, both in
        # order of use: the inner as a dict, since there are many, each half as big so.
        self._sent: OrderedDict[DeviceRoom, dict[str, tuple[int, int]]] = OrderedDict()

    def without_sent(
        self, room: DeviceRoom, members: Mapping[str, int], *, since: int
    ) -> dict[str, int]:
        """Those of *members* (event nids by user) that the device has not got yet."""
        sent = self._sent.get(room)
        if not sent:
            return dict(members)
        return {
            user_id: nid
            for user_id, nid in members.items()
            if not _was_sent(sent.get(user_id), nid, since)
        }

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


def _was_sent(entry: tuple[int, int] | None, nid: int, since: int) -> bool:
    return entry is not None and entry[0] == nid and entry[1] <= since
