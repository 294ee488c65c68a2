"""Rooms as administrators see, block and delete them; not in the specification."""

from typing import Any, Final

import msgspec

from tremula.features.room_deletions.overview import PAGE_MAX, RoomOverview
from tremula.infra.http import Api, Auth, Json, UserRequest, endpoint
from tremula.protocol.identifiers import RoomId, parse_room_id

_ROOMS: Final = "/_tremula/admin/v1/rooms"
_ROOM: Final = "/_tremula/admin/v1/rooms/{room_id}"


class DeleteBody(msgspec.Struct):
    """Whether nobody of ours may come into the room afterwards."""

    block: bool = False


class BlockBody(msgspec.Struct):
    """Whether nobody of ours may come into the room."""

    blocked: bool


@endpoint("GET", _ROOMS, auth=Auth.USER, api=Api.ADMIN)
async def list_rooms(req: UserRequest, rooms: RoomOverview) -> Json:
    """The rooms of this server, oldest first. Errors: M_FORBIDDEN."""
    req.check_admin()
    limit = req.query.int("limit", default=100, min=1, max=PAGE_MAX)
    after = req.query.int("from", default=0, min=0, max=2**63 - 1)
    found = await rooms.page(after=after, limit=limit)
    answer: dict[str, Any] = {
        "rooms": [
            {
                "room_id": room.room_id,
                "room_version": room.version,
                "joined_local_members": room.joined_local_members,
            }
            for room in found
        ]
    }
    if len(found) == limit:
        answer["next_batch"] = str(found[-1].room_nid)
    return answer


@endpoint("GET", _ROOM, auth=Auth.USER, api=Api.ADMIN)
async def get_room(req: UserRequest, rooms: RoomOverview) -> Json:
    """What is known of a room. Errors: M_FORBIDDEN, M_INVALID_PARAM."""
    req.check_admin()
    return await rooms.describe(_room_id(req))


@endpoint("DELETE", _ROOM, auth=Auth.USER, api=Api.ADMIN)
async def delete_room(req: UserRequest, rooms: RoomOverview) -> Json:
    """Begin to delete a room; `get_room` tells how far that is. Errors: M_FORBIDDEN,
    M_INVALID_PARAM, M_NOT_FOUND.
    """
    req.check_admin()
    room_id = _room_id(req)
    block = req.body(DeleteBody).block
    await rooms.deletions.request(room_id, stays_blocked=block)
    return {}


@endpoint("PUT", f"{_ROOM}/block", auth=Auth.USER, api=Api.ADMIN)
async def block_room(req: UserRequest, rooms: RoomOverview) -> Json:
    """Let nobody of ours into a room, or anyone again. Errors: M_FORBIDDEN,
    M_INVALID_PARAM.
    """
    req.check_admin()
    room_id = _room_id(req)
    if req.body(BlockBody).blocked:
        await rooms.blocked.block(room_id)
    else:
        await rooms.blocked.unblock(room_id)
    return {}


def _room_id(req: UserRequest) -> RoomId:
    return parse_room_id(req.path["room_id"])
