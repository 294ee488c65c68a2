"""Removals at the HTTP edge (CS "Room membership")."""

import msgspec

from tremula.features.membership.removals import Removal, Removals
from tremula.infra.http import Auth, Json, UserRequest, endpoint
from tremula.protocol.identifiers import RoomId, parse_user_id


class TargetBody(msgspec.Struct):
    """Body of CS ``kick``, ``ban`` and ``unban``."""

    user_id: str
    reason: str | None = None


@endpoint(
    "POST",
    "/_matrix/client/v3/rooms/{room_id}/kick",
    auth=Auth.USER,
    limit="membership",
)
async def kick(req: UserRequest, removals: Removals) -> Json:
    """CS kick. Errors: M_FORBIDDEN, M_INVALID_PARAM."""
    await removals.kick(_wanted(req))
    return {}


@endpoint(
    "POST",
    "/_matrix/client/v3/rooms/{room_id}/ban",
    auth=Auth.USER,
    limit="membership",
)
async def ban(req: UserRequest, removals: Removals) -> Json:
    """CS ban. Errors: M_FORBIDDEN, M_INVALID_PARAM."""
    await removals.ban(_wanted(req))
    return {}


@endpoint(
    "POST",
    "/_matrix/client/v3/rooms/{room_id}/unban",
    auth=Auth.USER,
    limit="membership",
)
async def unban(req: UserRequest, removals: Removals) -> Json:
    """CS unban. Errors: M_FORBIDDEN, M_BAD_STATE, M_INVALID_PARAM."""
    await removals.unban(_wanted(req))
    return {}


def _wanted(req: UserRequest) -> Removal:
    body = req.body(TargetBody)
    return Removal(
        sender=req.user_id,
        target=parse_user_id(body.user_id),
        room_id=RoomId(req.path["room_id"]),
        reason=body.reason,
    )
