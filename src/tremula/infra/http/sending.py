"""The way of an answer onto the wire, whole or piece by piece."""

import asyncio
from contextlib import aclosing
from typing import Final

import structlog

from tremula.infra.http.asgi import Scope, Send
from tremula.infra.http.errors import HungUpError
from tremula.infra.http.hang_up import SCOPE_KEY, Connection, unless_hung_up
from tremula.infra.http.response import Encoded, StreamedBody
from tremula.infra.http.websocket import CloseCode, Conversation, converse

log = structlog.get_logger(__name__)

SWITCHING_PROTOCOLS: Final = 101
_PIECE_S: Final = 60
"""How long a client may take for a piece: else it could hold one for ever."""


async def hold_conversation(
    encoded: Encoded, scope: Scope, *, is_stopping: bool
) -> None:
    """Switch protocols, and talk until it is over."""
    conversation = encoded.body
    assert isinstance(conversation, Conversation)
    connection: Connection = scope[SCOPE_KEY]
    socket = connection.become_websocket(encoded.headers, conversation)
    if is_stopping:
        # It was no conversation yet when those were told.
        socket.close(CloseCode.RESTART, conversation.farewell)
    await converse(conversation, socket)


async def send_encoded(encoded: Encoded, send: Send, scope: Scope) -> None:
    """Send an answer.

    Raises:
        HungUpError: the client has gone amid a streamed body, or takes it too slowly.
    """
    await send(
        {
            "type": "http.response.start",
            "status": encoded.status,
            "headers": encoded.headers,
        }
    )
    body = encoded.body
    assert not isinstance(body, Conversation), "see `hold_conversation`"
    if isinstance(body, bytes):
        await send({"type": "http.response.body", "body": body})
    elif scope["method"] == "HEAD":
        await send({"type": "http.response.body", "body": b""})
    else:
        connection: Connection | None = scope.get(SCOPE_KEY)
        await unless_hung_up(_stream(body, send, connection), connection)


async def _stream(
    body: StreamedBody, send: Send, connection: Connection | None
) -> None:
    try:
        async with aclosing(body.chunks()) as chunks:
            async for chunk in chunks:
                async with asyncio.timeout(_PIECE_S):
                    await send(
                        {"type": "http.response.body", "body": chunk, "more_body": True}
                    )
        await send({"type": "http.response.body", "body": b""})
    except Exception as error:
        # Its head is sent: all that is left to say is that it is not whole.
        if not isinstance(error, TimeoutError):
            log.exception("streaming_failed")
        if connection is None:
            raise
        connection.on_hang_up = None
        connection.abort()
        raise HungUpError from error
