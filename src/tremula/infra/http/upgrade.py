"""The handshake that begins a conversation over a WebSocket."""

from typing import Final

from tremula.infra.http.request import Request
from tremula.infra.http.response import Response
from tremula.infra.http.websocket import Conversation
from tremula.protocol.errors import Unrecognized

_UPGRADE_REQUIRED: Final = 426
_HANDSHAKE_HEADERS: Final = (
    "connection",
    "upgrade",
    "sec-websocket-key",
    "sec-websocket-version",
)


def upgrade(req: Request, conversation: Conversation) -> Response:
    """The answer that begins *conversation*.

    Raises:
        Unrecognized: (426, 400) the request does not ask for a WebSocket, or wrongly.
    """
    # Loaded when needed: 1.3 MB that most servers do without.
    from tremula.infra.http.websocket_connection import handshake  # noqa: PLC0415

    given = {name: req.header(name) for name in _HANDSHAKE_HEADERS}
    headers = handshake({name: value for name, value in given.items() if value})
    if headers is None:
        upgrade_to = req.header("upgrade") or ""
        status = 400 if upgrade_to.lower() == "websocket" else _UPGRADE_REQUIRED
        raise Unrecognized("this endpoint takes WebSockets", status=status)
    return Response(101, conversation, headers)
