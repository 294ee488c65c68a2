"""Merged and split chats at the HTTP edge; not in the specification."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from tremula.features.room_creation.merging import Merging, Part
from tremula.features.room_creation.routes import CreateRoomBody, room_request
from tremula.infra.http import (
    EVENT_BODY_BYTES_MAX,
    Auth,
    Json,
    UserRequest,
    endpoint,
)
from tremula.protocol.errors import InvalidParam
from tremula.protocol.identifiers import RoomId, parse_user_id

_BASE: Final = "/_matrix/client/unstable/com.beeper.chatmerging"
_ROOMS_MAX: Final = 100
_VALUES_MAX: Final = 1_000

_Key = Annotated[str, Meta(min_length=1, max_length=255)]


class MergeBody(msgspec.Struct):
    """Body of `merge_rooms`."""

    create: CreateRoomBody
    key: _Key
    rooms: Annotated[list[str], Meta(min_length=1, max_length=_ROOMS_MAX)]
    user_id: str


class PartBody(msgspec.Struct):
    """An entry of ``parts``."""

    user_id: str
    values: Annotated[list[str], Meta(max_length=_VALUES_MAX)]
    create: CreateRoomBody


class SplitBody(msgspec.Struct):
    """Body of `split_room`."""

    key: _Key
    parts: Annotated[list[PartBody], Meta(min_length=1, max_length=_ROOMS_MAX)]


@endpoint(
    "POST",
    f"{_BASE}/merge",
    auth=Auth.USER,
    limit="rooms",
    max_body=EVENT_BODY_BYTES_MAX,
)
async def merge_rooms(req: UserRequest, merging: Merging) -> Json:
    """Make one room of several. Errors: M_FORBIDDEN, M_INVALID_PARAM, M_BAD_JSON, and
    those of CS createRoom.
    """
    merging.authority.appservice(req.requester)
    body = req.body(MergeBody)
    room_ids = [RoomId(each) for each in body.rooms]
    into = _part(req, body.user_id, (), body.create)
    room_id = await merging.merge(req.requester, room_ids, key=body.key, into=into)
    return {"room_id": room_id}


@endpoint(
    "POST",
    f"{_BASE}/rooms/{{room_id}}/split",
    auth=Auth.USER,
    limit="rooms",
    max_body=EVENT_BODY_BYTES_MAX,
)
async def split_room(req: UserRequest, merging: Merging) -> Json:
    """Make several rooms of one. Errors as `merge_rooms`."""
    merging.authority.appservice(req.requester)
    body = req.body(SplitBody)
    parts = [_part(req, each.user_id, each.values, each.create) for each in body.parts]
    room_id = RoomId(req.path["room_id"])
    room_ids = await merging.split(req.requester, room_id, key=body.key, parts=parts)
    return {"room_ids": room_ids}


def _part(
    req: UserRequest, user_id: str, values: list[str] | tuple[()], body: CreateRoomBody
) -> Part:
    if (body.creation_content or {}).get("m.federate", False) is not False:
        raise InvalidParam("rooms that may federate can't be merged or split")
    if body.bridge_name is None:
        # Such a room is a bridge's, whether it says so or not.
        body.bridge_name = ""
    return Part(parse_user_id(user_id), values, room_request(req, body))
