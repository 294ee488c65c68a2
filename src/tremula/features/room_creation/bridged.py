"""What bridges ask for beside CS createRoom; not in the specification."""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from tremula.features.appservices.service import Appservices
from tremula.protocol.identifiers import RoomId, ServerName, UserId, server_of

ROOM_VERSION_ID: Final = "11"
"""Of rooms for which bridges name none: in later ones a room's ID follows from its
first event, and power levels can't name its creator, as bridges' do.
"""


class BridgeExtras(Struct, frozen=True, kw_only=True):
    """What an application service wants of a new room.

    ``members`` come in at once, and if it ``joins_invited``, so do those who are
    invited: as far as the application service may act as them, since nobody else is put
    into a room. Its ID is ``room_id`` and its time ``ts_ms`` if these are given.
    """

    appservice_id: str
    members: tuple[str, ...] = ()
    joins_invited: bool = False
    room_id: RoomId | None = None
    ts_ms: int | None = None


class OwnUsers(Struct, frozen=True):
    """Tells whom an application service may put into a room."""

    appservices: Appservices
    server_name: ServerName

    def includes(self, extras: BridgeExtras | None, user_id: UserId) -> bool:
        """Whether whoever has these wishes may act as *user_id* in the room."""
        if extras is None or server_of(user_id) != self.server_name:
            return False
        appservice = self.appservices.find(extras.appservice_id)
        return appservice is not None and self.appservices.may_speak_for(
            appservice, user_id
        )


def without_creator(override: Mapping[str, Any], creator: UserId) -> dict[str, Any]:
    """Power levels for a room whose creator has more power than these can say."""
    users = override.get("users")
    if not isinstance(users, dict) or creator not in users:
        return dict(override)
    others = {user_id: users[user_id] for user_id in users if user_id != creator}
    return {**override, "users": others}
