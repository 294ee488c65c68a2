"""What calls need, at the HTTP edge (CS "Voice over IP", MSC4143)."""

from tremula.features.voip.service import Voip
from tremula.infra.http import Auth, Json, UserRequest, endpoint


@endpoint("GET", "/_matrix/client/v3/voip/turnServer", auth=Auth.USER, limit="account")
async def get_turn_server(req: UserRequest, voip: Voip) -> Json:
    """CS getTurnServer. Errors: M_NOT_FOUND."""
    return voip.turn_server(req.user_id)


@endpoint(
    "GET",
    "/_matrix/client/unstable/org.matrix.msc4143/rtc/transports",
    auth=Auth.USER,
    limit="account",
)
async def get_rtc_transports(_req: UserRequest, voip: Voip) -> Json:
    """MSC4143 ``GET …/rtc/transports``."""
    return {"rtc_transports": list(voip.transports)}
