"""Mutual rooms at the HTTP edge (CS module "Mutual Rooms")."""

from typing import Any, Final

from msgspec import Struct

from tremula.infra.http import Auth, Json, UserRequest, endpoint
from tremula.protocol.errors import InvalidParam, MissingParam
from tremula.protocol.identifiers import UserId, is_compliant_user_id, parse_user_id
from tremula.protocol.opaque_tokens import format_token, parse_token
from tremula.rooms.acquaintances import Acquaintances

_PAGE_ROOMS: Final = 200


class PageToken(Struct, frozen=True):
    """The page after the room of this number; it holds for ever."""

    after_nid: int


@endpoint("GET", "/_matrix/client/v1/mutual_rooms", auth=Auth.USER, limit="directory")
async def get_mutual_rooms(req: UserRequest, acquaintances: Acquaintances) -> Json:
    """CS getMutualRooms. Errors: M_MISSING_PARAM, M_INVALID_PARAM."""
    other = _other(req)
    raw = req.query.get("from")
    after_nid = parse_token(raw, PageToken).after_nid if raw else 0
    rooms = await acquaintances.mutual_rooms(req.user_id, other)
    rest = [room for room in rooms if room[0] > after_nid]
    page = rest[:_PAGE_ROOMS]
    answer: dict[str, Any] = {
        "joined": [room_id for _, room_id in page],
        "count": len(rooms),
    }
    if len(rest) > len(page):
        answer["next_batch"] = format_token(PageToken(page[-1][0]))
    return answer


def _other(req: UserRequest) -> UserId:
    raw = req.query.get("user_id")
    if raw is None:
        raise MissingParam("missing user_id")
    user_id = parse_user_id(raw)
    if not is_compliant_user_id(user_id):
        raise InvalidParam("not a valid user ID: characters that are not allowed")
    if user_id == req.user_id:
        raise InvalidParam("user_id must be another user's")
    return user_id
