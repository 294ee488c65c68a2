"""Versions and capabilities at the HTTP edge."""

from tremula.features.capabilities.service import Capabilities
from tremula.infra.http import Auth, Json, OptionalUserRequest, UserRequest, endpoint


@endpoint("GET", "/_matrix/client/versions", auth=Auth.OPTIONAL, guest=True)
async def get_versions(_req: OptionalUserRequest, capabilities: Capabilities) -> Json:
    """CS getVersions. Errors: M_FORBIDDEN for users who are yet to be registered, upon
    which bridges do that.
    """
    return capabilities.versions


@endpoint("GET", "/_matrix/client/v3/capabilities", auth=Auth.USER, limit="account")
async def get_capabilities(req: UserRequest, capabilities: Capabilities) -> Json:
    """CS getCapabilities."""
    return {"capabilities": capabilities.of(req.requester)}
