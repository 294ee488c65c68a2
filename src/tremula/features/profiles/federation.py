"""Profiles, for other servers (SS "Querying for information")."""

from tremula.features.profiles.service import Profiles
from tremula.infra.http import Api, Auth, FederationRequest, Json, endpoint
from tremula.protocol.identifiers import parse_user_id


@endpoint(
    "GET", "/_matrix/federation/v1/query/profile", auth=Auth.SERVER, api=Api.FEDERATION
)
async def query_profile(req: FederationRequest, profiles: Profiles) -> Json:
    """SS queryProfile. Errors: M_MISSING_PARAM, M_INVALID_PARAM, M_NOT_FOUND."""
    user_id = parse_user_id(req.query.require("user_id"))
    return await profiles.get_for_servers(user_id, req.query.get("field"))
