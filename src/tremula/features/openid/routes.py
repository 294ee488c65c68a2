"""OpenID tokens at the HTTP edge (CS "OpenID")."""

from tremula.features.openid.service import LIFETIME_S, OpenIdTokens
from tremula.infra.http import Auth, Json, UserRequest, endpoint


@endpoint(
    "POST",
    "/_matrix/client/v3/user/{user_id}/openid/request_token",
    auth=Auth.USER,
    limit="account",
)
async def request_open_id_token(req: UserRequest, tokens: OpenIdTokens) -> Json:
    """CS requestOpenIdToken. Errors: M_FORBIDDEN, M_BAD_JSON, M_NOT_JSON."""
    req.check_own()
    req.json_object()
    return {
        "access_token": await tokens.issue(req.user_id),
        "token_type": "Bearer",
        "matrix_server_name": tokens.server_name,
        "expires_in": LIFETIME_S,
    }
