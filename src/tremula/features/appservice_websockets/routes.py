"""Where application services open their websockets (``fi.mau.as_sync``)."""

from typing import Final

from msgspec import Struct

from tremula.features.appservice_websockets.service import AppserviceWebsockets
from tremula.features.appservices.service import Appservices
from tremula.infra.http import (
    Auth,
    Conversation,
    Json,
    UserRequest,
    WebSocket,
    endpoint,
    upgrade,
)
from tremula.protocol.appservice_websocket import disconnect_reason
from tremula.protocol.errors import Forbidden

_FAREWELL: Final = disconnect_reason("server_shutting_down")


class OpeningWebsockets(Struct, frozen=True):
    """Lets application services in."""

    appservices: Appservices
    websockets: AppserviceWebsockets


@endpoint("GET", "/_matrix/client/unstable/fi.mau.as_sync", auth=Auth.USER)
async def get_appservice_websocket(
    req: UserRequest, opening: OpeningWebsockets
) -> Json:
    """Go on as a websocket, if an application service asks."""
    appservice_id = req.requester.appservice_id
    if appservice_id is None:
        raise Forbidden("this is for application services")
    appservice = opening.appservices.get(appservice_id)

    async def talk(socket: WebSocket) -> None:
        await opening.websockets.talk(appservice, socket)

    return upgrade(req, Conversation(talk, _FAREWELL))
