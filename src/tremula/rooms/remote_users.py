"""What other servers may say of their users."""

from tremula.protocol.errors import Forbidden
from tremula.protocol.identifiers import ServerName, UserId, server_of
from tremula.rooms.view import RoomView


def check_remote_user(
    view: RoomView | None, origin: ServerName, user_id: UserId
) -> RoomView:
    """The room, in which *origin* may say what its user *user_id* does.

    Raises:
        Forbidden: it is another server's user or not in the room, or the room does not
            admit *origin*.
    """
    if server_of(user_id) != origin:
        raise Forbidden(f"{user_id} is a user of another server")
    if view is None or not view.is_joined(user_id):
        raise Forbidden(f"{user_id} is not in the room")
    if not view.admits(origin):
        raise Forbidden("the room does not admit your server")
    return view
