"""Versions and capabilities at the HTTP edge."""

from tremula.features.capabilities.service import Capabilities
from tremula.infra.http import Auth, Json, Request, UserRequest, endpoint


@endpoint("GET", "/_matrix/client/versions", auth=Auth.NONE)
async def get_versions(_req: Request, capabilities: Capabilities) -> Json:
    """CS getVersions."""
    return capabilities.versions


@endpoint("GET", "/_matrix/client/v3/capabilities", auth=Auth.USER, limit="account")
async def get_capabilities(req: UserRequest, capabilities: Capabilities) -> Json:
    """CS getCapabilities."""
    return {"capabilities": capabilities.of(req.requester)}
