"""Aliases and published rooms, for other servers (SS "Querying for information",
"Published Room Directory").
"""

from tremula.features.directory.listing import query_of_body, query_of_parameters
from tremula.features.directory.service import Directory
from tremula.infra.http import Api, Auth, FederationRequest, Json, endpoint
from tremula.protocol.identifiers import parse_room_alias


@endpoint(
    "GET",
    "/_matrix/federation/v1/query/directory",
    auth=Auth.SERVER,
    api=Api.FEDERATION,
)
async def query_room_directory(req: FederationRequest, directory: Directory) -> Json:
    """SS queryRoomDirectory. Errors: M_MISSING_PARAM, M_INVALID_PARAM, M_NOT_FOUND."""
    alias = parse_room_alias(req.query.require("room_alias"))
    target = await directory.resolve_for_servers(alias)
    return {"room_id": target.room_id, "servers": target.servers}


@endpoint(
    "GET", "/_matrix/federation/v1/publicRooms", auth=Auth.SERVER, api=Api.FEDERATION
)
async def get_public_rooms(req: FederationRequest, directory: Directory) -> Json:
    """SS getPublicRooms. Errors: M_INVALID_PARAM."""
    query = query_of_parameters(req, least=0)
    return await directory.public_rooms_for_servers(query)


@endpoint(
    "POST", "/_matrix/federation/v1/publicRooms", auth=Auth.SERVER, api=Api.FEDERATION
)
async def query_public_rooms(req: FederationRequest, directory: Directory) -> Json:
    """SS queryPublicRooms. Errors: M_BAD_JSON, M_INVALID_PARAM."""
    query = query_of_body(req, least=0)
    return await directory.public_rooms_for_servers(query)
