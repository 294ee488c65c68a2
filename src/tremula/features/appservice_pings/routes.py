"""Pings at the HTTP edge (AS "Pinging")."""

from typing import Annotated

from msgspec import Meta, Struct

from tremula.features.appservice_pings.service import AppservicePings
from tremula.infra.http import Auth, Json, UserRequest, endpoint
from tremula.protocol.errors import Forbidden


class PingBody(Struct):
    """Body of CS ``pingAppservice``."""

    transaction_id: Annotated[str, Meta(max_length=255)] | None = None


@endpoint(
    "POST",
    "/_matrix/client/unstable/fi.mau.msc2659/appservice/{appservice_id}/ping",
    auth=Auth.USER,
)
@endpoint("POST", "/_matrix/client/v1/appservice/{appservice_id}/ping", auth=Auth.USER)
async def ping_appservice(req: UserRequest, pings: AppservicePings) -> Json:
    """CS pingAppservice."""
    appservice_id = req.path["appservice_id"]
    if req.requester.appservice_id != appservice_id:
        raise Forbidden("only an application service may have itself pinged")
    txn_id = req.body(PingBody).transaction_id
    return {"duration_ms": await pings.ping(appservice_id, txn_id)}
