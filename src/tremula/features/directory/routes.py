"""Aliases and published rooms at the HTTP edge (CS "Room aliases", "Listing rooms")."""

from typing import Literal

import msgspec

from tremula.features.directory.listing import query_of_body, query_of_parameters
from tremula.features.directory.service import Directory
from tremula.features.directory.storage import Listing
from tremula.infra.http import Auth, Json, Request, UserRequest, endpoint
from tremula.protocol.errors import Forbidden, InvalidParam
from tremula.protocol.identifiers import (
    ID_BYTES_MAX,
    RoomId,
    ServerName,
    parse_room_alias,
    parse_room_id,
    parse_server_name,
)


class AliasBody(msgspec.Struct):
    """Body of CS ``setRoomAlias``."""

    room_id: str


class VisibilityBody(msgspec.Struct):
    """Body of CS ``setRoomVisibilityOnDirectory``."""

    visibility: Literal["public", "private"] = "public"


class NetworkVisibilityBody(msgspec.Struct):
    """Body of CS ``updateAppserviceRoomDirectoryVisibility``."""

    visibility: Literal["public", "private"]


@endpoint(
    "PUT",
    "/_matrix/client/v3/directory/room/{room_alias}",
    auth=Auth.USER,
    limit="directory",
)
async def set_room_alias(req: UserRequest, directory: Directory) -> Json:
    """CS setRoomAlias. Errors: M_INVALID_PARAM, M_NOT_FOUND, M_FORBIDDEN, M_EXCLUSIVE,
    409.
    """
    alias = parse_room_alias(req.path["room_alias"])
    room_id = parse_room_id(req.body(AliasBody).room_id)
    await directory.add_alias(req.requester, alias, room_id)
    return {}


@endpoint(
    "GET",
    "/_matrix/client/v3/directory/room/{room_alias}",
    auth=Auth.NONE,
    limit="directory",
)
async def get_room_id_by_alias(req: Request, directory: Directory) -> Json:
    """CS getRoomIdByAlias. Errors: M_INVALID_PARAM, M_NOT_FOUND, M_FORBIDDEN, 502."""
    target = await directory.resolve(parse_room_alias(req.path["room_alias"]))
    return {"room_id": target.room_id, "servers": target.servers}


@endpoint(
    "DELETE",
    "/_matrix/client/v3/directory/room/{room_alias}",
    auth=Auth.USER,
    limit="directory",
)
async def delete_room_alias(req: UserRequest, directory: Directory) -> Json:
    """CS deleteRoomAlias. Errors: M_INVALID_PARAM, M_NOT_FOUND, M_FORBIDDEN."""
    alias = parse_room_alias(req.path["room_alias"])
    await directory.remove_alias(req.requester, alias)
    return {}


@endpoint(
    "GET",
    "/_matrix/client/v3/rooms/{room_id}/aliases",
    auth=Auth.USER,
    limit="directory",
)
async def get_local_aliases(req: UserRequest, directory: Directory) -> Json:
    """CS getLocalAliases. Errors: M_FORBIDDEN."""
    aliases = await directory.local_aliases(req.user_id, RoomId(req.path["room_id"]))
    return {"aliases": aliases}


@endpoint(
    "GET",
    "/_matrix/client/v3/directory/list/room/{room_id}",
    auth=Auth.NONE,
    limit="directory",
)
async def get_room_visibility_on_directory(req: Request, directory: Directory) -> Json:
    """CS getRoomVisibilityOnDirectory. Errors: M_NOT_FOUND."""
    published = await directory.is_published(RoomId(req.path["room_id"]))
    return {"visibility": "public" if published else "private"}


@endpoint(
    "PUT",
    "/_matrix/client/v3/directory/list/room/{room_id}",
    auth=Auth.USER,
    limit="directory",
)
async def set_room_visibility_on_directory(
    req: UserRequest, directory: Directory
) -> Json:
    """CS setRoomVisibilityOnDirectory. Errors: M_NOT_FOUND, M_FORBIDDEN."""
    room_id = RoomId(req.path["room_id"])
    if req.body(VisibilityBody).visibility == "public":
        await directory.publish(req.requester, room_id)
    else:
        await directory.unpublish(req.requester, room_id)
    return {}


@endpoint(
    "PUT",
    "/_matrix/client/v3/directory/list/appservice/{network_id}/{room_id}",
    auth=Auth.USER,
    limit="directory",
)
async def update_appservice_room_directory_visibility(
    req: UserRequest, directory: Directory
) -> Json:
    """CS updateAppserviceRoomDirectoryVisibility.

    Errors: M_FORBIDDEN, M_NOT_FOUND, M_MISSING_PARAM, M_BAD_JSON, M_INVALID_PARAM.
    """
    appservice_id = req.requester.appservice_id
    if appservice_id is None:
        raise Forbidden("only application services have networks")
    network_id, room_id = req.path["network_id"], RoomId(req.path["room_id"])
    if len(network_id.encode()) > ID_BYTES_MAX:
        raise InvalidParam(f"a network ID has at most {ID_BYTES_MAX} bytes")
    listing = Listing(appservice_id, network_id)
    if req.body(NetworkVisibilityBody).visibility == "public":
        await directory.publish_in_network(req.requester, listing, room_id)
    else:
        await directory.unpublish_in_network(listing, room_id)
    return {}


@endpoint("GET", "/_matrix/client/v3/publicRooms", auth=Auth.NONE, limit="directory")
async def get_public_rooms(req: Request, directory: Directory) -> Json:
    """CS getPublicRooms. Errors: M_INVALID_PARAM, and M_FORBIDDEN or 502 of others."""
    query = query_of_parameters(req, least=1)
    return await directory.public_rooms_of(_server(req, directory), query)


@endpoint("POST", "/_matrix/client/v3/publicRooms", auth=Auth.USER, limit="directory")
async def query_public_rooms(req: UserRequest, directory: Directory) -> Json:
    """CS queryPublicRooms.

    Errors: M_BAD_JSON, M_INVALID_PARAM, and M_FORBIDDEN or 502 of others.
    """
    query = query_of_body(req, least=1)
    return await directory.public_rooms_of(_server(req, directory), query)


def _server(req: Request, directory: Directory) -> ServerName:
    server = req.query.get("server")
    return directory.server_name if server is None else parse_server_name(server)
