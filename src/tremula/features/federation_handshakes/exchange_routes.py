"""Third-party invites of other servers' users (SS "Third-party invites")."""

from typing import Final

from tremula.features.federation_handshakes.third_party_invites import (
    ThirdPartyInvites,
)
from tremula.infra.config import Api
from tremula.infra.http import Auth, FederationRequest, Json, endpoint
from tremula.protocol.identifiers import RoomId

_BYTES_MAX: Final = 512 * 1024


@endpoint(
    "PUT",
    "/_matrix/federation/v1/exchange_third_party_invite/{room_id}",
    auth=Auth.SERVER,
    max_body=_BYTES_MAX,
    api=Api.FEDERATION,
)
async def exchange_third_party_invite(
    req: FederationRequest, invites: ThirdPartyInvites
) -> Json:
    """SS exchangeThirdPartyInvite. Errors: M_INVALID_PARAM, M_FORBIDDEN."""
    await invites.exchange(req.origin, RoomId(req.path["room_id"]), req.json_object())
    return {}
