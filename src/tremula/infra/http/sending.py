"""The way of an answer onto the wire that does not go there at once."""

import asyncio
from contextlib import aclosing
from typing import Final

import structlog

from tremula.infra.http.errors import HungUpError
from tremula.infra.http.exchange import Exchange
from tremula.infra.http.response import Encoded, StreamedBody
from tremula.infra.http.websocket import CloseCode, Conversation, converse

log = structlog.get_logger(__name__)

SWITCHING_PROTOCOLS: Final = 101


async def hold_conversation(
    encoded: Encoded, exchange: Exchange, *, is_stopping: bool
) -> None:
    """Switch protocols, and talk until it is over."""
    conversation = encoded.body
    assert isinstance(conversation, Conversation)
    socket = exchange.wire.become_websocket(encoded.head, conversation)
    if is_stopping:
        # It was no conversation yet when those were told.
        socket.close(CloseCode.RESTART, conversation.farewell)
    await converse(conversation, socket)


async def send(encoded: Encoded, exchange: Exchange) -> None:
    """Send an answer as a whole, or piece by piece.

    Raises:
        HungUpError: the client has gone amid its body, or takes it too slowly.
    """
    body = encoded.body
    if isinstance(body, bytes):
        await exchange.answer(encoded.head, body)
        return
    assert isinstance(body, StreamedBody)
    if exchange.method == "HEAD":
        await exchange.answer(encoded.head, b"")
    else:
        exchange.begin(encoded.head, body.size_bytes)
        exchange.ends_with_client = True
        try:
            await _stream(body, exchange)
        except asyncio.CancelledError:
            if not exchange.is_lost:
                raise
            raise HungUpError from None


async def _stream(body: StreamedBody, exchange: Exchange) -> None:
    try:
        async with aclosing(body.chunks()) as chunks:
            async for chunk in chunks:
                if chunk:
                    await exchange.send(chunk)
        await exchange.send(b"")
    except Exception as error:
        # Its head is sent: all that is left to say is that it is not whole.
        if not isinstance(error, TimeoutError):
            log.exception("streaming_failed")
        exchange.ends_with_client = False
        exchange.wire.abort()
        raise HungUpError from error
