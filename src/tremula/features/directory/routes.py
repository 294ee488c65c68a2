"""Aliases and published rooms at the HTTP edge (CS "Room aliases", "Listing rooms")."""

from typing import Literal

import msgspec

from tremula.features.directory.entries import (
    LIMIT_DEFAULT,
    LIMIT_MAX,
    PageToken,
    Search,
)
from tremula.features.directory.service import Directory
from tremula.infra.http import Auth, Json, Request, UserRequest, endpoint
from tremula.protocol.errors import BadJson, InvalidParam, Unrecognized
from tremula.protocol.identifiers import RoomId, parse_room_alias, parse_room_id


class AliasBody(msgspec.Struct):
    """Body of CS ``setRoomAlias``."""

    room_id: str


class VisibilityBody(msgspec.Struct):
    """Body of CS ``setRoomVisibilityOnDirectory``."""

    visibility: Literal["public", "private"] = "public"


class RoomsFilter(msgspec.Struct):
    """``filter`` of CS ``queryPublicRooms``."""

    generic_search_term: str | None = None
    room_types: list[str | None] | None = None


class PublicRoomsBody(msgspec.Struct):
    """Body of CS ``queryPublicRooms``."""

    limit: int | None = None
    since: str | None = None
    filter: RoomsFilter | None = None
    include_all_networks: bool = False
    third_party_instance_id: str | None = None


@endpoint(
    "PUT",
    "/_matrix/client/v3/directory/room/{room_alias}",
    auth=Auth.USER,
    limit="directory",
)
async def set_room_alias(req: UserRequest, directory: Directory) -> Json:
    """CS setRoomAlias. Errors: M_INVALID_PARAM, M_NOT_FOUND, M_FORBIDDEN, 409."""
    alias = parse_room_alias(req.path["room_alias"])
    room_id = parse_room_id(req.body(AliasBody).room_id)
    await directory.add_alias(req.user_id, alias, room_id)
    return {}


@endpoint(
    "GET",
    "/_matrix/client/v3/directory/room/{room_alias}",
    auth=Auth.NONE,
    limit="directory",
)
async def get_room_id_by_alias(req: Request, directory: Directory) -> Json:
    """CS getRoomIdByAlias. Errors: M_INVALID_PARAM, M_NOT_FOUND."""
    stored = await directory.resolve(parse_room_alias(req.path["room_alias"]))
    return {"room_id": stored.room_id, "servers": [directory.server_name]}


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


@endpoint("GET", "/_matrix/client/v3/publicRooms", auth=Auth.NONE, limit="directory")
async def get_public_rooms(req: Request, directory: Directory) -> Json:
    """CS getPublicRooms. Errors: M_INVALID_PARAM."""
    _refuse_other_server(req, directory)
    return await directory.public_rooms(
        Search(),
        since=_page_token(req.query.get("since")),
        limit=req.query.int("limit", default=LIMIT_DEFAULT, min=1, max=LIMIT_MAX),
    )


@endpoint("POST", "/_matrix/client/v3/publicRooms", auth=Auth.USER, limit="directory")
async def query_public_rooms(req: UserRequest, directory: Directory) -> Json:
    """CS queryPublicRooms. Errors: M_BAD_JSON, M_INVALID_PARAM."""
    _refuse_other_server(req, directory)
    body = req.body(PublicRoomsBody)
    if body.third_party_instance_id is not None:
        if body.include_all_networks:
            raise BadJson("third_party_instance_id excludes include_all_networks")
        # No application service has a network here yet.
        return {"chunk": [], "total_room_count_estimate": 0}
    limit = LIMIT_DEFAULT if body.limit is None else body.limit
    if limit < 1:
        raise InvalidParam("limit must be greater than 0")
    return await directory.public_rooms(
        _search(body.filter or RoomsFilter()),
        since=_page_token(body.since),
        limit=min(limit, LIMIT_MAX),
    )


def _search(body: RoomsFilter) -> Search:
    types = body.room_types
    return Search(
        term=body.generic_search_term,
        room_types=None if types is None else frozenset(types),
    )


def _page_token(raw: str | None) -> PageToken | None:
    return PageToken.parse(raw) if raw else None


def _refuse_other_server(req: Request, directory: Directory) -> None:
    server = req.query.get("server")
    if server is not None and server != directory.server_name:
        raise Unrecognized(
            f"the directory of {server} cannot be asked: this server does not "
            "federate yet"
        )
