"""Refreshing access tokens at the HTTP edge (CS "Refreshing access tokens")."""

import msgspec

from tremula.features.sessions.service import Sessions
from tremula.infra.http import Auth, Json, Request, endpoint


class RefreshBody(msgspec.Struct):
    """Body of CS ``refresh``."""

    refresh_token: str


@endpoint("POST", "/_matrix/client/v3/refresh", auth=Auth.NONE, limit="account")
async def refresh(req: Request, sessions: Sessions) -> Json:
    """CS refresh. Errors: M_UNKNOWN_TOKEN, M_LIMIT_EXCEEDED."""
    tokens = await sessions.refresh(req.body(RefreshBody).refresh_token)
    return tokens.body()
