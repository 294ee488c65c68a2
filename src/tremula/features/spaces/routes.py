"""Spaces at the HTTP edge (CS module "Spaces")."""

from typing import Final

from tremula.features.spaces.service import Spaces, TreeRequest
from tremula.infra.http import Auth, Json, UserRequest, endpoint
from tremula.protocol.identifiers import RoomId

_LIMIT_DEFAULT: Final = 50
_LIMIT_MAX: Final = 100
_DEPTH_MAX: Final = 50


@endpoint(
    "GET",
    "/_matrix/client/v1/rooms/{room_id}/hierarchy",
    auth=Auth.USER,
    limit="spaces",
)
async def get_space_hierarchy(req: UserRequest, spaces: Spaces) -> Json:
    """CS getSpaceHierarchy. Errors: M_FORBIDDEN, M_INVALID_PARAM."""
    wanted = TreeRequest(
        room_id=RoomId(req.path["room_id"]),
        suggested_only=req.query.bool("suggested_only"),
        depth_max=req.query.int("max_depth", default=_DEPTH_MAX, max=_DEPTH_MAX),
        limit=req.query.int("limit", default=_LIMIT_DEFAULT, min=1, max=_LIMIT_MAX),
        since=req.query.get("from"),
    )
    return await spaces.page(req.user_id, wanted)
