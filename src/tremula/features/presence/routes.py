"""Presence at the HTTP edge (CS module "Presence")."""

import msgspec

from tremula.features.presence.service import Presence
from tremula.infra.http import Auth, Json, UserRequest, endpoint
from tremula.protocol.identifiers import parse_user_id
from tremula.protocol.presence import PresenceState


class PresenceBody(msgspec.Struct):
    """Body of CS ``setPresence``."""

    presence: PresenceState
    status_msg: str | None = None


@endpoint("GET", "/_matrix/client/v3/presence/{user_id}/status", auth=Auth.USER)
async def get_presence(req: UserRequest, presence: Presence) -> Json:
    """CS getPresence. Errors: M_INVALID_PARAM, M_FORBIDDEN."""
    return await presence.get(req.user_id, parse_user_id(req.path["user_id"]))


@endpoint(
    "PUT",
    "/_matrix/client/v3/presence/{user_id}/status",
    auth=Auth.USER,
    limit="presence",
)
async def set_presence(req: UserRequest, presence: Presence) -> Json:
    """CS setPresence. Errors: M_FORBIDDEN, M_MISSING_PARAM, M_BAD_JSON."""
    req.check_own()
    body = req.body(PresenceBody)
    await presence.set(req.user_id, body.presence, body.status_msg)
    return {}
