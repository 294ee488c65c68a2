"""Typing notifications at the HTTP edge (CS module "Typing Notifications")."""

import msgspec

from tremula.features.typing.service import TIMEOUT_DEFAULT_MS, Typing
from tremula.infra.http import Auth, Json, UserRequest, endpoint
from tremula.protocol.errors import InvalidParam
from tremula.protocol.identifiers import RoomId


class TypingBody(msgspec.Struct):
    """Body of CS ``setTyping``."""

    typing: bool
    timeout: int | None = None


@endpoint(
    "PUT",
    "/_matrix/client/v3/rooms/{room_id}/typing/{user_id}",
    auth=Auth.USER,
    limit="typing",
)
async def set_typing(req: UserRequest, typing: Typing) -> Json:
    """CS setTyping. Errors: M_MISSING_PARAM, M_BAD_JSON, M_FORBIDDEN."""
    req.check_own()
    body = req.body(TypingBody)
    room_id = RoomId(req.path["room_id"])
    if not body.typing:
        await typing.stop(req.user_id, room_id)
        return {}
    timeout_ms = TIMEOUT_DEFAULT_MS if body.timeout is None else body.timeout
    if timeout_ms < 0:
        raise InvalidParam("timeout must not be negative")
    await typing.start(req.user_id, room_id, timeout_ms=timeout_ms)
    return {}
