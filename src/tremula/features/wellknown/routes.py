"""Discovery at the HTTP edge (CS "Well-known URIs", SS "Server discovery")."""

from tremula.features.wellknown.service import WellKnown
from tremula.infra.http import Api, Auth, Json, Request, endpoint
from tremula.protocol.errors import NotFound


@endpoint("GET", "/.well-known/matrix/client", auth=Auth.NONE)
async def get_wellknown(_req: Request, well_known: WellKnown) -> Json:
    """CS getWellknown. Errors: M_NOT_FOUND."""
    content = well_known.client()
    if content is None:
        raise NotFound("no public_base_url is configured")
    return content


@endpoint("GET", "/.well-known/matrix/support", auth=Auth.NONE)
async def get_wellknown_support(_req: Request, well_known: WellKnown) -> Json:
    """CS getWellknownSupport. Errors: M_NOT_FOUND."""
    content = well_known.support_content()
    if content is None:
        raise NotFound("no contact for support is configured")
    return content


@endpoint("GET", "/.well-known/matrix/policy_server", auth=Auth.NONE)
async def get_wellknown_policy(_req: Request, well_known: WellKnown) -> Json:
    """CS getWellknownPolicy. Errors: M_NOT_FOUND."""
    if well_known.policy_key is None:
        raise NotFound("no federation.policy_server_key is configured")
    return {"public_keys": {"ed25519": well_known.policy_key}}


@endpoint(
    "GET",
    "/.well-known/matrix/server",
    auth=Auth.NONE,
    api=frozenset({Api.CLIENT, Api.FEDERATION}),
)
async def get_well_known(_req: Request, well_known: WellKnown) -> Json:
    """SS getWellKnown. Errors: M_NOT_FOUND."""
    if well_known.delegate is None:
        raise NotFound("no federation.delegate is configured")
    return {"m.server": well_known.delegate}
