"""Who the owner of an OpenID token is, for whoever has it (SS "OpenID")."""

from tremula.features.openid.service import OpenIdTokens
from tremula.infra.http import Api, Auth, Json, Request, endpoint
from tremula.protocol.errors import MissingToken


@endpoint(
    "GET",
    "/_matrix/federation/v1/openid/userinfo",
    auth=Auth.NONE,
    limit="default",
    api=Api.FEDERATION,
)
async def exchange_open_id_token(req: Request, tokens: OpenIdTokens) -> Json:
    """SS exchangeOpenIdToken. Errors: M_MISSING_TOKEN, M_UNKNOWN_TOKEN."""
    token = req.query.get("access_token")
    if not token:
        raise MissingToken("an OpenID token is needed")
    return {"sub": await tokens.owner(token)}
