"""Invitations at the HTTP edge, of users and of addresses (CS "Room membership")."""

import msgspec

from tremula.features.membership.service import Membership
from tremula.features.third_party.address_invitations import AddressInvitations
from tremula.infra.http import Auth, Json, UserRequest, endpoint
from tremula.protocol.email_addresses import InvitedAddress, parse_email_address
from tremula.protocol.errors import MissingParam, ThreepidDenied
from tremula.protocol.identifiers import RoomId, parse_user_id


class Inviting(msgspec.Struct, frozen=True):
    """One path takes either body."""

    membership: Membership
    addresses: AddressInvitations


class InviteBody(msgspec.Struct):
    """Body of CS ``inviteUser`` and of ``inviteBy3PID``, which share a path."""

    user_id: str | None = None
    reason: str | None = None
    medium: str | None = None
    address: str | None = None
    id_server: str | None = None
    id_access_token: str | None = None


@endpoint(
    "POST",
    "/_matrix/client/v3/rooms/{room_id}/invite",
    auth=Auth.USER,
    limit="membership",
)
async def invite_user(req: UserRequest, inviting: Inviting) -> Json:
    """CS inviteUser and inviteBy3PID. Errors: M_FORBIDDEN, M_INVALID_PARAM,
    M_MISSING_PARAM, M_THREEPID_DENIED, M_THREEPID_MEDIUM_NOT_SUPPORTED.
    """
    body = req.body(InviteBody)
    room_id = RoomId(req.path["room_id"])
    if body.user_id is not None:
        target = parse_user_id(body.user_id)
        await inviting.membership.invite(
            req.user_id, target, room_id, reason=body.reason
        )
        return {}
    if body.medium is None and body.address is None:
        raise MissingParam("missing key 'user_id'")
    if body.medium != "email":
        raise ThreepidDenied("this server invites users and e-mail addresses only")
    invited = InvitedAddress(
        parse_email_address(body.address), body.id_server, body.id_access_token
    )
    await inviting.addresses.invite(req.user_id, room_id, invited)
    return {}
