"""Restricted rooms: whose members may join, and who vouches for them (CS "Restricted
rooms").
"""

from collections.abc import Awaitable, Callable, Collection
from typing import Final, TypeVar

from tremula.protocol.errors import UnableToAuthoriseJoin
from tremula.protocol.identifiers import RoomId, ServerName, UserId, server_of
from tremula.protocol.room_state import JOIN_RULES
from tremula.rooms.view import RoomView

T = TypeVar("T")

_OTHERS_MAX: Final = 4
"""How many others are to vouch if the first one can't any more."""


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


async def vouched_for(
    choose: Callable[[Collection[UserId]], Awaitable[UserId | None]],
    attempt: Callable[[UserId | None], Awaitable[T]],
) -> T:
    """What *attempt* makes of the user whom *choose* names; of another one if it is
    refused, as somebody may leave the room just when they were chosen.

    *choose* is given those that were refused.

    Raises:
        UnableToAuthoriseJoin: it is refused, whoever vouches.
        MatrixError: *choose* finds nobody else, or what *attempt* raises.
    """
    refused: list[UserId] = []
    while True:
        user_id = await choose(refused)
        try:
            return await attempt(user_id)
        except UnableToAuthoriseJoin:
            if user_id is None or len(refused) == _OTHERS_MAX:
                raise
            refused.append(user_id)


def find_authorising_user(
    view: RoomView, server_name: ServerName, *, but: Collection[UserId] = ()
) -> UserId | None:
    """A joined user of *server_name* who may invite, if there is one *but* these.

    The most powerful one, so that the same user serves as long as possible.
    """
    levels = view.power_levels
    by_power = sorted(levels.users, key=levels.user, reverse=True)
    everyone = view.joined_members() if levels.users_default >= levels.invite else ()
    for candidate in (*by_power, *everyone):
        user_id = UserId(candidate)
        if (
            server_of(user_id) == server_name
            and user_id not in but
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
