"""Who may know of a room: by its members, its join rule, its history visibility.

CVE-2021-39163, CVE-2021-39164: the name, topic and members of a private room are
nobody else's.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct, field

from tremula.features.spaces.space_rooms import OwnRooms, Summary
from tremula.protocol.identifiers import RoomId, ServerName, UserId, server_of
from tremula.rooms.authorising import allowed_rooms, has_restricted_joins
from tremula.rooms.memberships import Memberships
from tremula.rooms.outside import OutsideRooms
from tremula.rooms.view import RoomView

# Whoever is banned has no permission to join, whatever the join rule says.
_DECISIVE: Final = {"join": True, "invite": True, "ban": False}
_OPEN_RULES: Final = ("public", "knock", "knock_restricted")
_ALLOWED_ROOMS_MAX: Final = 20


class UserOnlooker(Struct, frozen=True):
    """One of our users with their memberships; without any, somebody unknown."""

    memberships: Mapping[RoomId, str]

    def may_see(self, view: RoomView) -> bool:
        """Whether the user may know of a room of this server."""
        membership = self.memberships.get(view.room_id)
        if membership in _DECISIVE:
            return _DECISIVE[membership]
        return is_open(view) or (
            has_restricted_joins(view) and self._is_in_any(allowed_rooms(view))
        )

    def may_see_told(self, summary: Summary) -> bool:
        """The same of a room that another server tells of."""
        membership = self.memberships.get(summary["room_id"])
        if membership in _DECISIVE:
            return _DECISIVE[membership]
        # "When not present, the room is assumed to be `public`."
        join_rule = summary.get("join_rule", "public")
        if summary["world_readable"] or join_rule in _OPEN_RULES:
            return True
        return join_rule == "restricted" and self._is_in_any(
            summary.get("allowed_room_ids", [])
        )

    def _is_in_any(self, room_ids: list[RoomId]) -> bool:
        return any(self.memberships.get(each) == "join" for each in room_ids)


class UserOnlookers(Struct, frozen=True):
    """Knows what our users are to rooms, those of other servers included."""

    memberships: Memberships
    outside: OutsideRooms

    async def of(self, user_id: UserId) -> UserOnlooker:
        """*user_id*, looking at rooms."""
        rooms = await self.memberships.of_user(user_id)
        return UserOnlooker({room.room_id: room.membership for room in rooms.values()})

    async def servers(self, user_id: UserId, room_id: RoomId) -> tuple[ServerName, ...]:
        """Who can tell of a room that the user is invited to, this server not in."""
        outside = await self.outside.find(user_id, room_id)
        return () if outside is None else outside.servers


class ServerOnlooker(Struct, frozen=True):
    """Another server: it may know what any of its users may."""

    origin: ServerName
    rooms: OwnRooms
    _is_in: dict[RoomId, bool] = field(default_factory=dict)

    async def may_see(self, view: RoomView) -> bool:
        """Whether the server may know of a room of this one."""
        if not view.admits(self.origin):
            return False
        if self.origin in view.joined_servers or is_open(view):
            return True
        invited = view.members("invite")
        if any(server_of(user_id) == self.origin for user_id in invited):
            return True
        return has_restricted_joins(view) and await self._is_in_any(view)

    async def _is_in_any(self, view: RoomView) -> bool:
        for room_id in allowed_rooms(view)[:_ALLOWED_ROOMS_MAX]:
            if room_id not in self._is_in:
                allowed = await self.rooms.find(room_id)
                self._is_in[room_id] = (
                    allowed is not None and self.origin in allowed.joined_servers
                )
            if self._is_in[room_id]:
                return True
        return False


def is_open(view: RoomView) -> bool:
    """Whether anyone may read the room, join it, or knock."""
    if view.history_visibility == "world_readable":
        return True
    match view.join_rule:
        case "public":
            return True
        case "knock":
            return view.version.knock
        case "knock_restricted":
            return view.version.knock_restricted
        case _:
            return False
