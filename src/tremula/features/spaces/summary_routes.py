"""Summaries of rooms at the HTTP edge (CS getRoomSummary)."""

from tremula.features.spaces.summaries import RoomSummaries
from tremula.infra.http import Auth, Json, OptionalUserRequest, endpoint
from tremula.protocol.identifiers import parse_server_name


@endpoint(
    "GET",
    "/_matrix/client/v1/room_summary/{room_id_or_alias}",
    auth=Auth.OPTIONAL,
    limit="spaces",
)
async def get_room_summary(req: OptionalUserRequest, summaries: RoomSummaries) -> Json:
    """CS getRoomSummary. Errors: M_NOT_FOUND, M_INVALID_PARAM, M_FORBIDDEN, 502."""
    room = req.path["room_id_or_alias"]
    via = [parse_server_name(each) for each in req.query.all("via")]
    if req.requester is None:
        return await summaries.of_anyone(room)
    return await summaries.of_user(req.requester.user_id, room, via)
