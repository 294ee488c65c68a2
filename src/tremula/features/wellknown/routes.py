"""Server discovery at the HTTP edge (CS "Well-known URIs")."""

from tremula.features.wellknown.service import WellKnown
from tremula.infra.http import Auth, Json, Request, endpoint
from tremula.protocol.errors import NotFound


@endpoint("GET", "/.well-known/matrix/client", auth=Auth.NONE)
async def get_wellknown(_req: Request, well_known: WellKnown) -> Json:
    """CS getWellknown. Errors: M_NOT_FOUND."""
    if well_known.base_url is None:
        raise NotFound("no public_base_url is configured")
    return {"m.homeserver": {"base_url": well_known.base_url}}
