"""Membership at the HTTP edge (CS "Room membership")."""

from typing import Any

import msgspec

from tremula.features.membership.service import JoinRequest, Membership, Target
from tremula.infra.http import Auth, Json, UserRequest, endpoint
from tremula.protocol.errors import MissingParam
from tremula.protocol.identifiers import RoomId


class ThirdPartySigned(msgspec.Struct):
    """What CS ``joinRoom`` requires of ``third_party_signed``."""

    sender: str
    mxid: str
    token: str
    signatures: dict[str, dict[str, str]]


class JoinBody(msgspec.Struct):
    """Body of CS ``joinRoom`` and ``joinRoomById``."""

    reason: str | None = None
    # Kept as it came, with keys of later versions: the signature covers all of it.
    third_party_signed: dict[str, Any] | None = None


class ReasonBody(msgspec.Struct):
    """Body of CS ``leaveRoom`` and ``knockRoom``."""

    reason: str | None = None


@endpoint(
    "POST",
    "/_matrix/client/v3/rooms/{room_id}/join",
    auth=Auth.USER,
    limit="membership",
    guest=True,
)
async def join_room_by_id(req: UserRequest, membership: Membership) -> Json:
    """CS joinRoomById. Errors: M_FORBIDDEN, M_GUEST_ACCESS_FORBIDDEN, M_NOT_FOUND."""
    request = _join_request(req)
    target = Target(RoomId(req.path["room_id"]), _via(req))
    room_id = await membership.join(request, target)
    await membership.admission.check_came(req.requester)
    return {"room_id": room_id}


@endpoint(
    "POST",
    "/_matrix/client/v3/join/{room_id_or_alias}",
    auth=Auth.USER,
    limit="membership",
)
async def join_room(req: UserRequest, membership: Membership) -> Json:
    """CS joinRoom. Errors: M_FORBIDDEN, M_INVALID_PARAM, M_NOT_FOUND, 502."""
    request = _join_request(req)
    target = await membership.resolve(req.path["room_id_or_alias"], _via(req))
    room_id = await membership.join(request, target)
    await membership.admission.check_came(req.requester)
    return {"room_id": room_id}


def _via(req: UserRequest) -> tuple[str, ...]:
    """Servers that may be in the room: ``via``, which was ``server_name`` before."""
    return (*req.query.all("via"), *req.query.all("server_name"))


def _join_request(req: UserRequest) -> JoinRequest:
    body = req.body(JoinBody)
    if body.third_party_signed is not None:
        _check_third_party_signed(body.third_party_signed)
    return JoinRequest(
        user_id=req.user_id,
        is_guest=req.is_guest,
        reason=body.reason,
        third_party_signed=body.third_party_signed,
    )


def _check_third_party_signed(signed: dict[str, Any]) -> None:
    try:
        msgspec.convert(signed, ThirdPartySigned)
    except msgspec.ValidationError as error:
        raise MissingParam(f"third_party_signed: {error}") from None


@endpoint(
    "POST",
    "/_matrix/client/v3/knock/{room_id_or_alias}",
    auth=Auth.USER,
    limit="membership",
)
async def knock_room(req: UserRequest, membership: Membership) -> Json:
    """CS knockRoom. Errors: M_FORBIDDEN, M_NOT_FOUND, 502."""
    reason = req.body(ReasonBody).reason
    target = await membership.resolve(req.path["room_id_or_alias"], _via(req))
    room_id = await membership.knock(req.user_id, target, reason=reason)
    await membership.admission.check_came(req.requester)
    return {"room_id": room_id}


@endpoint(
    "POST",
    "/_matrix/client/v3/rooms/{room_id}/leave",
    auth=Auth.USER,
    limit="membership",
    guest=True,
)
async def leave_room(req: UserRequest, membership: Membership) -> Json:
    """CS leaveRoom. Errors: M_FORBIDDEN, M_NOT_FOUND."""
    reason = req.body(ReasonBody).reason
    await membership.leave(req.user_id, RoomId(req.path["room_id"]), reason=reason)
    return {}


@endpoint(
    "POST",
    "/_matrix/client/v3/rooms/{room_id}/forget",
    auth=Auth.USER,
    limit="membership",
)
async def forget_room(req: UserRequest, membership: Membership) -> Json:
    """CS forgetRoom. Errors: M_UNKNOWN (400) while a member, M_NOT_FOUND."""
    await membership.forget(req.user_id, RoomId(req.path["room_id"]))
    return {}


@endpoint("GET", "/_matrix/client/v3/joined_rooms", auth=Auth.USER)
async def get_joined_rooms(req: UserRequest, membership: Membership) -> Json:
    """CS getJoinedRooms."""
    return {"joined_rooms": await membership.joined_rooms(req.user_id)}
