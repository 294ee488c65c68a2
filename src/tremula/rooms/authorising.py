"""Restricted rooms: whose members may join, and who vouches for them (CS "Restricted
rooms").
"""

from tremula.protocol.identifiers import RoomId, ServerName, UserId, server_of
from tremula.protocol.room_state import JOIN_RULES
from tremula.rooms.view import RoomView


def allowed_rooms(view: RoomView) -> list[RoomId]:
    """The rooms whose members may join, as the join rules name them."""
    content = view.content_of(*JOIN_RULES) or {}
    conditions = content.get("allow")
    return [
        RoomId(condition["room_id"])
        for condition in (conditions if isinstance(conditions, list) else [])
        if isinstance(condition, dict)
        and condition.get("type") == "m.room_membership"
        and isinstance(condition.get("room_id"), str)
    ]


def find_authorising_user(view: RoomView, server_name: ServerName) -> UserId | None:
    """A joined user of *server_name* who may invite, if there is one.

    The most powerful one, so that the same user serves as long as possible.
    """
    levels = view.power_levels
    by_power = sorted(levels.users, key=levels.user, reverse=True)
    everyone = view.joined_members() if levels.users_default >= levels.invite else ()
    for candidate in (*by_power, *everyone):
        user_id = UserId(candidate)
        if (
            server_of(user_id) == server_name
            and view.is_joined(user_id)
            and levels.can_invite(user_id)
        ):
            return user_id
    return None


def has_restricted_joins(view: RoomView) -> bool:
    """Whether members of other rooms may join."""
    return view.version.restricted and view.join_rule in {
        "restricted",
        "knock_restricted",
    }
