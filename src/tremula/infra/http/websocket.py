"""WebSockets (RFC 6455): a ``GET`` whose connection goes on as a conversation."""

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import structlog
from msgspec import Struct

log = structlog.get_logger(__name__)

MESSAGE_BYTES_MAX: Final = 4 * 1024 * 1024
PING_S: Final = 30.0


class CloseCode:
    """Why a conversation ended (RFC 6455, 7.4.1)."""

    NORMAL: Final = 1000
    PROTOCOL_ERROR: Final = 1002
    UNSUPPORTED: Final = 1003
    ABNORMAL: Final = 1006
    INTERNAL_ERROR: Final = 1011
    RESTART: Final = 1012


class WebSocketClosed(Exception):
    """The conversation is over: one of both has closed it, or it was lost."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


class WebSocket(Protocol):
    """One side of a conversation in text messages."""

    async def receive(self) -> bytes:
        """The next message, in UTF-8.

        Raises:
            WebSocketClosed: there will be none.
        """
        ...

    async def send(self, message: bytes) -> None:
        """Send *message*, which is UTF-8, and wait while the other side is slow.

        Raises:
            WebSocketClosed: nobody will get it.
        """
        ...

    def close(self, code: int, reason: str = "") -> None:
        """Say why, in 123 bytes at most, and end the conversation; once."""
        ...


Talk = Callable[[WebSocket], Awaitable[None]]


class Conversation(Struct, frozen=True):
    """The body of a 101: *talk* has the connection, until it returns.

    ``farewell`` is the reason that the other side is told when the server stops; in
    ``ping_s`` a side that says nothing is asked whether it is there, in twice as much
    it is lost.
    """

    talk: Talk
    farewell: str = ""
    ping_s: float = PING_S


async def converse(conversation: Conversation, socket: WebSocket) -> None:
    """Have the conversation, and close it."""
    try:
        await conversation.talk(socket)
    except WebSocketClosed as error:
        log.debug("websocket_closed", code=error.code)
    except Exception:
        log.exception("websocket_failed")
        socket.close(CloseCode.INTERNAL_ERROR)
    finally:
        socket.close(CloseCode.NORMAL)
