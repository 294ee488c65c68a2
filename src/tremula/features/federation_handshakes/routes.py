"""Joins, leaves and knocks of other servers' users (SS "Joining Rooms" …)."""

from typing import Final

from tremula.features.federation_handshakes.resident import Membership, Resident
from tremula.infra.config import Api
from tremula.infra.http import Auth, FederationRequest, Json, endpoint
from tremula.protocol.identifiers import EventId, RoomId, parse_user_id

_V1: Final = "/_matrix/federation/v1"
_V2: Final = "/_matrix/federation/v2"

# An event, in which every character may be escaped.
EVENT_BYTES_MAX: Final = 512 * 1024


@endpoint(
    "GET",
    f"{_V1}/make_join/{{room_id}}/{{user_id}}",
    auth=Auth.SERVER,
    api=Api.FEDERATION,
)
async def make_join(req: FederationRequest, resident: Resident) -> Json:
    """SS makeJoin. Errors: M_FORBIDDEN, M_NOT_FOUND, M_INCOMPATIBLE_ROOM_VERSION,
    M_UNABLE_TO_AUTHORISE_JOIN, M_UNABLE_TO_GRANT_JOIN.
    """
    # "Defaults to `[1]`."
    versions = req.query.all("ver") or ["1"]
    user_id = parse_user_id(req.path["user_id"])
    return await resident.make(_wanted(req, "join"), user_id, versions)


@endpoint(
    "GET",
    f"{_V1}/make_knock/{{room_id}}/{{user_id}}",
    auth=Auth.SERVER,
    api=Api.FEDERATION,
)
async def make_knock(req: FederationRequest, resident: Resident) -> Json:
    """SS makeKnock. Errors: M_FORBIDDEN, M_NOT_FOUND, M_INCOMPATIBLE_ROOM_VERSION."""
    user_id = parse_user_id(req.path["user_id"])
    return await resident.make(_wanted(req, "knock"), user_id, req.query.all("ver"))


@endpoint(
    "GET",
    f"{_V1}/make_leave/{{room_id}}/{{user_id}}",
    auth=Auth.SERVER,
    api=Api.FEDERATION,
)
async def make_leave(req: FederationRequest, resident: Resident) -> Json:
    """SS makeLeave. Errors: M_FORBIDDEN, M_NOT_FOUND."""
    user_id = parse_user_id(req.path["user_id"])
    return await resident.make(_wanted(req, "leave"), user_id)


@endpoint(
    "PUT",
    f"{_V2}/send_join/{{room_id}}/{{event_id}}",
    auth=Auth.SERVER,
    max_body=EVENT_BYTES_MAX,
    api=Api.FEDERATION,
)
async def send_join_v2(req: FederationRequest, resident: Resident) -> Json:
    """SS sendJoinV2. Errors: M_INVALID_PARAM, M_FORBIDDEN, M_NOT_FOUND,
    M_UNABLE_TO_AUTHORISE_JOIN, M_UNABLE_TO_GRANT_JOIN.
    """
    return await resident.join(
        _wanted(req, "join"),
        EventId(req.path["event_id"]),
        req.content,
        omit_members=req.query.bool("omit_members", default=False),
    )


@endpoint(
    "PUT",
    f"{_V1}/send_knock/{{room_id}}/{{event_id}}",
    auth=Auth.SERVER,
    max_body=EVENT_BYTES_MAX,
    api=Api.FEDERATION,
)
async def send_knock(req: FederationRequest, resident: Resident) -> Json:
    """SS sendKnock. Errors: M_INVALID_PARAM, M_FORBIDDEN, M_NOT_FOUND."""
    return await resident.knock(
        _wanted(req, "knock"), EventId(req.path["event_id"]), req.content
    )


@endpoint(
    "PUT",
    f"{_V2}/send_leave/{{room_id}}/{{event_id}}",
    auth=Auth.SERVER,
    max_body=EVENT_BYTES_MAX,
    api=Api.FEDERATION,
)
async def send_leave_v2(req: FederationRequest, resident: Resident) -> Json:
    """SS sendLeaveV2. Errors: M_INVALID_PARAM, M_FORBIDDEN, M_NOT_FOUND."""
    await resident.send(
        _wanted(req, "leave"), EventId(req.path["event_id"]), req.content
    )
    return {}


def _wanted(req: FederationRequest, membership: str) -> Membership:
    return Membership(req.origin, RoomId(req.path["room_id"]), membership)
