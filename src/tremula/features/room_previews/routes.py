"""Looking into rooms at the HTTP edge (CS module "Room Previews")."""

from tremula.features.history.service import LIMIT_DEFAULT, LIMIT_MAX
from tremula.features.room_previews.service import RoomPreviews
from tremula.infra.http import Auth, Json, UserRequest, endpoint
from tremula.protocol.identifiers import RoomId


@endpoint(
    "GET",
    "/_matrix/client/v3/rooms/{room_id}/initialSync",
    auth=Auth.USER,
    guest=True,
)
async def room_initial_sync(req: UserRequest, room_previews: RoomPreviews) -> Json:
    """CS roomInitialSync. Errors: M_FORBIDDEN, M_INVALID_PARAM."""
    limit = req.query.int("limit", default=LIMIT_DEFAULT, max=LIMIT_MAX)
    return await room_previews.snapshot(
        req.requester, RoomId(req.path["room_id"]), limit=limit
    )
