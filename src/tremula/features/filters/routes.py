"""Filters at the HTTP edge (CS "Filtering")."""

from tremula.features.filters.service import DEFINITION_BYTES_MAX, Filters
from tremula.infra.http import Auth, Json, UserRequest, endpoint


@endpoint(
    "POST",
    "/_matrix/client/v3/user/{user_id}/filter",
    auth=Auth.USER,
    limit="account",
    max_body=2 * DEFINITION_BYTES_MAX,
)
async def define_filter(req: UserRequest, filters: Filters) -> Json:
    """CS defineFilter. Errors: M_FORBIDDEN, M_BAD_JSON, M_TOO_LARGE."""
    req.check_own()
    return {"filter_id": await filters.define(req.user_id, req.json_object())}


@endpoint("GET", "/_matrix/client/v3/user/{user_id}/filter/{filter_id}", auth=Auth.USER)
async def get_filter(req: UserRequest, filters: Filters) -> Json:
    """CS getFilter. Errors: M_FORBIDDEN, M_NOT_FOUND."""
    req.check_own()
    return await filters.definition(req.user_id, req.path["filter_id"])
