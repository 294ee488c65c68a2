"""Invitations of our users by other servers' (SS "Inviting to a room")."""

from typing import Final

import orjson

from tremula.features.federation_handshakes.invitations import (
    Invitations,
    ReceivedInvitation,
)
from tremula.features.federation_handshakes.member_events import object_of
from tremula.infra.config import Api
from tremula.infra.http import Auth, FederationRequest, Json, endpoint
from tremula.protocol.identifiers import EventId, RoomId

# An event and what is told of its room, in which every character may be escaped.
_INVITE_BYTES_MAX: Final = 2 * 1024 * 1024


@endpoint(
    "PUT",
    "/_matrix/federation/v2/invite/{room_id}/{event_id}",
    auth=Auth.SERVER,
    max_body=_INVITE_BYTES_MAX,
    api=Api.FEDERATION,
)
async def send_invite_v2(req: FederationRequest, invitations: Invitations) -> Json:
    """SS sendInviteV2. Errors: M_INVALID_PARAM, M_FORBIDDEN, M_INVITE_BLOCKED,
    M_INCOMPATIBLE_ROOM_VERSION.
    """
    body = object_of(req.content)
    invitation = ReceivedInvitation(
        origin=req.origin,
        room_id=RoomId(req.path["room_id"]),
        event_id=EventId(req.path["event_id"]),
        room_version=body.get("room_version"),
        pdu=object_of(body, "event"),
        room_state=body.get("invite_room_state", []),
    )
    return {"event": await invitations.receive(invitation)}


@endpoint(
    "PUT",
    "/_matrix/federation/v1/invite/{room_id}/{event_id}",
    auth=Auth.SERVER,
    max_body=_INVITE_BYTES_MAX,
    api=Api.FEDERATION,
)
async def send_invite_v1(req: FederationRequest, invitations: Invitations) -> Json:
    """SS sendInviteV1. Errors: M_INVALID_PARAM, M_FORBIDDEN, M_INVITE_BLOCKED.

    "Servers which receive a v1 invite request must assume that the room version is
    either "1" or "2"": what is signed and checked is the same in both.
    """
    pdu = object_of(req.content)
    unsigned = object_of(pdu.get("unsigned", {}))
    invitation = ReceivedInvitation(
        origin=req.origin,
        room_id=RoomId(req.path["room_id"]),
        event_id=EventId(req.path["event_id"]),
        room_version="2",
        pdu=pdu,
        room_state=unsigned.get("invite_room_state", []),
    )
    return orjson.dumps([200, {"event": await invitations.receive(invitation)}])
