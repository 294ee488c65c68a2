"""Summaries of rooms at the HTTP edge (CS getRoomSummary)."""

from typing import Any

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
    return await _summary(req, summaries)


@endpoint(
    "GET",
    "/_matrix/client/unstable/im.nheko.summary/summary/{room_id_or_alias}",
    auth=Auth.OPTIONAL,
    limit="spaces",
)
@endpoint(
    "GET",
    "/_matrix/client/unstable/im.nheko.summary/rooms/{room_id_or_alias}/summary",
    auth=Auth.OPTIONAL,
    limit="spaces",
)
async def get_unstable_room_summary(
    req: OptionalUserRequest, summaries: RoomSummaries
) -> Json:
    """MSC3266, as clients ask that know of no stable form. Errors: as above."""
    summary = await _summary(req, summaries)
    unstable = {
        f"im.nheko.summary.{key}": summary[key]
        for key in ("room_version", "encryption")
        if key in summary
    }
    return summary | unstable


async def _summary(
    req: OptionalUserRequest, summaries: RoomSummaries
) -> dict[str, Any]:
    room = req.path["room_id_or_alias"]
    via = [parse_server_name(each) for each in req.query.all("via")]
    if req.requester is None:
        return await summaries.of_anyone(room)
    return await summaries.of_user(req.requester.user_id, room, via)
