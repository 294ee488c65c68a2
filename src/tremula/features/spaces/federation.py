"""Spaces for other servers (SS "Spaces")."""

from tremula.features.spaces.serving import SpacesForServers
from tremula.infra.http import Api, Auth, FederationRequest, Json, endpoint
from tremula.protocol.identifiers import RoomId


@endpoint(
    "GET",
    "/_matrix/federation/v1/hierarchy/{room_id}",
    auth=Auth.SERVER,
    api=Api.FEDERATION,
)
async def get_space_hierarchy(req: FederationRequest, spaces: SpacesForServers) -> Json:
    """SS getSpaceHierarchy. Errors: M_NOT_FOUND, M_INVALID_PARAM."""
    return await spaces.hierarchy(
        req.origin,
        RoomId(req.path["room_id"]),
        suggested_only=req.query.bool("suggested_only"),
    )
